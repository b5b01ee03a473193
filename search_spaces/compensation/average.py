"""Approach I: any resolution, as an average pool before the first linear layer makes its input as long as ever.

Eq. (6) makes up for the larger map by fewer units Z1' of the hidden layer. It counts the pool and the linear layers
alone and leaves the convs out, which cost the square of the resolution; so the whole network is solved for, too, with
all convs narrowed by one factor, as little as needed: conv1 then has j of its K1 filters, for the largest j with which
a resolution has solutions.

Legend: R resolutions, J narrowings, T solutions.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from search_spaces.architecture import Architecture
from search_spaces.compensation.average_costs import layer_terms, network_terms
from search_spaces.compensation.places import conv_of
from search_spaces.compensation.pooled import Pooled
from search_spaces.compensation.quadratic import UNBOUNDED, Column, largest_of
from search_spaces.compensation.solutions import (
    COUNTS,
    Conditions,
    Costs,
    Miss,
    Solutions,
    check_count,
    nearest_width,
)
from search_spaces.errors import NetworkError
from search_spaces.widths import with_widths

NO_UNITS = (
    "approach I with scope layer needs a hidden linear layer, whose units eq. 6 frees, but the network has none; "
    "let scope be network"
)


def solve_average(base: Architecture, resolutions: Sequence[int], conditions: Conditions) -> Solutions:
    """All networks of approach I at these resolutions that meet the conditions, with a larger map than the base's.

    With conditions on the edited layers, as the paper has them, the convs stay as they are.
    """
    pooled = Pooled.of(base)
    if conditions.layer and pooled.hidden is None:
        raise NetworkError(NO_UNITS)
    raised = pooled.raised(resolutions)
    if not raised:
        columns = {name: np.empty(0, np.int64) for name in (*_free(pooled), *COUNTS)}
        return Solutions(approach="I", columns=columns, enumerated=0, misses=list)
    widths = np.array([pooled.groups.widths]) if conditions.layer else pooled.narrowed()
    costs = Costs(
        network=network_terms(pooled, raised, widths), layer=layer_terms(pooled, raised) if conditions.layer else {}
    )
    shape = (len(raised), len(widths))
    high, low = (np.broadcast_to(found, shape) for found in (costs.most(conditions), costs.least(conditions)))
    if pooled.hidden is None:  # one network for each narrowing
        high = np.minimum(high, 1)
    counts = np.maximum(high - low + 1, 0)
    wider = np.cumsum(counts[:, ::-1] > 0, axis=1)[:, ::-1]  # how many narrowings as wide or wider have solutions
    counts = np.where(wider == 1, counts, 0)  # only the widest
    check_count(int(counts.sum()))
    axes = np.array([base.resolution for base in raised]), widths[:, pooled.own]
    return Solutions(
        approach="I",
        columns=_expand(pooled, costs, axes, low, counts),
        enumerated=int(np.where(high < UNBOUNDED, high, 0).sum()),
        misses=lambda: _nearest(pooled, costs, axes, conditions),
    )


def _free(pooled: Pooled) -> tuple[str, ...]:
    return ("resolution", "channels1") if pooled.hidden is None else ("resolution", "channels1", "units")


def _expand(
    pooled: Pooled, costs: Costs, axes: tuple[Column, Column], low: Column, counts: Column
) -> dict[str, Column]:
    """Columns [T]: for every resolution and narrowing so many numbers of units from `low` [R, J] on."""
    chosen = np.flatnonzero(counts)
    lengths = counts.ravel()[chosen]
    which = np.repeat(chosen, lengths)
    units = np.arange(len(which)) + np.repeat(low.ravel()[chosen] - np.cumsum(lengths) + lengths, lengths)
    places = tuple(np.unravel_index(which, counts.shape))
    free = (axes[0][places[0]], axes[1][places[1]], units * pooled.unit)
    columns = dict(zip(_free(pooled), free, strict=False))
    for name in COUNTS:
        terms = [term.at(counts.shape, places) for term in costs.network[name]]
        columns[name] = np.broadcast_to(largest_of(terms, units), units.shape)
    return columns


def _nearest(pooled: Pooled, costs: Costs, axes: tuple[Column, Column], conditions: Conditions) -> list[Miss]:
    """The network whose largest relative miss of a window is smallest."""
    shape = (len(axes[0]), len(axes[1]))
    width, miss = nearest_width(costs, conditions, shape)
    if pooled.hidden is None:
        width = np.ones(shape, np.int64)
    counts = np.zeros(shape, np.int64)
    counts.flat[np.argmin(miss)] = 1
    row = {name: int(column[0]) for name, column in _expand(pooled, costs, axes, width, counts).items()}
    return [(float(miss.min()), row)]


def pooled_side(base: Architecture, resolution: int) -> int:
    """U': side of the map that approach I pools, at a resolution that its solutions have."""
    pooled = Pooled.of(base)
    (raised,) = pooled.raised([resolution])
    return int(raised.shapes[pooled.head.map][-1])


def layer_counts_average(base: Architecture) -> dict[str, int]:
    """What the average pool and the linear layers behind it cost in the base (left side of eq. 6)."""
    pooled = Pooled.of(base)
    if pooled.hidden is None:
        raise NetworkError(NO_UNITS)
    width = pooled.groups.widths[pooled.hidden] // pooled.unit
    terms = layer_terms(pooled, [pooled.base])
    return {name: int(np.ravel(largest_of(terms[name], width))[0]) for name in COUNTS}


def apply_average(base: Architecture, row: Mapping[str, int]) -> Architecture:
    """The base at a row's resolution, with its pool, its units and its narrowed convs."""
    pooled = Pooled.of(base)
    widths = list(pooled.groups.widths)
    if row["channels1"] != conv_of(pooled.stem).out_channels:
        narrowed = pooled.narrowed()
        widths = [int(width) for width in narrowed[narrowed[:, pooled.own] == row["channels1"]][0]]
    if pooled.hidden is not None:
        widths[pooled.hidden] = row["units"]
    return with_widths(pooled.base, widths, pooled.groups).with_ops({}, resolution=row["resolution"])
