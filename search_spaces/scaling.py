"""Widths that meet a budget exactly, along a power law: NeuralScale's tau, solved for instead of descended to.

tau is the largest at which the law's widths, rounded down, keep every bound; single channels then use up what is left.
All budgets are solved together. B budgets, K bounds, G width groups, T candidates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, isfinite, lcm
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.batch_cost import BatchCost
from search_spaces.cost import COSTS
from search_spaces.errors import BudgetError, NetworkError
from search_spaces.ops import LARGEST
from search_spaces.power_law import Floats, PowerLaw

LARGEST_BOUND = 2**49  # nine times it, the most that one rung of the ladder adds, is below 2^53 and so still exact
HALVINGS = 50  # of one rung: then tau is exact to about 15 digits
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """Widths that keep the bounds, what they cost, and the bound of which most is used (`binding`).

    `shares` says how much of each bound is used; `extrapolated` whether tau lies outside of the law's record, None
    where that is not known.
    """

    widths: tuple[int, ...]
    costs: Mapping[str, int]
    tau: float
    binding: str
    shares: Mapping[str, float]
    extrapolated: bool | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "widths": list(self.widths),
            **self.costs,
            "tau": self.tau if isfinite(self.tau) else None,
            "binding": self.binding,
            "shares": dict(self.shares),
            "extrapolated": self.extrapolated,
        }


def scale_to(
    batch_cost: BatchCost,
    law: PowerLaw,
    bounds: Mapping[str, float],
    *,
    floors: int | Sequence[int] = 1,
    multiple: int = 1,
) -> Scaled:
    """The network's widths along the law, as large as the bounds (upper, by the names of `COSTS`) allow.

    No bound is exceeded, no width is below its floor, and widths are multiples of `multiple` and of their group's
    divisor. From floor(phi(tau)) on, the group that is furthest below its phi relative to it gains a channel (or what
    it must be a multiple of), as long as any fits that uses up the binding bound or is below phi. A channel that
    would make a conv of an identity shortcut is not added. At least 99.5 % of the binding bound is used, unless the
    smallest step of any group costs more than the rest: in networks of few channels, with multiples, and of
    activation memory, where only the layers with the largest maps count.

    Raises BudgetError for a bound that the floors exceed, NetworkError for a law of another number of groups.
    """
    return scale_to_each(
        batch_cost, law, {name: [bound] for name, bound in bounds.items()}, floors=floors, multiple=multiple
    )[0]


def scale_to_each(
    batch_cost: BatchCost,
    law: PowerLaw,
    bounds: Mapping[str, Sequence[float]],
    *,
    floors: int | Sequence[int] = 1,
    multiple: int = 1,
) -> list[Scaled]:
    """`scale_to` for many budgets at once: of every bound [B] values."""
    ladder = _Ladder.of(batch_cost, law, _checked_bounds(bounds), floors, multiple)
    log_tau, widths = ladder.solve()
    widths = _fill(ladder, widths, law.widths_at_log(log_tau))
    costs = batch_cost.costs(widths)
    shares = costs[:, ladder.columns] / ladder.bounds
    names = list(bounds)
    with np.errstate(over="ignore"):
        taus = np.exp(log_tau).tolist()
    return [
        Scaled(
            widths=tuple(widths[i].tolist()),
            costs=dict(zip(COSTS, costs[i].tolist(), strict=True)),
            tau=tau,
            binding=names[shares[i].argmax()],
            shares=dict(zip(names, shares[i].tolist(), strict=True)),
            extrapolated=law.extrapolates(tau),
        )
        for i, tau in enumerate(taus)
    ]


@dataclass(frozen=True, kw_only=True)
class _Ladder:
    """Floored widths along a law, and which budgets [B, K] they keep."""

    batch: BatchCost
    law: PowerLaw
    bounds: Integers
    columns: list[int]
    floors: Integers
    steps: Integers

    @staticmethod
    def of(
        batch: BatchCost, law: PowerLaw, bounds: Mapping[str, Integers], floors: int | Sequence[int], multiple: int
    ) -> "_Ladder":
        groups = batch.groups.groups
        law.check_groups(len(groups))
        steps = np.array([lcm(group.divisor, _positive("multiple", multiple)) for group in groups])
        each = [floors] * len(groups) if isinstance(floors, int) else list(floors)
        if len(each) != len(groups):
            raise NetworkError(f"there must be one floor or {len(groups)}, one a width group, but got {len(each)}")
        least = np.array([_positive("floor", one) for one in each])
        ladder = _Ladder(
            batch=batch,
            law=law,
            bounds=np.stack(list(bounds.values()), axis=1),
            columns=[COSTS.index(name) for name in bounds],
            floors=-(-least // steps) * steps,
            steps=steps,
        )
        ladder.check_floors(tuple(bounds))
        return ladder

    def check_floors(self, names: tuple[str, ...]) -> None:
        if self.floors.max() > LARGEST:
            raise NetworkError(f"a floor must be at most 2^24, but is {self.floors.max()}")
        costs = self.count(self.floors[np.newaxis])[0]
        wrong = np.argwhere(costs > self.bounds)
        if wrong.size:
            budget, column = wrong[0]
            raise BudgetError(
                f"{names[column]} must be at least {costs[column]}, which the narrowest network costs (widths "
                f"{','.join(map(str, self.floors.tolist()))}), but the bound is {self.bounds[budget, column]}; raise "
                "the bound, or lower floors, multiple or resolution"
            )

    def count(self, widths: Integers) -> Integers:
        """What is bounded [T, K]."""
        costs: Integers = self.batch.costs(widths)[:, self.columns]
        return costs

    def kept(self, widths: Integers) -> Booleans:
        """Which budgets [B] are kept by widths [B, G], or all by widths [1, G]."""
        return np.asarray((self.count(widths) <= self.bounds).all(axis=1))

    def floored(self, phi: Floats) -> Integers:
        """Widths below phi [T, G] that the network allows, and no less than the floors."""
        whole = np.minimum(phi, LARGEST).astype(np.int64)
        return np.asarray(np.maximum(self.floors, whole // self.steps * self.steps))

    def solve(self) -> tuple[Floats, Integers]:
        """ln tau [B], the largest found at which the floored widths [B, G] keep the budgets.

        Where the law has constant widths (beta 0) that alone exceed a budget, the widths are the floors.
        """
        rungs, fits = self.climb()
        last = fits.shape[1] - 1 - fits[:, ::-1].argmax(axis=1)
        low, high = rungs[last], rungs[np.minimum(last + 1, len(rungs) - 1)]
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            kept = self.kept(self.floored(self.law.widths_at_log(middle)))
            low, high = np.where(kept, middle, low), np.where(kept, high, middle)
        widths = self.floored(self.law.widths_at_log(low))
        return low, np.where(self.kept(widths)[:, np.newaxis], widths, self.floors)

    def climb(self) -> tuple[Floats, Booleans]:
        """ln tau from where all widths are floors to where no budget is kept, and which are [B, T].

        From one to the next no width more than doubles, so costs stay in reach of the bounds.
        """
        alpha, beta = np.array(self.law.alpha), np.array(self.law.beta)
        moving = beta > 0
        log_floors = np.log(self.floors)
        rungs = [float(((log_floors - np.log(alpha))[moving] / beta[moving]).min())]
        fits: list[Booleans] = []
        while True:
            with np.errstate(over="ignore"):
                phi = self.law.widths_at_log(rungs[-1:])
            if phi[0, moving].max() > LARGEST:
                raise BudgetError(
                    "a budget must be used up by widths of at most 2^24, but this needs wider layers; lower the bounds"
                )
            fits.append(self.kept(self.floored(phi)))
            if len(fits) > 1 and not fits[-1].any():
                return np.array(rungs), np.stack(fits, axis=1)
            lack = np.maximum(log_floors - np.log(alpha) - rungs[-1] * beta, 0)  # of phi below its floor
            rungs.append(rungs[-1] + float(((lack + np.log(2))[moving] / beta[moving]).min()))


def _fill(ladder: _Ladder, widths: Integers, phi: Floats) -> Integers:
    """Widths [B, G] with channels added one by one, the group furthest below phi [B, G] first, until none fits."""
    widths = widths.copy()
    left = np.arange(len(widths))
    while left.size:
        allowed = _allowed(ladder, widths[left], phi[left], ladder.bounds[left])
        moves = allowed.any(axis=1)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            lack = np.where(allowed, (phi[left] - widths[left]) / phi[left], -np.inf)
        left, chosen = left[moves], lack[moves].argmax(axis=1)
        widths[left, chosen] += ladder.steps[chosen]
    return widths


def _allowed(ladder: _Ladder, widths: Integers, phi: Floats, bounds: Integers) -> Booleans:
    """Which groups [B, G] of widths [B, G] may gain a step."""
    count, groups = widths.shape
    wider = widths[:, np.newaxis] + np.diag(ladder.steps)
    inside = wider.max(axis=2) <= LARGEST
    rows = np.minimum(wider, LARGEST // ladder.steps * ladder.steps).reshape(-1, groups)
    costs, before = ladder.count(rows).reshape(count, groups, -1), ladder.count(widths)
    binding = (before / bounds).argmax(axis=1)
    every = np.arange(count)
    useful = (widths < phi) | (costs[every, :, binding] > before[every, binding][:, np.newaxis])
    convs = ladder.batch.count_projections(rows).reshape(count, groups)
    keeps = convs <= ladder.batch.count_projections(widths)[:, np.newaxis]
    return np.asarray(inside & useful & keeps & (costs <= bounds[:, np.newaxis]).all(axis=2))


def _checked_bounds(bounds: Mapping[str, Sequence[float]]) -> dict[str, Integers]:
    if not bounds:
        raise BudgetError(f"a budget must bound one or more of {', '.join(COSTS)}, but bounds nothing")
    for name, values in bounds.items():
        if name not in COSTS:
            raise BudgetError(f"a budget must bound {', '.join(COSTS)}, but names {name!r}")
        wrong = [value for value in values if not (isfinite(value) and 1 <= value <= LARGEST_BOUND)]
        if wrong:
            raise BudgetError(f"{name} must be at least 1 and at most 2^49, but the bound is {wrong[0]}")
    return {name: np.array([floor(value) for value in values], np.int64) for name, values in bounds.items()}


def _positive(name: str, value: int) -> int:
    if index(value) < 1:
        raise NetworkError(f"{name} must be at least 1, but is {value}")
    return index(value)
