"""The first two convs of a network, and what approach IV needs of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search_spaces import formulas
from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.cost import layer_costs
from search_spaces.errors import NetworkError
from search_spaces.ops import Activation, Conv, Dropout, Op, Pool


@dataclass(frozen=True, kw_only=True)
class FirstConvs:
    """The first two convs of a network, what lies between, and what the rest costs (one number a cost)."""

    conv1: Node
    between: tuple[Op, ...]
    conv2: Node
    rest: Mapping[str, int]


def first_convs(base: Architecture) -> FirstConvs:
    """Raises NetworkError, saying which condition fails, where a network does not begin with two plain convs."""
    places = [i for i, node in enumerate(base.nodes) if isinstance(node.op, Conv)][:2]
    if len(places) < 2:
        raise NetworkError(f"approach IV needs two convs, but the network has {len(places)}")
    first, second = places
    conv1, conv2 = base.nodes[first], base.nodes[second]
    if first != 0 or conv1.inputs != (INPUT,):
        raise NetworkError(f"approach IV needs a conv that reads the image, but {base.nodes[0].name!r} comes first")
    for node in (conv1, conv2):
        conv = conv_of(node)
        for size in (conv.kernel, conv.stride, conv.padding):
            if not isinstance(size, int):
                raise NetworkError(f"approach IV needs square convs, but {node.name!r} has {size}")
        if conv.groups != 1 or conv.dilation != 1:
            raise NetworkError(f"approach IV needs plain convs, but {node.name!r} has groups or dilation")
    between, later = base.nodes[1:second], base.nodes[second + 1 :]
    _check_chain(between, conv2, later)
    rest = layer_costs(base)
    return FirstConvs(
        conv1=conv1,
        between=tuple(node.op for node in between),
        conv2=conv2,
        rest={
            "params": sum(layer.params for i, layer in enumerate(rest) if i not in places),
            "macs": sum(layer.macs for layer in rest[second + 1 :]),
            "activation_elements": max((layer.activation_elements for layer in rest[second + 1 :]), default=0),
        },
    )


def _check_chain(between: Sequence[Node], conv2: Node, later: Sequence[Node]) -> None:
    """Between the convs, only what has no weights and no other reader: conv1's filters then count nowhere else."""
    for node in between:
        square = isinstance(node.op, Pool) and all(
            isinstance(size, int) for size in (node.op.kernel, node.op.stride, node.op.padding)
        )
        if not square and not isinstance(node.op, Activation | Dropout):
            raise NetworkError(
                f"approach IV needs only activations, dropout and square pools between the first two convs, but "
                f"{node.name!r} is {node.op.kind}"
            )
    first = {node.name for node in between} | {INPUT}
    for node in later:
        if first & set(node.inputs):
            raise NetworkError(
                f"approach IV needs {conv2.name!r} to be all that the rest reads, but {node.name!r} skips it"
            )


def side_after(op: Op, side: formulas.Integers) -> formulas.Integers:
    """Side of the output of what may stand between the convs, elementwise."""
    if not isinstance(op, Pool):
        return side
    return formulas.output_side(side, kernel=op.kernel, stride=op.stride, padding=op.padding, ceil=op.ceil)


def conv_of(node: Node) -> Conv:
    """The conv of a node that is one."""
    assert isinstance(node.op, Conv)
    return node.op
