"""Differences with confidence intervals: Student's t over seeds, bootstrap over originals of a study."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Any, Literal

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 9999
LEAST_FOR_BOOTSTRAP = 5  # of fewer values there are too few different resamples to speak of a distribution


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The mean of B minus A with its interval at `level`; no interval (None) where there are too few values.

    `how` says what it rests on: paired differences of `n` common seeds (paired), or two groups of seeds of unequal
    variance, of n in A and `n_other` in B (welch), or paired differences of n originals (bootstrap, or paired).
    """

    mean: float
    low: float | None
    high: float | None
    how: Literal["paired", "welch", "bootstrap"]
    n: int
    n_other: int | None = None
    level: float = LEVEL

    @property
    def is_clear(self) -> bool | None:
        """Whether the interval leaves out 0; None without one."""
        return None if self.low is None or self.high is None else self.low > 0 or self.high < 0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"clear": self.is_clear}


def compare_seeds(before: Mapping[int, float], after: Mapping[int, float]) -> Difference:
    """Of values by seed: paired over the common seeds where there are two at least, otherwise Welch's.

    A seed fixes the initial weights' draws and the order of images, so that a pair has part of its luck in common.
    """
    common = sorted(before.keys() & after.keys())
    if len(common) >= 2 or len(before) == len(after) == len(common):
        return compare_paired([before[seed] for seed in common], [after[seed] for seed in common])
    return _welch(list(before.values()), list(after.values()))


def compare_paired(before: Sequence[float], after: Sequence[float]) -> Difference:
    """Student's t on the differences: mean -+ t(n - 1) s / sqrt(n)."""
    gains = [b - a for a, b in zip(before, after, strict=True)]
    if len(gains) < 2:
        return Difference(mean=fmean(gains), low=None, high=None, how="paired", n=len(gains))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(gains) - 1)) * stdev(gains) / sqrt(len(gains))
    middle = fmean(gains)
    return Difference(mean=middle, low=middle - half, high=middle + half, how="paired", n=len(gains))


def _welch(before: Sequence[float], after: Sequence[float]) -> Difference:
    """Two groups of seeds; degrees of freedom by Welch and Satterthwaite."""
    middle, counts = fmean(after) - fmean(before), {"n": len(before), "n_other": len(after)}
    if min(len(before), len(after)) < 2:
        return Difference(mean=middle, low=None, high=None, how="welch", **counts)
    shares = [stdev(values) ** 2 / len(values) for values in (before, after)]
    error = sqrt(sum(shares))
    if error == 0:
        return Difference(mean=middle, low=middle, high=middle, how="welch", **counts)
    freedom = sum(shares) ** 2 / (shares[0] ** 2 / (len(before) - 1) + shares[1] ** 2 / (len(after) - 1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    return Difference(mean=middle, low=middle - half, high=middle + half, how="welch", **counts)


def compare_originals(before: Sequence[float], after: Sequence[float]) -> Difference:
    """Paired over originals, by bootstrap (BCa, 9,999 resamples, always the same); of few, or all equal, by t."""
    gains = np.array(after) - np.array(before)
    if len(gains) < LEAST_FOR_BOOTSTRAP or np.ptp(gains) == 0:
        return compare_paired(before, after)
    found = stats.bootstrap(
        (gains,), np.mean, confidence_level=LEVEL, n_resamples=RESAMPLES, rng=np.random.default_rng(0)
    )
    low, high = (float(end) for end in found.confidence_interval)
    return Difference(mean=float(gains.mean()), low=low, high=high, how="bootstrap", n=len(gains))
