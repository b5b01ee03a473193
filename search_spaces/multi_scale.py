"""MSNet: a network twice, on an image and on the image at half its side (Cheng et al. 2019, section 3).

The low network answers first; the high one reuses its features: after every stage they are upsampled and added.
"""

from typing import Literal, TypeAlias, get_args

from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.errors import NetworkError
from search_spaces.names import unused_name
from search_spaces.ops import Add, Op, Pad, Pool, Upsample
from search_spaces.stages import find_stages

Upsampling: TypeAlias = Literal["nearest", "bilinear"]
UPSAMPLINGS: tuple[Upsampling, ...] = get_args(Upsampling)
HALF = Pool(function="average", kernel=2, stride=2, ceil=True)  # of an odd side, the last pixels are means of fewer


def multi_scale(architecture: Architecture, *, upsampling: Upsampling = "nearest") -> Architecture:
    """The MSNet of a network: x_H^{i+1} = H^i(x_H^i) + u(x_L^{i+1}) after every stage i (eq. 2, section 3.3).

    Both halves are the network itself, with weights of their own: `low_...` on the image averaged 2 x 2, whose last
    node is the exit, and `high_...` on the image as it is, whose last node is the last one. Where u(x_L) is larger or
    smaller than H(x_H), it is cropped or padded with zeros at the right and the bottom. Stages are those of
    `find_stages`. The pads are made for this resolution: make the network of a base at another one, not the reverse.

    Raises NetworkError for an upsampling that is none, a network with exits already or without class scores, one
    without stages, one that cannot be at half the resolution, and one whose low maps are not about half as large.
    """
    if upsampling not in UPSAMPLINGS:
        raise NetworkError(f"the upsampling must be one of {', '.join(UPSAMPLINGS)}, but got {upsampling!r}")
    if architecture.exits or len(architecture.output) != 1:
        given = f"exits at {', '.join(architecture.exits)}, too" if architecture.exits else f"is {architecture.output}"
        raise NetworkError(f"a multi-scale network needs one with one answer, a score a class, but it {given}")
    ends = [architecture.nodes[stop - 1].name for stop in find_stages(architecture)]
    if not ends:
        raise NetworkError(
            "a multi-scale network needs a stage: layers with weights, then one map alone that goes on, before the "
            "pooling or the flatten of the head; this network has none"
        )
    low = _low_network(architecture)
    used = {INPUT}
    image = unused_name(used, "low_image")
    lows = {INPUT: image} | {node.name: unused_name(used, f"low_{node.name}") for node in low.nodes}
    highs = {INPUT: INPUT} | {node.name: unused_name(used, f"high_{node.name}") for node in low.nodes}
    nodes = [Node(name=image, op=HALF, inputs=(INPUT,)), *(_copied(node, lows) for node in low.nodes)]
    for node in architecture.nodes:
        nodes.append(_copied(node, highs))
        if node.name in ends:
            stage, last = f"high_stage{ends.index(node.name) + 1}", lows[node.name]
            for kind, op in _fitting(node.name, low, architecture, upsampling):
                nodes.append(Node(name=unused_name(used, f"{stage}_{kind}"), op=op, inputs=(last,)))
                last = nodes[-1].name
            nodes.append(Node(name=unused_name(used, f"{stage}_sum"), op=Add(), inputs=(highs[node.name], last)))
            highs[node.name] = nodes[-1].name  # for those that read it
    return Architecture(input=architecture.input, nodes=tuple(nodes), exits=(lows[low.nodes[-1].name],))


def _low_network(architecture: Architecture) -> Architecture:
    """The network at the side of the low image."""
    side = -(-architecture.resolution // 2)
    try:
        return architecture.with_ops({}, resolution=side)
    except NetworkError as error:
        raise NetworkError(
            f"a multi-scale network needs one that can be at half its resolution, {side} px, but there: {error}"
        ) from error


def _copied(node: Node, names: dict[str, str]) -> Node:
    return Node(name=names[node.name], op=node.op, inputs=tuple(names[name] for name in node.inputs))


def _fitting(name: str, low: Architecture, high: Architecture, upsampling: Upsampling) -> list[tuple[str, Op]]:
    """What brings a node's low map to the sides of its high one: u, and a crop or zeros at the right and the bottom."""
    (*_, height, width), (*_, rows, columns) = low.shapes[name], high.shapes[name]
    missing = rows - 2 * height, columns - 2 * width
    if 2 * abs(missing[0]) > rows or 2 * abs(missing[1]) > columns:
        raise NetworkError(
            f"low maps must be about half as large as high ones to be added, but {name!r} is {height} x {width} px in "
            f"the low network and {rows} x {columns} px in the high one; use a network whose maps follow the resolution"
        )
    up = ("up", Upsample(function=upsampling, factor=2))
    return [up, ("fit", Pad(bottom=missing[0], right=missing[1]))] if any(missing) else [up]
