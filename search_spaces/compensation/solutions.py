"""What the approaches range over, and what they find."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias, get_args

import numpy as np

from search_spaces.compensation.quadratic import Column, Quadratic, largest_of, least_width, most_width
from search_spaces.errors import BudgetError, NetworkError
from search_spaces.formulas import Integers
from search_spaces.windows import Windows

Approach: TypeAlias = Literal["I", "II", "III", "IV"]
APPROACHES: tuple[Approach, ...] = get_args(Approach)
COUNTS = ("params", "macs", "flops", "activation_elements")  # what can be kept: fields of `Cost`
MOST_SOLUTIONS = 5_000_000  # 1 GB of columns
MOST_GEOMETRIES = 20_000_000
MOST_NEAR = 2**16  # filters of the nearest network, where none keeps the conditions
MOST_COUNT = 2**62  # of one network: what arrays hold
Miss: TypeAlias = tuple[float, Mapping[str, int]]  # largest share by which a network's cost lies outside, and its row
Terms: TypeAlias = Mapping[str, Sequence[Quadratic]]  # per count, the functions of K of which it is the largest


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """Inclusive ranges of the free values; the defaults are the paper's (section 4). Pools take the convs' ranges.

    `filters2` frees conv2's filters in approach IV (eq. 20 lists K2' as free, eq. 19 keeps it). `any_pool_padding`
    lifts the rule of torch's pools, padding <= kernel / 2, and so counts what the equations allow but nobody can build.
    """

    kernel: tuple[int, int] = (3, 8)
    stride: tuple[int, int] = (1, 5)
    padding: tuple[int, int] = (1, 5)
    dilation: tuple[int, int] = (2, 4)
    filters2: tuple[int, int] | None = None
    any_pool_padding: bool = False


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Inclusive windows (low, high) by the names of `COUNTS`: of the whole network, and of the edited layers.

    The edited layers are counted as the paper's equations do: weights without biases, FLOPs with the pool's.
    """

    network: Windows
    layer: Windows

    def windows(self) -> list[tuple[str, str, int, int]]:
        """Scope, name and both bounds of each."""
        both = (("network", self.network), ("layer", self.layer))
        return [
            (scope, name, min(low, MOST_COUNT), min(high, MOST_COUNT))
            for scope, windows in both
            for name, (low, high) in windows.items()
        ]


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What networks cost as functions of the free width: the whole network, and the edited layers."""

    network: Terms
    layer: Terms

    def most(self, conditions: Conditions) -> Integers:
        """The largest width within all upper bounds."""
        found: Integers = most_width([Quadratic()], 0)
        for scope, name, _, high in conditions.windows():
            found = np.minimum(found, most_width(self.of(scope)[name], high))
        return found

    def least(self, conditions: Conditions) -> Integers:
        """The smallest width of 1 or more within all lower bounds."""
        found: Integers = 1
        for scope, name, low, _ in conditions.windows():
            found = np.maximum(found, least_width(self.of(scope)[name], low))
        return found

    def shortage(self, conditions: Conditions, width: Integers) -> Integers:
        """Largest share by which a cost falls short of its window; it shrinks with the width."""
        return self._largest(conditions, width, lambda cost, low, high: low - cost)

    def excess(self, conditions: Conditions, width: Integers) -> Integers:
        """Largest share by which a cost exceeds its window; it grows with the width."""
        return self._largest(conditions, width, lambda cost, low, high: cost - high)

    def miss(self, conditions: Conditions, width: Integers) -> Integers:
        """Largest share by which a cost lies outside its window; negative inside."""
        return np.maximum(self.shortage(conditions, width), self.excess(conditions, width))

    def _largest(
        self, conditions: Conditions, width: Integers, miss: Callable[[Integers, int, int], Integers]
    ) -> Integers:
        worst: Integers = -1.0
        for scope, name, low, high in conditions.windows():
            cost = largest_of(self.of(scope)[name], width)
            worst = np.maximum(worst, miss(cost, low, high) / max(high, 1))
        return worst

    def of(self, scope: str) -> Terms:
        """The terms of a scope."""
        return self.network if scope == "network" else self.layer


@dataclass(frozen=True, kw_only=True)
class Solutions:
    """Every network that an approach gives, as columns [T]: its free values, then the whole network's `COUNTS`.

    `enumerated` counts the networks that keep every upper bound, `len` those that keep the lower ones too. `misses`
    finds networks among which the nearest one is, where there are none.
    """

    approach: Approach
    columns: Mapping[str, Column]
    enumerated: int
    misses: Callable[[], Iterable[Miss]]

    def __len__(self) -> int:
        return len(self.columns["resolution"])

    @cached_property
    def nearest(self) -> Mapping[str, int] | None:
        """Where no network was found, the one whose largest relative miss is smallest; None where no values fit."""
        misses = [] if len(self) else list(self.misses())
        return min(misses, key=lambda found: found[0])[1] if misses else None

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the values that the approach chose."""
        return tuple(name for name in self.columns if name not in COUNTS)

    def taken(self, rows: Column) -> "Solutions":
        """Some of them, or all in another order."""
        return replace(self, columns={name: column[rows] for name, column in self.columns.items()})

    def row(self, index: int) -> dict[str, int]:
        """One solution as plain integers."""
        return {name: int(column[index]) for name, column in self.columns.items()}


def join_solutions(parts: Sequence[Solutions]) -> Solutions:
    """Solutions of one approach that were found one after the other; there is one part at least."""
    return Solutions(
        approach=parts[0].approach,
        columns={name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
        enumerated=sum(part.enumerated for part in parts),
        misses=lambda: [miss for part in parts for miss in part.misses()],
    )


def nearest_width(
    costs: Costs, conditions: Conditions, shape: tuple[int, ...], skip: Sequence[int] = ()
) -> tuple[Column, Column]:
    """For every row the K from 1 to `MOST_NEAR`, none of `skip`, that misses the conditions least, and by how much.

    What costs fall short by shrinks with K and what they exceed by grows: the best K is where the two cross, or beside
    it.
    """
    low, high = np.ones(shape, np.int64), np.full(shape, MOST_NEAR)
    while np.any(low < high):
        middle = (low + high) // 2
        crossed = costs.excess(conditions, middle) >= costs.shortage(conditions, middle)
        low, high = np.where(crossed, low, middle + 1), np.where(crossed, middle, high)
    best, least = low, np.full(shape, np.inf)
    for step in range(-1 - len(skip), 1 + len(skip)):
        width = np.clip(low + step, 1, MOST_NEAR)
        miss = np.where(np.isin(width, skip), np.inf, costs.miss(conditions, width))
        best, least = np.where(miss < least, width, best), np.minimum(miss, least)
    return best, least


def grid(*axes: Column) -> list[Column]:
    """Columns of the Cartesian product, the first axis outermost."""
    return [column.ravel() for column in np.meshgrid(*axes, indexing="ij")]


def span(limits: tuple[int, int]) -> Column:
    """The integers of an inclusive range."""
    return np.arange(limits[0], limits[1] + 1)


def check_size(count: int) -> None:
    """Raise NetworkError where ranges give more combinations than can be held."""
    if count > MOST_GEOMETRIES:
        raise NetworkError(
            f"the ranges must give at most {MOST_GEOMETRIES:,} combinations, but give {count:,}; "
            "narrow resolutions, kernel, stride or padding"
        )


def check_count(count: int) -> None:
    """Raise BudgetError where more networks fit than can be held."""
    if count > MOST_SOLUTIONS:
        raise BudgetError(
            f"a budget must leave at most {MOST_SOLUTIONS:,} networks, but {count:,} keep it; "
            "bound both params and macs, near the base's, or lower the tolerance"
        )
