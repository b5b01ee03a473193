"""Approaches II, III and IV: what the first conv, a pool behind it and the second conv may become.

All three enumerate values of the first conv [A] and of one layer behind it [B]: none in II, a pool in III, conv2 in IV.
Two values go together where the sides match: the rest of the network then reads what it read before. A cost depends on
few of these values (kernels, the side of conv1's map), so the width K1' is solved for once for each combination of
those, a class, and only classes with solutions are expanded to networks.

Legend: A rows of conv1, B rows of the layer behind, C classes of A, E classes of B, T solutions.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from search_spaces.architecture import Architecture
from search_spaces.compensation.conv_costs import conv_costs, layer_costs_of
from search_spaces.compensation.places import conv_of, own_group
from search_spaces.compensation.quadratic import UNBOUNDED, Column, largest_of
from search_spaces.compensation.rows import Rows, sides_of
from search_spaces.compensation.site import Site, find_site
from search_spaces.compensation.solutions import (
    COUNTS,
    Approach,
    Conditions,
    Costs,
    Miss,
    Ranges,
    Solutions,
    check_count,
    join_solutions,
    nearest_width,
)
from search_spaces.errors import NetworkError
from search_spaces.widths import with_widths


def solve_convs(
    base: Architecture, approach: Approach, resolutions: Sequence[int], conditions: Conditions, ranges: Ranges
) -> Solutions:
    """All networks of approach II, III or IV at these resolutions that meet the conditions."""
    site = find_site(base, approach)
    if approach == "IV" and ranges.filters2 is not None:
        return _solve_free(site, resolutions, conditions, ranges)
    rows = Rows.of(site, resolutions, ranges)
    if site.group is None:
        return _solve(site, rows, conditions, fixed=conv_of(site.stem).out_channels)
    generic = _solve(site, rows, conditions)
    apart = [_solve(site, rows, conditions, fixed=width) for width in site.rest.special]
    return join_solutions([generic, *apart]) if apart else generic


def _solve_free(site: Site, resolutions: Sequence[int], conditions: Conditions, ranges: Ranges) -> Solutions:
    """Approach IV with conv2's filters K2' free, too: solved for each of them, as what follows changes with them."""
    assert site.second is not None
    assert ranges.filters2 is not None
    number = own_group(site.base, site.second.node, site.groups, "IV")
    divisor = site.groups.groups[number].divisor
    parts = []
    for filters in range(-(-ranges.filters2[0] // divisor) * divisor, ranges.filters2[1] + 1, divisor):
        widths = [filters if i == number else width for i, width in enumerate(site.groups.widths)]
        found = solve_convs(
            with_widths(site.base, widths, site.groups), "IV", resolutions, conditions, replace(ranges, filters2=None)
        )
        columns = dict(found.columns)
        counts = {name: columns.pop(name) for name in COUNTS}
        chosen = {"filters2": np.full(len(found), filters)}
        misses = partial(_with_filters2, found, filters)
        parts.append(replace(found, columns=columns | chosen | counts, misses=misses))
    if not parts:
        raise NetworkError(f"filters2 must hold a multiple of {divisor}, but {list(ranges.filters2)} has none")
    return join_solutions(parts)


def _with_filters2(found: Solutions, filters: int) -> list[Miss]:
    return [(miss, {**row, "filters2": filters}) for miss, row in found.misses()]


def layer_counts(base: Architecture, approach: Approach) -> dict[str, int]:
    """What the layers that the approach edits cost in the base, as the left sides of the paper's equations.

    II and III: conv1. IV: conv1 and conv2. Weights without biases; the largest of the layers' activations.
    """
    site = find_site(base, approach)
    row = site.row()
    values = {name: np.array(value) for name, value in {**row, "dilation1": 1}.items()}
    values |= sides_of(site, values)
    width = row["channels1"] // site.unit
    terms = layer_costs_of(replace(site, approach="II") if approach == "III" else site, values)
    return {name: int(largest_of(terms[name], width)) for name in COUNTS}


def _solve(site: Site, rows: Rows, conditions: Conditions, fixed: int | None = None) -> Solutions:
    """Solutions with any K that is not special, or with a fixed one."""
    costs = conv_costs(site, {**rows.classes, **rows.second_classes}, fixed)
    shape = rows.pairs.shape
    high = np.broadcast_to(costs.most(conditions), shape)
    low = np.broadcast_to(costs.least(conditions), shape)
    below = high - sum((width <= high).astype(np.int64) for width in site.rest.special)
    if fixed is not None:
        below = (fixed <= high).astype(np.int64)
        low, high = np.where(low <= fixed, fixed, fixed + 1), np.minimum(high, fixed)
    counts = np.where(rows.pairs > 0, np.maximum(high - low + 1, 0), 0)
    check_count(int((counts * rows.pairs).sum()))
    columns = _expand(site, rows, costs, low, counts)
    if fixed is None and site.rest.special:
        keep = ~np.isin(columns["channels1"], np.multiply(site.rest.special, site.unit))
        columns = {name: column[keep] for name, column in columns.items()}
    return Solutions(
        approach=site.approach,
        columns={name: columns[name] for name in (*_shown(site), *COUNTS)},
        enumerated=int((np.where(high < UNBOUNDED, below, 0) * rows.pairs).sum()),
        misses=lambda: _nearest(site, rows, costs, conditions, fixed),
    )


def _shown(site: Site) -> tuple[str, ...]:
    first = ("resolution", "kernel1", "stride1", "padding1")
    match site.approach:
        case "II":
            return ("resolution", "stride1", "padding1", "dilation1")
        case "III":
            return (*first, "pool_kernel", "pool_stride", "pool_padding", "channels1")
        case _:
            return (*first, "kernel2", "stride2", "padding2", "channels1")


def _expand(site: Site, rows: Rows, costs: Costs, low: Column, counts: Column) -> dict[str, Column]:
    """A row for every conv1 and layer behind of two classes, and so many K from `low` on; costs hang on K and class."""
    chosen = np.flatnonzero(counts)
    places, widths = np.unravel_index(chosen, counts.shape), counts.ravel()[chosen]
    starts = np.cumsum(widths) - widths
    pair = np.repeat(np.arange(len(chosen)), widths)
    channels = low.ravel()[chosen][pair] + np.arange(len(pair)) - starts[pair]
    of_pairs = tuple(place[pair] for place in places)
    fits = rows.sides[places[0]] * rows.outer + places[1]
    behind = np.diff(rows.fit_starts)[fits]
    sizes = np.diff(rows.starts)[places[0]] * behind * widths
    which = np.repeat(np.arange(len(chosen)), sizes)
    within = np.arange(len(which)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    step, width = np.divmod(within, widths[which])
    first, second = np.divmod(step, behind[which])
    one = rows.starts[places[0]][which] + first
    other = rows.fits[rows.fit_starts[fits][which] + second]
    columns = {name: column[one] for name, column in rows.first.items()}
    columns |= {name: column[other] for name, column in rows.second.items()}
    known = starts[which] + width
    for name in COUNTS:
        terms = [term.at(counts.shape, of_pairs) for term in costs.network[name]]
        columns[name] = np.broadcast_to(largest_of(terms, channels), channels.shape)[known]
    return columns | {"channels1": (channels * site.unit)[known]}


def _nearest(site: Site, rows: Rows, costs: Costs, conditions: Conditions, fixed: int | None) -> list[Miss]:
    """The row whose largest relative miss of a window is smallest."""
    shape = rows.pairs.shape
    if not rows.pairs.any():
        return []
    if fixed is None:
        width, miss = nearest_width(costs, conditions, shape, skip=site.rest.special)
    else:
        width = np.full(shape, fixed)
        miss = np.broadcast_to(costs.miss(conditions, width), shape)
    best = int(np.argmin(np.where(rows.pairs > 0, miss, np.inf)))
    counts = np.zeros(shape, np.int64)
    counts.flat[best] = 1
    columns = _expand(site, rows, costs, width, counts)
    return [(float(miss.flat[best]), {name: int(columns[name][0]) for name in (*_shown(site), *COUNTS)})]
