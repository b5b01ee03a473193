"""The best cascade of networks that are already trained: which ones, in which order, with which thresholds.

A cascade runs its networks in order of rising MACs (of equals, in the order given) until one is sure enough; each
that runs costs all of its MACs. M networks, N images.
"""

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain, combinations
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from search_spaces import BudgetError
from trials.cuts import NOTHING, find_points
from trials.thresholds import OperatingPoint, ThresholdError, check_exits, place_thresholds, rank_confidences

BOUNDS = ("macs", "macs_worst", "params")
Stages = tuple[int, ...]
Merit = tuple[int, int, int, Stages]  # right images less than none, MACs, stages, which: the least is the best


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedNetworks:
    """What M networks say of N images, and what each costs.

    `confidence` [M, N] in (0, 1], `correct` [M, N] true or false, `macs` and `params` whole numbers [M].
    Raises ThresholdError for what cannot be so.
    """

    confidence: NDArray[np.float64]
    correct: NDArray[np.bool_]
    macs: tuple[int, ...]
    params: tuple[int, ...]

    def __post_init__(self) -> None:
        confidence, correct, macs = check_exits(self.confidence, self.correct, self.macs)
        if len(self.params) != len(macs) or min(self.params) < 0:
            raise ThresholdError(
                f"params must be {len(macs)} numbers, one a network, at least 0, but are {list(self.params)}"
            )
        for name, value in (("confidence", confidence), ("correct", correct), ("macs", tuple(macs.tolist()))):
            object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class Cascade:
    """Networks by their number, in the order in which they run, and the operating point on the images given.

    `macs_worst` of an image that reaches the last one; `params` of all together. `exact` is False where better
    thresholds may exist, as may be with more than three networks (`trials.cuts.find_points`).
    """

    networks: Stages
    point: OperatingPoint
    macs_worst: int
    params: int
    exact: bool


def find_cascades(
    networks: TrainedNetworks,
    bounds: Mapping[str, float],
    *,
    fewest_stages: int = 1,
    most_stages: int = 3,
    most_considered: int = 20,
    count: int = 1,
) -> list[Cascade]:
    """The `count` best cascades of so many networks within the bounds, the best one first.

    Each stands at its most accurate operating point, the cheapest of equals; in that order they come, and of equals
    those of fewer stages first. One that at this point has a stage which answers no image is left out: it is a smaller
    one. There may be fewer than `count`. Upper bounds may be set on `macs`, expected an image, and on `macs_worst` and
    `params`, summed over all stages.

    Exact among single networks and pairs: all are looked at, with all thresholds. Exact, too, among cascades of three
    of the networks that are considered, at most `most_considered`: those which stand in the best pairs, or are best
    alone. Of three, only what cannot be among the best is not looked at: where a bound is broken, or where too few
    images are right at any stage, or too few can go on within the bound on `macs`. Cascades of more than three are
    looked for in the same way, but better thresholds for them may exist.

    Raises BudgetError for bounds that are unknown, not positive, or not kept by any network, and for numbers below 1.
    """
    _check_counts(fewest_stages=fewest_stages, most_stages=most_stages, most_considered=most_considered, count=count)
    search = _Search(networks=networks, bounds=_checked_bounds(networks, bounds))
    every = range(len(networks.macs))
    small = [search.allowed(every, size) for size in range(1, min(most_stages, 2) + 1)]
    found = sorted(one for stages in chain(*small) if (one := search.look_at(stages)))
    considered = search.shortlist(found, most_considered)
    best = [one for one in found if one.merit[2] >= fewest_stages][:count]
    for size in range(max(3, fewest_stages), most_stages + 1):
        for hope in sorted(map(search.hope, search.allowed(considered, size))):
            if len(best) == count and hope > best[-1].merit:
                break
            if one := search.look_at(hope[-1]):
                insort(best, one)
                del best[count:]
    return [search.cascade(one) for one in best]


@dataclass(frozen=True, kw_only=True, order=True)
class _Found:
    """A cascade at its best point; the least is the best."""

    merit: Merit
    cuts: tuple[int, ...]
    exact: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class _Search:
    """Cascades of the networks within the bounds, of which each name of `BOUNDS` has one."""

    networks: TrainedNetworks
    bounds: Mapping[str, float]

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """Of the confidences [M, N]."""
        return rank_confidences(self.networks.confidence)

    @cached_property
    def most_macs(self) -> int:
        """The most MACs of all images together of which the mean, as float64, keeps the bound."""
        bound, images = self.bounds["macs"], self.networks.confidence.shape[1]
        if bound >= NOTHING // images:
            return NOTHING
        most = int(Fraction(bound) * images)
        while (most + 1) / images <= bound:
            most += 1
        return most

    def allowed(self, numbers: Iterable[int], size: int) -> list[Stages]:
        """All cascades of so many of these networks whose sums keep the bounds, and whose first network does."""
        macs, params = self.networks.macs, self.networks.params
        return [
            stages
            for stages in combinations(sorted(numbers, key=lambda i: (macs[i], i)), size)
            if macs[stages[0]] <= self.bounds["macs"]
            and sum(macs[i] for i in stages) <= self.bounds["macs_worst"]
            and sum(params[i] for i in stages) <= self.bounds["params"]
        ]

    def look_at(self, stages: Stages) -> _Found | None:
        """The cascade at its best point; None where a stage answers no image there."""
        rows = list(stages)
        macs = np.array([self.networks.macs[i] for i in stages], np.int64)
        points = find_points(self.ranks[rows], self.networks.correct[rows], macs)
        best = int(np.flatnonzero(points.macs <= self.most_macs)[-1])
        if not _all_answer(points.cuts[best], self.ranks[rows]):
            return None
        merit = (-int(points.correct[best]), int(points.macs[best]), len(stages), stages)
        return _Found(merit=merit, cuts=tuple(points.cuts[best].tolist()), exact=points.exact)

    def hope(self, stages: Stages) -> Merit:
        """No cascade of these networks is better.

        At best all images that are right at the first stage are answered there, and of those that are right only
        later as many go on as can within the bound on MACs, those that are right soonest first.
        """
        first = stages[0]
        solved = self.networks.correct[first]
        right, price = int(solved.sum()), 0
        left = self.most_macs - self.networks.macs[first] * len(solved)
        for i in stages[1:]:
            price += self.networks.macs[i]
            wins = int((self.networks.correct[i] & ~solved).sum())
            wins = min(wins, left // price) if price else wins
            right, left = right + wins, left - wins * price
            solved = solved | self.networks.correct[i]
        return (-right, self.networks.macs[first] * len(solved), len(stages), stages)

    def shortlist(self, found: Sequence[_Found], most: int) -> list[int]:
        """The networks of the best cascades found; then those that stand in none, the most accurate ones first."""
        networks = self.networks
        merits: dict[int, Merit] = {
            i: (1, -int(networks.correct[i].sum()), networks.macs[i], (i,)) for i in range(len(networks.macs))
        }
        for one in found:
            for i in one.merit[-1]:
                merits[i] = min(merits[i], one.merit)
        return sorted(merits, key=lambda i: (merits[i], i))[:most]

    def cascade(self, found: _Found) -> Cascade:
        """With thresholds."""
        stages = found.merit[-1]
        rows, networks = list(stages), self.networks
        thresholds, reached = place_thresholds(
            np.array([found.cuts], np.int64), self.ranks[rows], networks.confidence[rows]
        )
        point = OperatingPoint(
            thresholds=tuple(thresholds[0].tolist()),
            correct=-found.merit[0],
            reached=tuple(reached[0].tolist()),
            macs=found.merit[1],
        )
        return Cascade(
            networks=stages,
            point=point,
            macs_worst=sum(networks.macs[i] for i in stages),
            params=sum(networks.params[i] for i in stages),
            exact=found.exact,
        )


def _all_answer(cuts: NDArray[np.int64], ranks: NDArray[np.int64]) -> bool:
    """Whether every stage answers an image, by cuts [S-1] and ranks [S, N]."""
    here = np.ones(ranks.shape[1], bool)
    for cut, rank in zip(cuts, ranks[:-1], strict=True):
        goes_on = rank < cut
        if not (here & ~goes_on).any():
            return False
        here &= goes_on
    return bool(here.any())


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise BudgetError(f"{name} must be at least 1, but is {value}")


def _checked_bounds(networks: TrainedNetworks, bounds: Mapping[str, float]) -> dict[str, float]:
    """A bound of every name: infinite where none is given."""
    for name, bound in bounds.items():
        if name not in BOUNDS:
            raise BudgetError(f"a cascade's bounds must be {', '.join(BOUNDS)}, but name {name!r}")
        if not (isfinite(bound) and bound > 0):
            raise BudgetError(f"{name} must be bounded by a positive number, but the bound is {bound}")
    every = {name: bounds.get(name, inf) for name in BOUNDS}
    most = min(every["macs"], every["macs_worst"])
    if not any(m <= most and p <= every["params"] for m, p in zip(networks.macs, networks.params, strict=True)):
        asked = ", ".join(f"{name} {bound}" for name, bound in bounds.items())
        raise BudgetError(
            f"one network at least must keep {asked}, but none of {len(networks.macs)} does: they take "
            f"{min(networks.macs)} MACs and {min(networks.params)} params or more; raise the bounds, or train "
            "smaller ones"
        )
    return every
