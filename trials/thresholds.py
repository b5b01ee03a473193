"""At which confidence a dynamic network answers: the exact frontier of accuracy against expected MACs.

An image is answered at exit s < S-1 where its confidence there is strictly above threshold s, else it goes on; the last
exit answers the rest. Confidences are above 0, as the highest softmax is, and at most 1. So threshold 0 answers all
and threshold 1 none. With macs_s the MACs of going on to exit s, eq. 2.2 of the resolution cascade reads

    expected MACs = macs_0 + sum over s > 0 of P(beyond exit s - 1) macs_s.

S exits, N images, P points.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search_spaces import NasError
from trials.cuts import MOST_CELLS, find_points

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


class ThresholdError(NasError, ValueError):
    """Confidences, thresholds or MACs that say nothing, or a wish that no operating point meets."""


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """Thresholds [S-1] and what they give on N images: how many are right, how many reach each exit [S], their MACs."""

    thresholds: tuple[float, ...]
    correct: int
    reached: tuple[int, ...]
    macs: int

    @property
    def accuracy(self) -> float:
        """Share of images that are right."""
        return self.correct / self.reached[0]

    @property
    def expected_macs(self) -> float:
        """MACs an image."""
        return self.macs / self.reached[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Frontier:
    """Operating points none of which is beaten, from the cheapest on: each has more images right than those before.

    `thresholds` [P, S-1], right images `correct` [P], images that reach each exit `reached` [P, S], `macs` [P] of all N
    images together. `exact` is False where some points may be missing (`find_frontier`).
    """

    thresholds: Floats
    correct: Integers
    reached: Integers
    macs: Integers
    exact: bool

    def __len__(self) -> int:
        return len(self.correct)

    @property
    def accuracy(self) -> Floats:
        """Share of right images [P]."""
        return np.asarray(self.correct / self.reached[:, 0])

    @property
    def expected_macs(self) -> Floats:
        """MACs an image [P]."""
        return np.asarray(self.macs / self.reached[:, 0])

    def point(self, row: int) -> OperatingPoint:
        """One point."""
        return OperatingPoint(
            thresholds=tuple(self.thresholds[row].tolist()),
            correct=int(self.correct[row]),
            reached=tuple(self.reached[row].tolist()),
            macs=int(self.macs[row]),
        )

    def most_accurate(self, expected_macs: float) -> OperatingPoint:
        """The most accurate point that takes at most so many MACs an image. Raises ThresholdError for too few."""
        fits = np.flatnonzero(self.expected_macs <= expected_macs)
        if not fits.size:
            raise ThresholdError(
                f"expected MACs must be at least {self.expected_macs[0]:.15g}, what the first exit takes, but the "
                f"bound is {expected_macs}; raise it, or begin with a smaller network"
            )
        return self.point(int(fits[-1]))

    def cheapest(self, accuracy: float) -> OperatingPoint:
        """The cheapest point of at least this accuracy, 0 to 1. Raises ThresholdError where none has it."""
        fits = np.flatnonzero(self.accuracy >= accuracy)
        if not fits.size:
            raise ThresholdError(
                f"an accuracy must be at most {self.accuracy[-1]:.15g}, the highest of any thresholds, but "
                f"{accuracy} is asked for; lower it, or end with a more accurate network"
            )
        return self.point(int(fits[0]))


def find_frontier(
    confidence: ArrayLike, correct: ArrayLike, macs: Sequence[int], *, most_cells: int = MOST_CELLS
) -> Frontier:
    """All pairs of right images and MACs that no thresholds beat, with thresholds for each.

    `confidence` and `correct` [S, N] say of every image, at every exit, how sure the network is and whether it is
    right; `macs` [S], whole numbers, are those of going on to each exit. Images of equal confidence go together. A
    threshold lies midway between the two confidences that it separates, of images that reach the exit; it is the lower
    one where float64 has nothing between them, 0 where all are answered, 1 where none is.

    Exact for up to three exits, and for more with at most `most_cells` combinations of thresholds to look at; else no
    point is worse than without the last exit, and no change of one threshold helps (`trials.cuts.find_points`).

    Raises ThresholdError for confidences that are not in (0, 1], MACs below 0, and shapes that do not agree.
    """
    sure, right, costs = check_exits(confidence, correct, macs)
    ranks = rank_confidences(sure)
    points = find_points(ranks, right, costs, most_cells)
    thresholds, reached = place_thresholds(points.cuts, ranks, sure)
    assert np.array_equal(reached @ costs, points.macs), "the search and the thresholds must count the same MACs"
    return Frontier(
        thresholds=thresholds, correct=points.correct, reached=reached, macs=points.macs, exact=points.exact
    )


def apply(thresholds: Sequence[float], confidence: ArrayLike) -> Integers:
    """Which exit answers each image [N], by thresholds [S-1] and confidences [S, N].

    Raises ThresholdError for thresholds beyond 0 to 1, or not one for each exit but the last.
    """
    sure = np.asarray(confidence, np.float64)
    limits = np.asarray(thresholds, np.float64)
    if sure.ndim != 2 or limits.shape != (len(sure) - 1,):
        raise ThresholdError(
            "there must be a threshold for each exit but the last, but there are "
            f"{limits.size} for confidences of {list(sure.shape)}"
        )
    if not ((limits >= 0) & (limits <= 1)).all():
        raise ThresholdError(f"thresholds must be from 0 to 1, but they are {', '.join(map(str, limits.tolist()))}")
    answered = np.ones(sure.shape, bool)  # the last exit answers whatever reaches it
    answered[:-1] = sure[:-1] > limits[:, np.newaxis]
    return np.asarray(answered.argmax(axis=0), np.int64)


def score_thresholds(
    thresholds: Sequence[float], confidence: ArrayLike, correct: ArrayLike, macs: Sequence[int]
) -> OperatingPoint:
    """What given thresholds give on any images, as on the test split. Inputs and errors as of `find_frontier`."""
    sure, right, costs = check_exits(confidence, correct, macs)
    exits = apply(thresholds, sure)
    answered = np.bincount(exits, minlength=len(sure))
    reached = answered[::-1].cumsum()[::-1]
    return OperatingPoint(
        thresholds=tuple(float(threshold) for threshold in thresholds),
        correct=int(right[exits, np.arange(sure.shape[1])].sum()),
        reached=tuple(reached.tolist()),
        macs=int(reached @ costs),
    )


def rank_confidences(confidence: Floats) -> Integers:
    """At every exit the rank of each image's confidence [S, N] among the distinct ones, from 0."""
    return np.array([np.unique(row, return_inverse=True)[1] for row in confidence], np.int64)


def place_thresholds(cuts: Integers, ranks: Integers, confidence: Floats) -> tuple[Floats, Integers]:
    """Thresholds [P, S-1] for cuts, midway between the images that they part, and how many reach each exit [P, S].

    `ranks` and `confidence` [S, N]: a cut k sends on what has a rank below k (`trials.cuts`).
    """
    thresholds = np.zeros(cuts.shape)
    reached = np.full((len(cuts), len(ranks)), ranks.shape[1])
    for i in range(cuts.shape[1]):
        order = np.argsort(ranks[i])
        sure, earlier = confidence[i, order], ranks[:i, order]
        ends = np.searchsorted(ranks[i, order], cuts[:, i])
        for row, end in enumerate(ends.tolist()):
            here = np.asarray((earlier < cuts[row, :i, np.newaxis]).all(axis=0))
            reached[row, i + 1] = np.count_nonzero(here[:end])
            low, high = _nearest(sure[:end][::-1], here[:end][::-1]), _nearest(sure[end:], here[end:])
            thresholds[row, i] = _between(low, high)
    return thresholds, reached


def check_exits(confidence: ArrayLike, correct: ArrayLike, macs: Sequence[int]) -> tuple[Floats, Booleans, Integers]:
    """Confidences [S, N], correctness [S, N] and MACs [S] as arrays, if they can be what they say."""
    sure, right = np.asarray(confidence, np.float64), np.asarray(correct)
    if sure.ndim != 2 or not sure.size or right.shape != sure.shape or right.dtype != np.bool_:
        raise ThresholdError(
            "confidence must be [S, N], of at least one exit and image, and correct as many true or false, but they "
            f"are {list(sure.shape)} and {list(right.shape)} of {right.dtype}"
        )
    if not ((sure > 0) & (sure <= 1)).all():
        wrong = float(sure[~((sure > 0) & (sure <= 1))][0])
        raise ThresholdError(
            f"a confidence must be above 0 and at most 1, but one is {wrong}; take the highest softmax"
        )
    whole = all(isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 0 for value in macs)
    if len(macs) != len(sure) or not whole:
        raise ThresholdError(f"macs must be {len(sure)} whole numbers, one an exit, at least 0, but are {list(macs)}")
    if sum(map(int, macs)) * sure.shape[1] >= 2**63:
        raise ThresholdError(f"the MACs of all images must be below 2^63, but {list(macs)} are not; count in thousands")
    return sure, right, np.array([int(value) for value in macs], np.int64)


def _nearest(confidence: Floats, here: Booleans) -> float | None:
    """The first confidence of an image that is here; None where no image is."""
    return float(confidence[here.argmax()]) if here.any() else None


def _between(low: float | None, high: float | None) -> float:
    """A threshold that sends the lower confidence on and answers the higher one, where there are such."""
    if low is None:
        return 0.0
    if high is None:
        return 1.0
    middle = (low + high) / 2
    return middle if low <= middle < high else low
