"""Where the approaches edit a network: the conv that reads the image, the second conv, the map before the classifier.

A network that lacks what an approach needs is an error that says which condition fails.
"""

from dataclasses import dataclass

from search_spaces import formulas
from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.edits import classifier
from search_spaces.errors import NetworkError
from search_spaces.ops import (
    Activation,
    AdaptivePool,
    Affine,
    BatchNorm,
    Conv,
    Depthwise,
    Dropout,
    Expand,
    Flatten,
    Linear,
    Pool,
    PReLU,
)
from search_spaces.width_groups import FIXED, WidthGroups

_KEEPS_SIDES = Activation | Affine | BatchNorm | Dropout | Expand | PReLU
_MOVES_WINDOWS = Pool | Depthwise


def stem_of(base: Architecture, approach: str) -> Node:
    """The plain conv that alone reads the image. Raises NetworkError where none does, and for a network with exits."""
    if base.exits:
        raise NetworkError(
            f"approach {approach} needs a network with one answer, but it exits at {', '.join(base.exits)}, too"
        )
    readers = [node for node in base.nodes if INPUT in node.inputs]
    for node in readers:
        if not isinstance(node.op, Conv):
            raise NetworkError(
                f"approach {approach} needs a conv that reads the image, but {node.name!r} ({node.op.kind}) does"
            )
    if len(readers) > 1:
        raise NetworkError(
            f"approach {approach} needs one conv that reads the image, but {', '.join(n.name for n in readers)} do"
        )
    _check_plain(readers[0], approach)
    return readers[0]


def _check_plain(node: Node, approach: str) -> None:
    conv = conv_of(node)
    for size in (conv.kernel, conv.stride, conv.padding):
        if not isinstance(size, int):
            raise NetworkError(f"approach {approach} needs square convs, but {node.name!r} has {size}")
    if conv.groups != 1 or conv.dilation != 1:
        raise NetworkError(f"approach {approach} needs plain convs, but {node.name!r} has groups or dilation")


def conv_of(node: Node) -> Conv:
    """The conv of a node that is one."""
    assert isinstance(node.op, Conv)
    return node.op


def own_group(base: Architecture, node: Node, groups: WidthGroups, approach: str) -> int:
    """The width group that a layer's channels are, all of them."""
    runs = groups.runs[node.name]
    if len(runs) != 1 or runs[0].group == FIXED or runs[0].repeat != 1:
        raise NetworkError(
            f"approach {approach} needs {node.name!r} to have one width that can change, but its channels are "
            f"{'fixed' if any(run.group == FIXED for run in runs) else 'parted among others'}"
        )
    return runs[0].group


@dataclass(frozen=True, kw_only=True)
class SecondConv:
    """The second conv, the layers from the first one to it, and those of them whose maps others read, too.

    Of what others read, the sides must stay: `kept` are the places in (first conv, *between).
    """

    node: Node
    between: tuple[Node, ...]
    kept: tuple[int, ...]


def second_conv(base: Architecture, stem: Node, groups: WidthGroups) -> SecondConv:
    """Follows the first conv's output through layers that have no width of their own, up to a plain conv."""
    _check_two(base)
    chain, kept = [stem], list[int]()
    while True:
        readers = [node for node in base.nodes if chain[-1].name in node.inputs]
        onward = [node for node in readers if isinstance(node.op, Conv | _KEEPS_SIDES) or _is_square(node)]
        if not onward:
            names = ", ".join(f"{node.name!r} ({node.op.kind})" for node in readers)
            raise NetworkError(
                "approach IV needs a second conv, with only activations, norms, dropout, square pools and depthwise "
                f"convs before it, but {names} read(s) {chain[-1].name!r}"
            )
        if len(readers) > 1:
            kept.append(len(chain) - 1)
        if isinstance(onward[0].op, Conv):
            break
        chain.append(onward[0])
    conv2 = onward[0]
    _check_plain(conv2, "IV")
    own = own_group(base, stem, groups, "IV")
    if any(run.group == own for run in groups.runs[conv2.name]):
        raise NetworkError(
            f"approach IV needs {conv2.name!r} to keep its filters, but they are as many as those of {stem.name!r}"
        )
    return SecondConv(node=conv2, between=tuple(chain[1:]), kept=tuple(kept))


def _check_two(base: Architecture) -> None:
    convs = sum(isinstance(node.op, Conv) for node in base.nodes)
    if convs < 2:
        raise NetworkError(f"approach IV needs two convs, but the network has {convs}")


def _is_square(node: Node) -> bool:
    return isinstance(node.op, _MOVES_WINDOWS) and all(
        isinstance(getattr(node.op, size, 1), int) for size in ("kernel", "stride", "padding", "dilation")
    )


def side_after(node: Node, side: formulas.Integers) -> formulas.Integers:
    """Side of the output of what may stand between the convs, elementwise."""
    op = node.op
    if isinstance(op, Pool):
        return formulas.output_side(side, kernel=op.kernel, stride=op.stride, padding=op.padding, ceil=op.ceil)
    if isinstance(op, Depthwise):
        return formulas.output_side(side, kernel=op.kernel, stride=op.stride, padding=op.padding, dilation=op.dilation)
    return side


@dataclass(frozen=True, kw_only=True)
class Head:
    """Where a network's maps become a vector: the last map, the layers that flatten maps, the first hidden layer.

    `flattened` is empty where the vector's length does not depend on the resolution, as after a global pool; `hidden`
    is None where the classifier reads the vector.
    """

    map: str
    flattened: tuple[Node, ...]
    hidden: Node | None


def head_of(base: Architecture) -> Head:
    """What approach I pools, and the layer whose units make up for it."""
    scores = classifier(base)
    pools = [node for node in base.nodes if isinstance(node.op, AdaptivePool)]
    raised = base.with_ops({}, resolution=2 * base.resolution)
    flattened = [
        node
        for node in base.nodes
        if isinstance(node.op, Flatten) and base.shapes[node.name] != raised.shapes[node.name]
    ]
    last = [*flattened, *pools[-1:]]
    if not last or last[0].inputs[0] == INPUT:
        raise NetworkError(
            "approach I needs a map that becomes a vector before the classifier, but the network has none"
        )
    behind = {
        node.name for node in flattened or last
    }  # what reads the vector; a squeeze-excite's linear layers stand before it
    hidden = None
    for node in base.nodes:
        if behind.intersection(node.inputs):
            behind.add(node.name)
            if hidden is None and isinstance(node.op, Linear) and node.name != scores.name:
                hidden = node
    return Head(map=last[0].inputs[0], flattened=tuple(flattened), hidden=hidden)
