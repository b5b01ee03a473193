"""What the networks of approach I cost as functions of the hidden layer's units.

Legend: R resolutions, J narrowings.
"""

from collections.abc import Sequence

import numpy as np

from search_spaces.architecture import Architecture
from search_spaces.compensation.pooled import Pooled
from search_spaces.compensation.quadratic import Column, Quadratic
from search_spaces.errors import NetworkError
from search_spaces.formulas import Integers
from search_spaces.ops import Shape, channels_of
from search_spaces.symbolic import symbolic_shapes


def network_terms(pooled: Pooled, raised: Sequence[Architecture], widths: Column) -> dict[str, list[Quadratic]]:
    """The whole network's counts [R, J] at these resolutions and widths [J, G].

    The formulas are elementwise, so all networks are counted at once, with three numbers of units each.
    """
    units = pooled.unit * np.array([1, 2, 3]).reshape(3, 1, 1)
    columns = [units if i == pooled.hidden else widths[:, i] for i in range(widths.shape[1])]
    shapes = symbolic_shapes(_stacked(raised), pooled.groups, columns)
    sums: dict[str, Integers] = {"params": 0, "macs": 0, "flops": 0}
    held: list[Integers] = []
    constant: Integers = 0
    for node in pooled.base.nodes:
        sources, out = tuple(shapes[name] for name in node.inputs), shapes[node.name]
        for name, count in (("params", node.op.params), ("macs", node.op.macs), ("flops", node.op.flops)):
            sums[name] = sums[name] + count(sources, out)
        activation = node.op.activation(sources, out)
        if np.ndim(activation) == 3:
            held.append(activation)
        else:
            constant = np.maximum(constant, activation)
    terms = {name: [_through(count)] for name, count in sums.items()}
    return terms | {"activation_elements": [Quadratic(constant), *map(_through, held)]}


def _stacked(raised: Sequence[Architecture]) -> dict[str, Shape]:
    """Shapes of the same network at all resolutions: what differs between them is an array [R, 1]."""
    return {
        name: tuple(map(_stack, zip(*(base.shapes[name] for base in raised), strict=True))) for name in raised[0].shapes
    }


def _stack(numbers: tuple[int, ...]) -> Integers:
    return numbers[0] if len(set(numbers)) == 1 else np.array(numbers)[:, None]


def _through(counts: Integers) -> Quadratic:
    """The quadratic with these values [3, R, J] at 1, 2 and 3."""
    if np.ndim(counts) < 3:
        return Quadratic(counts)
    one, two, three = counts
    square = (three - 2 * two + one) // 2
    linear = two - one - 3 * square
    return Quadratic(one - linear - square, linear, square if np.any(square) else 0)


def layer_terms(pooled: Pooled, raised: Sequence[Architecture]) -> dict[str, list[Quadratic]]:
    """Counts [R, 1] of the pool and the linear layers as eq. 6 has them: U1^2 V1 + V1 Z1 + Z1 Z2 FLOPs, no biases."""
    assert pooled.head.hidden is not None
    areas = np.array([pooled.area(base) for base in raised])[:, None]
    pool = areas * channels_of(pooled.base.shapes[pooled.head.map])
    read = channels_of(pooled.base.source_shapes(pooled.head.hidden)[0])
    behind, unit = _next_width(pooled), pooled.unit
    weights = Quadratic(0, (read + behind) * unit)
    return {
        "params": [weights],
        "macs": [weights],
        "flops": [weights + Quadratic(pool)],
        "activation_elements": [Quadratic(pool + read), Quadratic(read, unit), Quadratic(behind, unit)],
    }


def _next_width(pooled: Pooled) -> int:
    """Z2: the outputs of the linear layer that reads the hidden one."""
    runs = pooled.groups.runs
    for node in pooled.base.nodes:
        reads_hidden = any(run.group == pooled.hidden for name in node.inputs for run in runs[name])
        if node.op.kind == "linear" and reads_hidden and runs[node.name][0].group != pooled.hidden:
            return int(channels_of(pooled.base.shapes[node.name]))
    raise NetworkError("approach I needs a linear layer behind the hidden one, but finds none")
