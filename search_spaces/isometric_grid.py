"""Isometric networks over depth, multiplier, internal and image resolution that keep a budget (Sandler et al. 2019).

All points are counted together: the layers' own formulas are evaluated on arrays of shapes, of a network with one
block, and what a block costs is taken `depth` times. T points.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import floor, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.architecture import INPUT, Architecture
from search_spaces.cost import COSTS, check_bounds
from search_spaces.errors import BudgetError, NetworkError
from search_spaces.formulas import Integers
from search_spaces.ops import Shape, is_map
from search_spaces.symbolic import symbolic_shapes
from search_spaces.width_groups import find_width_groups
from search_spaces.windows import relative_miss
from search_spaces.zoo.checks import check_count, check_factor
from search_spaces.zoo.isometric import HIDDEN, fold_block, isometric, isometric_widths

AXES = ("depth", "multiplier", "internal", "resolution")
MOST = {"depth": 1024, "internal": 4096, "resolution": 2**16}  # the first two are the zoo's own
MOST_POINTS = 10_000_000  # of a grid: some 5 s, 1 GB where all keep the bounds
CHUNK = 2**15  # points at a time: what they need stays in the cache of one core
EXACT = 2**62  # of one count, which arrays of int64 hold
_INTERNAL = 2  # px of the template: not 1, as pooled maps have
Column = NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class IsometricGrid:
    """The points [T] of a grid that keep the bounds, as columns; `enumerated` points were counted.

    The order is that of the ranges given, resolution running fastest. Multipliers that round to the same widths stay
    two points.
    """

    depth: Column
    multiplier: Column
    internal: Column
    resolution: Column
    params: Column
    macs: Column
    activation_elements: Column
    enumerated: int
    classes: int
    channels: int

    def __len__(self) -> int:
        return len(self.depth)

    def text_of(self, row: int) -> str:
        """The network of a row as `make_network` reads it; its resolution is said beside the text."""
        return _text({name: getattr(self, name)[row] for name in AXES})

    def architecture_of(self, row: int) -> Architecture:
        """The network of a row; raises IndexError where there is none."""
        return isometric(
            depth=int(self.depth[row]),
            multiplier=float(self.multiplier[row]),
            internal=int(self.internal[row]),
            resolution=int(self.resolution[row]),
            classes=self.classes,
            channels=self.channels,
        )


def isometric_grid(  # noqa: PLR0913
    depths: Sequence[int],
    multipliers: Sequence[float],
    internals: Sequence[int],
    resolutions: Sequence[int],
    *,
    classes: int = 1000,
    channels: int = 3,
    bounds: Mapping[str, float],
) -> IsometricGrid:
    """Every `isometric` network of these ranges that keeps the bounds (upper ones, by the names of `COSTS`).

    Counts are exact, those of `count_cost`. Raises NetworkError for ranges that are empty or no such numbers,
    BudgetError for bounds that are none, or that no network keeps: it names the nearest one.
    """
    check_bounds(bounds)
    limits = {name: min(floor(bound), EXACT) for name, bound in bounds.items()}  # of counts, the same bounds
    ranges = _checked_ranges(depths, multipliers, internals, resolutions)
    family = _Family.of(ranges, classes, channels)
    kept: list[Mapping[str, Column]] = []
    nearest: tuple[float, Mapping[str, Any]] = (float("inf"), {})
    for points in _chunks(ranges):
        counted = points | family.costs(points)
        misses = np.max([np.full(len(points["depth"]), -1.0), *_misses(counted, limits)], axis=0)
        kept.append({name: column[misses <= 0] for name, column in counted.items()})
        least = int(misses.argmin())
        if misses[least] < nearest[0]:
            nearest = (float(misses[least]), {name: column[least] for name, column in counted.items()})
    if nearest[0] > 0:
        raise BudgetError(_no_network(nearest[1], bounds))
    names = [one.name for one in fields(IsometricGrid) if one.name in (*AXES, *COSTS)]
    columns = {name: np.concatenate([part[name] for part in kept]) for name in names}
    enumerated = prod(len(values) for values in ranges.values())
    return IsometricGrid(**columns, enumerated=enumerated, classes=classes, channels=channels)


@dataclass(frozen=True, kw_only=True)
class _Family:
    """A network of one block that is resized and folded, and widths by multiplier."""

    template: Architecture
    multipliers: Column
    widths: Mapping[str, Column] = field(repr=False)  # of the layers that begin a width group, [multipliers]

    @staticmethod
    def of(ranges: Mapping[str, Column], classes: int, channels: int) -> "_Family":
        template = isometric(
            depth=1, internal=_INTERNAL, resolution=2 * _INTERNAL - 1, classes=classes, channels=channels
        )
        order = np.sort(ranges["multiplier"])
        widths = [isometric_widths(float(multiplier)) for multiplier in order]
        family = _Family(
            template=template,
            multipliers=order,
            widths={
                "stem": np.array([one.bottleneck for one in widths]),
                "block0_expand": np.array([one.expanded for one in widths]),
                "block0_squeeze_reduce": np.array([one.squeezed for one in widths]),
                "head": np.array([one.head for one in widths]),
                "hidden": np.full(len(widths), HIDDEN),
            },
        )
        family._check_exact(ranges)
        return family

    def costs(self, points: Mapping[str, Column]) -> dict[str, Column]:
        """The columns of `COSTS` at points."""
        rows = np.searchsorted(self.multipliers, points["multiplier"])
        widths = {name: column[rows] for name, column in self.widths.items()}
        block = fold_block(points["resolution"], points["internal"])
        return self._count(widths, points, block)

    def _check_exact(self, ranges: Mapping[str, Column]) -> None:
        """Counts only grow with each number, so floats at the largest ones tell."""
        widths = {name: column.max(keepdims=True).astype(float) for name, column in self.widths.items()}
        largest = {name: ranges[name].max(keepdims=True).astype(float) for name in AXES}
        block = fold_block(largest["resolution"], ranges["internal"].min())
        most = max(float(column[0]) for column in self._count(widths, largest, block).values())
        if most >= EXACT:
            raise NetworkError(f"counts must stay below 2^62 to be exact, but may reach {most:.4g}; use smaller ranges")

    def _count(self, widths: Mapping[str, Column], points: Mapping[str, Column], block: Column) -> dict[str, Column]:
        shapes = self._shapes(widths, points, block)
        resized = shapes["resize"][-1] != points["resolution"]
        params = macs = held = np.zeros_like(points["depth"])
        for node in self.template.nodes:
            sources, out = tuple(shapes[name] for name in node.inputs), shapes[node.name]
            times: Integers = points["depth"] if node.name.startswith("block0_") else 1
            params = params + times * node.op.params(sources, out)
            macs = macs + times * node.op.macs(sources, out)
            # a fold of one pixel is no layer, but reads no more than the stem; a resize to the same side would count
            held = np.maximum(held, node.op.activation(sources, out) * (resized if node.name == "resize" else 1))
        return {"params": params, "macs": macs, "activation_elements": held}

    def _shapes(self, widths: Mapping[str, Column], points: Mapping[str, Column], block: Column) -> Mapping[str, Shape]:
        """Shapes of the template's nodes whose numbers are arrays [T] or integers."""
        groups = find_width_groups(self.template)
        shapes = symbolic_shapes(self.template.shapes, groups, [widths[group.name] for group in groups.groups])
        channels, side, internal = self.template.input[0], points["resolution"], points["internal"]
        folded = block * internal
        at_internal = {
            name: (shape[0], internal, internal) if is_map(shape) and shape[-1] == _INTERNAL else shape
            for name, shape in shapes.items()
        }
        return at_internal | {
            INPUT: (channels, side, side),
            "resize": (channels, folded, folded),
            "space_to_depth": (channels * block**2, internal, internal),
        }


def _checked_ranges(*values: Sequence[float]) -> dict[str, Column]:
    """The ranges as arrays, by axis."""
    ranges: dict[str, Column] = {}
    for name, numbers in zip(AXES, values, strict=True):
        if not len(numbers):
            raise NetworkError(f"{name} must have at least one value, but the range is empty")
        for number in numbers:
            if name == "multiplier":
                check_factor(name, number)
            else:
                check_count(name, number, most=MOST[name])  # type: ignore[arg-type]
        ranges[name] = np.array(numbers, float if name == "multiplier" else np.int64)
        if len(np.unique(ranges[name])) < len(numbers):
            raise NetworkError(f"values of {name} must differ, but one stands twice in {list(numbers)[:20]}")
    points = prod(len(column) for column in ranges.values())
    if points > MOST_POINTS:
        raise NetworkError(f"a grid must have at most {MOST_POINTS:,} points, but has {points:,}; use fewer values")
    return ranges


def _chunks(ranges: Mapping[str, Column]) -> Iterator[dict[str, Column]]:
    """The grid's points in order, some at a time, by axis."""
    sizes = tuple(len(column) for column in ranges.values())
    for start in range(0, prod(sizes), CHUNK):
        places = np.unravel_index(np.arange(start, min(start + CHUNK, prod(sizes))), sizes)
        yield {name: column[place] for (name, column), place in zip(ranges.items(), places, strict=True)}


def _misses(counted: Mapping[str, Column], limits: Mapping[str, int]) -> list[Column]:
    return [relative_miss(counted[name], 0, limit) for name, limit in limits.items()]


def _text(point: Mapping[str, Any]) -> str:
    depth, multiplier, internal = int(point["depth"]), float(point["multiplier"]), int(point["internal"])
    return f"isometric:depth={depth},multiplier={multiplier},internal={internal}"


def _no_network(point: Mapping[str, Any], bounds: Mapping[str, float]) -> str:
    """What is said where no point keeps the bounds; `point` is the nearest one."""
    costs = ", ".join(f"{name} {int(point[name]):,} (bound {bound:,})" for name, bound in bounds.items())
    return (
        f"a network of the grid must keep all bounds, but none does; the nearest is {_text(point)} at "
        f"{int(point['resolution'])} px with {costs}; raise the bounds or add smaller values"
    )
