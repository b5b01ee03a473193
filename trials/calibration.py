"""How far a network's confidences can be believed, and the one temperature that mends them.

Temperature scaling and the expected calibration error are those of Guo et al. 2017 (On Calibration of Modern Neural
Networks, sections 2 and 4.2). N images, K classes.
"""

from math import exp, isfinite, log

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search_spaces import NasError

LIMITS = (0.05, 20.0)  # temperatures beyond these say that the logits are separated, or that they say nothing
PRECISION = 1e-9  # of ln T; far below what a validation split can tell
Floats = NDArray[np.float64]


class CalibrationError(NasError, ValueError):
    """Logits, labels or a temperature that no confidence can be made of."""


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature T at which softmax(logits [N, K] / T) has the least mean negative log-likelihood of labels [N].

    The likelihood is convex in 1/T, so the sign of its slope there brackets the optimum; Newton's steps in ln T are
    taken within it, to 9 digits. An optimum beyond `LIMITS` becomes the nearer limit: 0.05 where all images
    are classified right, as then colder is always better, and 20 where the logits are worse than a guess. Where no
    temperature matters, as of equal logits, it is 1.

    Raises CalibrationError for logits that are no finite numbers [N, K] and for labels that are not 0 to K - 1.
    """
    below = _checked_logits(logits)
    right = _right_logits(below, np.asarray(labels))
    return 1 / exp(_solve_slope(below, right))


def confidences(logits: ArrayLike, temperature: float = 1.0) -> tuple[Floats, NDArray[np.int64]]:
    """The highest softmax of logits [N, K] / T, [N], in (0, 1], and the class that has it (the first of equals), [N].

    Raises CalibrationError for logits that are no finite numbers [N, K], or a temperature that is not positive.
    """
    if not (isfinite(temperature) and temperature > 0):
        raise CalibrationError(f"a temperature must be a positive number, but is {temperature}; use 1 for none")
    below = _checked_logits(logits)
    prediction = np.asarray(logits).argmax(axis=1)
    return 1 / np.exp(below / temperature).sum(axis=1), prediction.astype(np.int64)


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """sum_m |B_m| / N |accuracy(B_m) - confidence(B_m)|, of equal bins B_m = ((m - 1) / M, m / M] (Guo et al., eq. 3).

    `confidence` [N] in [0, 1], `correct` [N] true or false. Raises CalibrationError for others, and for no images.
    """
    values, right = np.asarray(confidence, np.float64), np.asarray(correct)
    if values.ndim != 1 or values.shape != right.shape or not values.size or bins < 1:
        raise CalibrationError(
            "confidence and correct must be [N] each, of at least one image in at least one bin, but are "
            f"{list(values.shape)} and {list(right.shape)} in {bins}"
        )
    if not ((values >= 0) & (values <= 1)).all():
        raise CalibrationError(f"a confidence must be from 0 to 1, but one is {_first_beyond(values)}")
    edges = np.linspace(0, 1, bins + 1)
    number = np.maximum(np.searchsorted(edges, values, side="left") - 1, 0)  # 0 itself stands in the first bin
    gap = np.bincount(number, weights=right.astype(np.float64) - values)
    return float(np.abs(gap).sum() / len(values))


def _solve_slope(below: Floats, right: Floats) -> float:
    """u = -ln T, within `LIMITS`, where the slope of the likelihood in 1/T changes its sign.

    Newton's steps are taken while they stay in the bracket and at least halve; otherwise the bracket is halved.
    """
    low, high = -log(LIMITS[1]), -log(LIMITS[0])
    slope, curvature = _slope(below, right, 1)
    if slope == 0:
        return 0
    edge = low if slope > 0 else high
    if _slope(below, right, exp(edge))[0] * slope >= 0:
        return edge
    u, last = 0.0, high - low
    while abs(last) > PRECISION and slope != 0:
        low, high = (low, u) if slope > 0 else (u, high)
        step = -slope / (exp(u) * curvature) if curvature > 0 else last
        if not (low < u + step < high and abs(step) <= abs(last) / 2):
            step = (low + high) / 2 - u
        u, last = u + step, step
        slope, curvature = _slope(below, right, exp(u))
    return u


def _slope(below: Floats, right: Floats, inverse: float) -> tuple[float, float]:
    """First and second derivative of mean(logsumexp(z / T) - z_label / T) in 1/T: of E[z] - z_label and Var[z]."""
    weights = np.exp(below * inverse)
    total = weights.sum(axis=1)
    mean = np.einsum("nk,nk->n", weights, below) / total
    square = np.einsum("nk,nk,nk->n", weights, below, below) / total
    return float((mean - right).mean()), float((square - mean**2).mean())


def _checked_logits(logits: ArrayLike) -> Floats:
    """Logits [N, K] less the highest of their row, which changes no softmax and keeps exp from overflowing."""
    values = np.asarray(logits, np.float64)
    if values.ndim != 2 or not values.size:
        raise CalibrationError(f"logits must be [N, K], of at least one image and class, but are {list(values.shape)}")
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise CalibrationError(f"logits must be finite, but those of image {row} are not; train the network again")
    return np.asarray(values - values.max(axis=1, keepdims=True))


def _right_logits(below: Floats, labels: NDArray[np.generic]) -> Floats:
    images, classes = below.shape
    if labels.shape != (images,) or not np.issubdtype(labels.dtype, np.integer):
        raise CalibrationError(
            f"labels must be {images} whole numbers, one an image, but are {list(labels.shape)} of {labels.dtype}"
        )
    numbers = labels.astype(np.int64)
    if numbers.min() < 0 or numbers.max() >= classes:
        raise CalibrationError(
            f"labels must be from 0 to {classes - 1}, but they are {numbers.min()} to {numbers.max()}"
        )
    return np.asarray(below[np.arange(images), numbers])


def _first_beyond(values: Floats) -> float:
    return float(values[~((values >= 0) & (values <= 1))][0])
