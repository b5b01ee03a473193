"""Borji's approach IV: a higher resolution at equal cost, by re-balancing the first two convs (section 3.4).

conv1 gets a larger kernel C1', its own stride and padding and another number of filters K1'; conv2 gets
another kernel C2', stride and padding, and keeps its filters K2 and its output side M2 (eq. 16 to 18), so the
rest of the network stays as it is. Every cost of the whole network is then the maximum of a few functions
that are affine in K1', so K1' follows in closed form from the other values; those are enumerated as arrays.

Legend: T solutions, G geometries (all free values but K1').
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces import formulas
from search_spaces.architecture import Architecture
from search_spaces.cost import COSTS, count_cost
from search_spaces.errors import BudgetError, NetworkError
from search_spaces.first_convs import FirstConvs, conv_of, first_convs, side_after
from search_spaces.ops import Pool
from search_spaces.windows import Windows, relative_miss

Column = NDArray[np.int64]
MOST_SOLUTIONS = 5_000_000  # 1 GB of columns
MOST_GEOMETRIES = 20_000_000
FREE = ("resolution", "kernel1", "stride1", "padding1", "kernel2", "stride2", "padding2")


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """Inclusive ranges of the free values; the defaults are the paper's (section 4)."""

    kernel: tuple[int, int] = (3, 8)
    stride: tuple[int, int] = (1, 5)
    padding: tuple[int, int] = (1, 5)


@dataclass(frozen=True, kw_only=True)
class Solutions:
    """Every network found, as columns [T]: the values of `FREE`, `channels1`, and the names of `COSTS`.

    `enumerated` counts the networks that keep every upper bound, `len` those that keep the lower ones too; where
    there are none, `nearest` is the row whose largest relative miss is smallest.
    """

    columns: Mapping[str, Column]
    enumerated: int
    nearest: Mapping[str, int] | None

    def __len__(self) -> int:
        return len(self.columns["channels1"])

    def row(self, index: int) -> dict[str, int]:
        """One solution as plain integers."""
        return {name: int(column[index]) for name, column in self.columns.items()}


def solve_approach_iv(base: Architecture, *, resolutions: Sequence[int], windows: Windows, ranges: Ranges) -> Solutions:
    """All networks of approach IV at these resolutions whose whole cost lies in every window.

    `windows` maps names of `COSTS` to inclusive bounds (low, high); equality is (c, c). The set is complete:
    it holds exactly the networks that brute force over `ranges` and every K1' of 1 or more gives.
    Raises NetworkError where the base does not begin with two plain convs or the ranges are too wide, BudgetError
    where more than MOST_SOLUTIONS fit.
    """
    convs = first_convs(base)
    geometry = _matching_geometries(base, convs, resolutions, ranges)
    at_zero, at_one = (_cost_terms(base, convs, geometry, k) for k in (0, 1))
    low, high = np.ones(_length(geometry), np.int64), np.full(_length(geometry), np.iinfo(np.int32).max)
    for name, (least, most) in windows.items():
        slopes = [one - zero for zero, one in zip(at_zero[name], at_one[name], strict=True)]
        low = np.maximum(low, _least_channels(at_zero[name], slopes, least))
        high = np.minimum(high, _most_channels(at_zero[name], slopes, most))
    counts = np.maximum(high - low + 1, 0)
    if counts.sum() > MOST_SOLUTIONS:
        raise BudgetError(
            f"a budget must leave at most {MOST_SOLUTIONS:,} networks, but {counts.sum():,} keep it; "
            "bound both params and macs, near the base's, or lower the tolerance"
        )
    columns = _expand(geometry, low, counts)
    terms = _cost_terms(base, convs, columns, columns["channels1"])
    columns |= {name: _largest(terms[name], _length(columns)) for name in COSTS}
    return Solutions(
        columns=columns,
        enumerated=int(np.maximum(high, 0).sum()),
        nearest=None if counts.any() else _nearest(base, convs, geometry, windows),
    )


def apply_approach_iv(base: Architecture, solution: Mapping[str, int]) -> Architecture:
    """The base with the first two convs and the resolution of one row of `Solutions`."""
    convs = first_convs(base)
    conv1, conv2 = (
        replace(
            conv_of(node),
            kernel=solution[f"kernel{i}"],
            stride=solution[f"stride{i}"],
            padding=solution[f"padding{i}"],
        )
        for i, node in ((1, convs.conv1), (2, convs.conv2))
    )
    ops = {
        convs.conv1.name: replace(conv1, out_channels=solution["channels1"]),
        convs.conv2.name: conv2,
    }
    return base.with_ops(ops, resolution=solution["resolution"])


def _matching_geometries(
    base: Architecture, convs: FirstConvs, resolutions: Sequence[int], ranges: Ranges
) -> dict[str, Column]:
    """Columns [G] of `FREE`, and of the sides `side1`, `source2`, for which conv2's output side is the base's."""
    kernels, strides, paddings = (
        np.arange(low, high + 1) for low, high in (ranges.kernel, ranges.stride, ranges.padding)
    )
    larger = kernels[kernels > conv_of(convs.conv1).kernel]  # C1' > C1, eq. 18
    first = _grid(np.asarray(resolutions, np.int64), larger, strides, paddings)
    second = _grid(kernels, strides, paddings)
    if len(first[0]) * len(second[0]) > MOST_GEOMETRIES:
        raise NetworkError(
            f"the ranges must give at most {MOST_GEOMETRIES:,} combinations, but give "
            f"{len(first[0]) * len(second[0]):,}; narrow resolutions, kernel, stride or padding"
        )
    side1 = formulas.output_side(first[0], kernel=first[1], stride=first[2], padding=first[3])
    source2 = side1
    for op in convs.between:
        source2 = side_after(op, source2)
    side2 = formulas.output_side(source2[:, None], kernel=second[0], stride=second[1], padding=second[2])
    exists = (side1 >= 1) & (source2 >= 1)
    i, j = np.nonzero(exists[:, None] & (side2 == base.shapes[convs.conv2.name][1]))
    columns = [*(column[i] for column in first), *(column[j] for column in second)]
    return dict(zip(FREE, columns, strict=True)) | {"side1": side1[i], "source2": source2[i]}


def _grid(*axes: Column) -> list[Column]:
    """Columns of the Cartesian product."""
    return [column.ravel() for column in np.meshgrid(*axes, indexing="ij")]


def _cost_terms(
    base: Architecture, convs: FirstConvs, columns: Mapping[str, Column], channels: formulas.Integers
) -> dict[str, list[Column]]:
    """Per cost the functions of K1' = `channels` whose maximum it is, each a column; all are affine in K1'."""
    conv1, conv2 = conv_of(convs.conv1), conv_of(convs.conv2)
    image, kept = base.input[0], conv2.out_channels
    side1, source2 = columns["side1"], columns["source2"]
    side2 = base.shapes[convs.conv2.name][1]
    params = formulas.conv_params(image, channels, window=columns["kernel1"] ** 2, bias=conv1.bias)
    params = params + formulas.conv_params(channels, kept, window=columns["kernel2"] ** 2, bias=conv2.bias)
    macs = formulas.conv_macs(image, channels, window=columns["kernel1"] ** 2, area=side1**2)
    macs = macs + formulas.conv_macs(channels, kept, window=columns["kernel2"] ** 2, area=side2**2)
    held = [formulas.map_elements(image, columns["resolution"] ** 2) + formulas.map_elements(channels, side1**2)]
    side = side1
    for op in convs.between:
        after = side_after(op, side)
        written = formulas.map_elements(channels, after**2) if isinstance(op, Pool) else 0
        held.append(formulas.map_elements(channels, side**2) + written)
        side = after
    held.append(formulas.map_elements(channels, source2**2) + formulas.map_elements(kept, side2**2))
    held.append(np.full_like(side1, convs.rest["activation_elements"]))
    return {
        "params": [params + convs.rest["params"]],
        "macs": [macs + convs.rest["macs"]],
        "activation_elements": held,
    }


def _most_channels(fixed: list[Column], slopes: list[Column], most: int) -> Column:
    """Largest K1' with max_i(fixed_i + slope_i K1') <= most, columns [G]; below 1 where there is none."""
    limits = [
        np.where(
            slope > 0,
            (most - start) // np.maximum(slope, 1),
            np.where(start <= most, np.iinfo(np.int32).max, 0),
        )
        for start, slope in zip(fixed, slopes, strict=True)
    ]
    return np.asarray(np.min(limits, axis=0))


def _least_channels(fixed: list[Column], slopes: list[Column], least: int) -> Column:
    """Smallest K1' with max_i(fixed_i + slope_i K1') >= least, columns [G]."""
    limits = [
        np.where(
            slope > 0,
            -((start - least) // np.maximum(slope, 1)),
            np.where(start >= least, 1, np.iinfo(np.int32).max),
        )
        for start, slope in zip(fixed, slopes, strict=True)
    ]
    return np.asarray(np.min(limits, axis=0))


def _expand(geometry: Mapping[str, Column], low: Column, counts: Column) -> dict[str, Column]:
    """A row for every K1' from low to low + counts - 1 of every geometry."""
    rows = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return {name: column[rows] for name, column in geometry.items()} | {"channels1": low[rows] + within}


def _nearest(
    base: Architecture, convs: FirstConvs, geometry: Mapping[str, Column], windows: Windows
) -> dict[str, int] | None:
    """The row whose largest relative miss of a window is smallest.

    For each geometry that is convex in K1', as all costs are, so its minimum is found by bisection on its slope.
    """
    if not _length(geometry):
        return None
    low = np.ones(_length(geometry), np.int64)
    high = np.full(_length(geometry), 2**16)
    while np.any(low < high):
        middle = (low + high) // 2
        falling = _largest_miss(base, convs, geometry, windows, middle + 1) < _largest_miss(
            base, convs, geometry, windows, middle
        )
        low, high = np.where(falling, middle + 1, low), np.where(falling, high, middle)
    rows = {**geometry, "channels1": low}
    terms = _cost_terms(base, convs, rows, low)
    rows |= {name: _largest(terms[name], _length(rows)) for name in COSTS}
    best = int(np.argmin(_largest_miss(base, convs, geometry, windows, low)))
    return {name: int(column[best]) for name, column in rows.items()}


def _largest_miss(
    base: Architecture, convs: FirstConvs, geometry: Mapping[str, Column], windows: Windows, channels: Column
) -> NDArray[np.float64]:
    terms = _cost_terms(base, convs, geometry, channels)
    costs = {name: _largest(terms[name], _length(geometry)) for name in windows}
    return np.asarray(np.max([relative_miss(costs[name], *windows[name]) for name in windows], axis=0))


def _largest(terms: list[Column], length: int) -> Column:
    return np.asarray(np.max([np.broadcast_to(term, length) for term in terms], axis=0))


def _length(columns: Mapping[str, Column]) -> int:
    return len(columns["resolution"])


def base_row(base: Architecture) -> dict[str, int]:
    """The base's own values under the names of a solution's row."""
    convs = first_convs(base)
    conv1, conv2 = conv_of(convs.conv1), conv_of(convs.conv2)
    values: dict[str, Any] = {
        "resolution": base.resolution,
        "kernel1": conv1.kernel,
        "stride1": conv1.stride,
        "padding1": conv1.padding,
        "kernel2": conv2.kernel,
        "stride2": conv2.stride,
        "padding2": conv2.padding,
        "channels1": conv1.out_channels,
    }
    return values | count_cost(base).bounded()
