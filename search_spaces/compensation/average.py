"""Approach I: any resolution, as an average pool before the first linear layer makes its input as long as ever.

Eq. (6) makes up for the larger map by fewer units Z1' of the hidden layer. It counts the pool and the linear layers
alone and leaves the convs out, which cost the square of the resolution; so the whole network is solved for, too, with
all convs narrowed by one factor, as little as needed: conv1 then has j of its K1 filters, for the largest j with which
a resolution has solutions.

Legend: J narrowings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from search_spaces.architecture import Architecture, Node
from search_spaces.compensation.places import Head, conv_of, head_of, own_group, stem_of
from search_spaces.compensation.quadratic import UNBOUNDED, Column, Quadratic, largest_of
from search_spaces.compensation.solutions import COUNTS, Conditions, Costs, Solutions, check_count, nearest_width
from search_spaces.edits import insert
from search_spaces.errors import NetworkError
from search_spaces.formulas import Integers
from search_spaces.ops import AdaptivePool, channels_of
from search_spaces.symbolic import symbolic_shapes
from search_spaces.width_groups import WidthGroups, find_width_groups
from search_spaces.widths import with_widths

NO_UNITS = "approach I with scope layer needs a hidden linear layer, whose units eq. 6 frees, but the network has none"


@dataclass(frozen=True, kw_only=True)
class _Pooled:
    """A base with average pools before its classifier, and the layer whose units are free."""

    base: Architecture
    head: Head
    stem: Node

    @staticmethod
    def of(base: Architecture) -> "_Pooled":
        stem, head = stem_of(base, "I"), head_of(base)
        pooled = base
        for node in head.flattened:
            pooled = insert(pooled, _unused(pooled, f"{node.name}_pool"), AdaptivePool(), after=node.inputs[0])
        return _Pooled(base=pooled, head=head, stem=stem)

    def groups(self) -> WidthGroups:
        """Of the pooled base."""
        return find_width_groups(self.base)

    def hidden(self, groups: WidthGroups) -> int | None:
        """The group of the free units; None where no layer has any."""
        return None if self.head.hidden is None else own_group(self.base, self.head.hidden, groups, "I")

    def narrowed(self, groups: WidthGroups) -> Column:
        """Widths [J, G] of the convs for conv1 with 1, 2, ... K1 filters, all by the same factor, rounded half up.

        The linear layers, and what is as wide as they are, keep their widths.
        """
        filters = conv_of(self.stem).out_channels
        own = own_group(self.base, self.stem, groups, "I")
        narrow = np.arange(1, filters + 1)
        columns = []
        for number, group in enumerate(groups.groups):
            convs = all(self.base.node(layer).op.kind == "conv" for layer in group.layers)
            scaled = (2 * group.width * narrow + filters * group.divisor) // (2 * filters * group.divisor)
            column = np.maximum(scaled, 1) * group.divisor
            columns.append(np.where(number == own, narrow, column) if convs else np.full(filters, group.width))
        widths = np.stack(columns, axis=1)
        return np.asarray(widths[widths[:, own] % groups.groups[own].divisor == 0])


def solve_average(base: Architecture, resolutions: Sequence[int], conditions: Conditions) -> Solutions:
    """All networks of approach I at these resolutions that meet the conditions, with a larger map than the base's.

    With conditions on the edited layers, as the paper has them, the convs stay as they are.
    """
    pooled = _Pooled.of(base)
    if conditions.layer and pooled.head.hidden is None:
        raise NetworkError(NO_UNITS)
    parts = [_solve_at(pooled, base, side, conditions) for side in resolutions]
    columns = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    check_count(len(columns["resolution"]))
    best = min((part[2] for part in parts if part[2] is not None), key=lambda found: found[0], default=None)
    return Solutions(
        approach="I",
        columns=columns,
        enumerated=sum(part[1] for part in parts),
        nearest=None if len(columns["resolution"]) or best is None else best[1],
    )


def layer_counts_average(base: Architecture) -> dict[str, int]:
    """What the average pool and the linear layers behind it cost in the base (left side of eq. 6)."""
    pooled = _Pooled.of(base)
    groups = pooled.groups()
    hidden = pooled.hidden(groups)
    if hidden is None:
        raise NetworkError(NO_UNITS)
    terms = _layer_terms(pooled, pooled.base, groups, hidden)
    return {name: int(largest_of(terms[name], groups.widths[hidden])) for name in COUNTS}


_Nearest = tuple[float, dict[str, int]]


def _solve_at(
    pooled: _Pooled, original: Architecture, side: int, conditions: Conditions
) -> tuple[dict[str, Column], int, _Nearest | None]:
    """Columns [T] at a resolution, networks within the upper bounds, and the nearest network."""
    base = pooled.base.with_ops({}, resolution=side)
    groups = find_width_groups(base)
    own, hidden = own_group(base, base.node(pooled.stem.name), groups, "I"), pooled.hidden(groups)
    widths = pooled.narrowed(groups) if not conditions.layer else np.array([groups.widths])
    if _area(base, pooled.head) <= _area(original, pooled.head):  # U1' > U1
        widths = widths[:0]
    costs = Costs(
        network=_network_terms(base, groups, widths, hidden) if conditions.network else {},
        layer=_layer_terms(pooled, base, groups, hidden) if conditions.layer and hidden is not None else {},
    )
    shape = len(widths)
    high, low = (np.broadcast_to(found, shape) for found in (costs.most(conditions), costs.least(conditions)))
    below = np.where(high < UNBOUNDED, high, 0)
    if hidden is None:  # a network for each narrowing
        below, high = (high >= 1).astype(np.int64), np.minimum(high, 1)
    counts = np.maximum(high - low + 1, 0)
    counts[: np.flatnonzero(counts)[-1] if counts.any() else 0] = 0  # only the widest that has solutions
    check_count(int(counts.sum()))
    which = np.repeat(np.arange(shape), counts)
    units = low[which] + np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = _columns(side, widths[which, own], units, hidden, _network_terms(base, groups, widths[which], hidden))
    if len(which) or not shape:
        return columns, int(below.sum()), None
    width, miss = nearest_width(costs, conditions, np.full(shape, 1 if hidden is None else 2**16))
    best = int(np.argmin(miss))
    row, terms = slice(best, best + 1), _network_terms(base, groups, widths[best : best + 1], hidden)
    nearest = _columns(side, widths[row, own], width[row], hidden, terms)
    return columns, int(below.sum()), (float(miss[best]), {name: int(column[0]) for name, column in nearest.items()})


def _columns(
    side: int, filters: Column, units: Column, hidden: int | None, terms: Mapping[str, Sequence[Quadratic]]
) -> dict[str, Column]:
    length = len(units)
    values = {"resolution": np.full(length, side), "channels1": filters}
    values |= {} if hidden is None else {"units": units}
    counted = {name: np.broadcast_to(largest_of(terms[name], units), length) for name in COUNTS}
    return {name: np.asarray(column, np.int64) for name, column in (values | counted).items()}


def _area(architecture: Architecture, head: Head) -> int:
    """U^2: positions of the map that becomes a vector."""
    return prod(architecture.shapes[head.map][-2:])


def _network_terms(
    base: Architecture, groups: WidthGroups, widths: Column, hidden: int | None
) -> dict[str, list[Quadratic]]:
    """The whole network's counts at widths [J, G] as functions of the hidden layer's units."""
    samples = [_counts(base, groups, widths, hidden, units) for units in ((1, 2, 3) if hidden is not None else (1,))]
    if hidden is None:
        return {name: [Quadratic(count) for count in samples[0][name]] for name in COUNTS}
    return {name: [_through(*values) for values in zip(*(s[name] for s in samples), strict=True)] for name in COUNTS}


def _through(one: Integers, two: Integers, three: Integers) -> Quadratic:
    """The quadratic with these values at 1, 2 and 3."""
    square = (three - 2 * two + one) // 2
    linear = two - one - 3 * square
    return Quadratic(one - linear - square, linear, square)


def _counts(
    base: Architecture, groups: WidthGroups, widths: Column, hidden: int | None, units: int
) -> dict[str, list[Integers]]:
    """Counts [J]: sums, and every node's activation."""
    columns = [np.full(len(widths), units) if i == hidden else widths[:, i] for i in range(widths.shape[1])]
    shapes = symbolic_shapes(base, groups, columns)
    zero = np.zeros(len(widths), np.int64)
    sums: dict[str, Integers] = {"params": zero, "macs": zero, "flops": zero}
    held = []
    for node in base.nodes:
        sources, out = tuple(shapes[name] for name in node.inputs), shapes[node.name]
        for name, count in (("params", node.op.params), ("macs", node.op.macs), ("flops", node.op.flops)):
            sums[name] = sums[name] + count(sources, out)
        held.append(zero + node.op.activation(sources, out))
    return {**{name: [value] for name, value in sums.items()}, "activation_elements": held}


def _layer_terms(
    pooled: _Pooled, base: Architecture, groups: WidthGroups, hidden: int | None
) -> dict[str, list[Quadratic]]:
    """Counts of the pool and the linear layers as eq. 6 has them: U1^2 V1 + V1 Z1 + Z1 Z2 FLOPs, no biases."""
    assert hidden is not None
    assert pooled.head.hidden is not None
    pool = _area(base, pooled.head) * channels_of(base.shapes[pooled.head.map])
    read = channels_of(base.source_shapes(pooled.head.hidden)[0])
    behind = _next_width(base, groups, hidden)
    weights = Quadratic(0, read + behind)
    return {
        "params": [weights],
        "macs": [weights],
        "flops": [weights + Quadratic(pool)],
        "activation_elements": [Quadratic(pool + read), Quadratic(read, 1), Quadratic(behind, 1)],
    }


def _next_width(base: Architecture, groups: WidthGroups, hidden: int) -> int:
    """Z2: the outputs of the linear layer that reads the hidden one."""
    for node in base.nodes:
        reads_hidden = any(run.group == hidden for run in groups.runs[node.inputs[0]]) if node.inputs else False
        if node.op.kind == "linear" and reads_hidden and groups.runs[node.name][0].group != hidden:
            return int(channels_of(base.shapes[node.name]))
    raise NetworkError("approach I needs a linear layer behind the hidden one, but finds none")


def apply_average(base: Architecture, row: Mapping[str, int]) -> Architecture:
    """The base at a row's resolution, with its pool, its units and its narrowed convs."""
    pooled = _Pooled.of(base)
    groups = pooled.groups()
    widths = list(groups.widths)
    if row["channels1"] != conv_of(pooled.stem).out_channels:
        narrowed = pooled.narrowed(groups)
        own = own_group(pooled.base, pooled.stem, groups, "I")
        widths = [int(width) for width in narrowed[narrowed[:, own] == row["channels1"]][0]]
    hidden = pooled.hidden(groups)
    if hidden is not None:
        widths[hidden] = row["units"]
    return with_widths(pooled.base, widths, groups).with_ops({}, resolution=row["resolution"])


def _unused(base: Architecture, name: str) -> str:
    names = {node.name for node in base.nodes}
    while name in names:
        name += "_"
    return name
