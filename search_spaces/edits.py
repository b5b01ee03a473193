"""Edits: functions from one network to another. Widths are set in `search_spaces.widths`."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from math import prod
from typing import Any

from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.errors import NetworkError
from search_spaces.formulas import output_side
from search_spaces.names import unused_name
from search_spaces.ops import (
    Activation,
    AdaptivePool,
    Affine,
    BatchNorm,
    Conv,
    Depthwise,
    Dropout,
    Flatten,
    LayerNorm,
    Linear,
    MeanReplicas,
    Op,
    Pad,
    Pool,
    Resize,
    SpaceToDepth,
    is_map,
    pair,
)

WAY_OUT = "use the way upsample or resolution, or a smaller factor"  # where strides cannot be skipped
_KEEPS_CLASSES = Activation | AdaptivePool | Affine | BatchNorm | Dropout | LayerNorm | MeanReplicas | Pool


def with_resolution(architecture: Architecture, resolution: int) -> Architecture:
    """The network for images of another side; raises NetworkError, naming the node, where it is too small."""
    return architecture.with_ops({}, resolution=resolution)


def rescaled(architecture: Architecture, resolution: int) -> Architecture:
    """The network for images of another side, and all its maps with them.

    Raises NetworkError as `with_resolution` and `check_maps_follow`.
    """
    check_maps_follow(architecture)
    return with_resolution(architecture, resolution)


def check_maps_follow(architecture: Architecture) -> None:
    """Raise NetworkError where a resize brings images of any side to one, so that maps do not change with them."""
    resized = [node for node in architecture.nodes if node.inputs == (INPUT,) and isinstance(node.op, Resize)]
    if resized:
        raise NetworkError(
            f"the maps must follow the image, but node {resized[0].name!r} brings every image to "
            f"{architecture.shapes[resized[0].name][-1]} px; change internal of the isometric network instead"
        )


def with_channels(architecture: Architecture, channels: int) -> Architecture:
    """The network for images of another number of channels."""
    _, height, width = architecture.input
    return Architecture(input=(channels, height, width), nodes=architecture.nodes, exits=architecture.exits)


def with_classes(architecture: Architecture, classes: int) -> Architecture:
    """The network with another number of classes: another width of the layers that make the scores of all exits."""
    ops: dict[str, Op] = {}
    for node in (classifier(architecture, answer) for answer in architecture.answers):
        if isinstance(node.op, Linear):
            ops[node.name] = replace(node.op, out_features=classes)
        else:
            assert isinstance(node.op, Conv)
            ops[node.name] = replace(node.op, out_channels=classes)
    return architecture.with_ops(ops)


def classifier(architecture: Architecture, answer: str | None = None) -> Node:
    """The linear layer or conv that makes the class scores of an exit, of the last node if none is named.

    Raises NetworkError where something else makes them.
    """
    node = architecture.node(answer) if answer else architecture.nodes[-1]
    while not isinstance(node.op, Linear | Conv):
        passes = isinstance(node.op, _KEEPS_CLASSES) or (
            isinstance(node.op, Flatten) and prod(architecture.source_shapes(node)[0][-2:]) == 1
        )
        if not passes or node.inputs[0] == INPUT:
            raise NetworkError(
                f"the scores must come from a linear layer or a conv to change the number of classes, but "
                f"{node.name!r} ({node.op.kind}) makes them"
            )
        node = architecture.node(node.inputs[0])
    return node


def insert(architecture: Architecture, name: str, op: Op, *, after: str) -> Architecture:
    """The network with a layer put behind a node (or behind the image, `input`): what read the node reads the layer.

    Behind an exit, the layer is the exit.
    """
    if after != INPUT:
        architecture.node(after)
    nodes: list[Node] = []
    new = Node(name=name, op=op, inputs=(after,))
    for node in architecture.nodes:
        if after == INPUT and not nodes:
            nodes.append(new)
        nodes.append(replace(node, inputs=tuple(name if source == after else source for source in node.inputs)))
        if node.name == after:
            nodes.append(new)
    exits = tuple(name if answer == after else answer for answer in architecture.exits)
    return Architecture(input=architecture.input, nodes=tuple(nodes), exits=exits)


def stem(architecture: Architecture) -> Node:
    """The conv that reads the image; raises NetworkError where something else does."""
    readers = [node for node in architecture.nodes if INPUT in node.inputs]
    if len(readers) != 1 or not isinstance(readers[0].op, Conv):
        raise NetworkError(f"one conv must read the image, but {', '.join(node.name for node in readers)} do(es)")
    return readers[0]


def replace_stem(architecture: Architecture, **fields: Any) -> Architecture:
    """The network with other fields (kernel, stride, padding, ...) of the conv that reads the image."""
    node = stem(architecture)
    try:
        return architecture.with_ops({node.name: replace(node.op, **fields)})
    except TypeError as error:
        raise NetworkError(f"a conv has no field of these: {', '.join(fields)}") from error


def feed_by_space_to_depth(architecture: Architecture, block: int) -> Architecture:
    """The network for images `block` times as large, brought to its own resolution by space-to-depth.

    With the first conv C x C of stride 1 that is one conv of kernel `block` C and stride `block`.
    """
    return feed_through(architecture, SpaceToDepth(block=block), architecture.resolution * block)


def feed_through(architecture: Architecture, op: Op, side: int) -> Architecture:
    """The network for images of another side, which an op (as an upsampling) brings to its own resolution."""
    fed = Node(name=unused_name(set(architecture.shapes), op.kind), op=op, inputs=(INPUT,))
    nodes = [
        replace(node, inputs=tuple(fed.name if source == INPUT else source for source in node.inputs))
        for node in architecture.nodes
    ]
    return Architecture(input=(architecture.input[0], side, side), nodes=(fed, *nodes), exits=architecture.exits)


def dilate(architecture: Architecture, names: Mapping[str, int]) -> Architecture:
    """The network with convs dilated by a rate each, padded so that their output sides stay.

    Raises NetworkError where a conv has a stride, or where a padding would have to be half a pixel.
    """
    ops: dict[str, Op] = {}
    for name, rate in names.items():
        op = architecture.node(name).op
        if not isinstance(op, Conv | Depthwise) or pair(op.stride) != (1, 1):
            raise NetworkError(f"node {name!r} must be a conv of stride 1 to be dilated, but is not")
        if type(rate) is not int or rate < 1:
            raise NetworkError(f"node {name!r}: a rate of dilation must be an integer of at least 1, but got {rate}")
        axes = zip(pair(op.kernel), pair(op.dilation), pair(op.padding), strict=True)
        added = [(rate - 1) * dilation * (kernel - 1) for kernel, dilation, _ in axes]
        if any(twice % 2 for twice in added):
            raise NetworkError(
                f"node {name!r}: a dilation by {rate} must pad by whole pixels, but kernel {op.kernel} is even"
            )
        (top, left), (height, width) = pair(op.padding), pair(op.dilation)
        padding = (top + added[0] // 2, left + added[1] // 2)
        ops[name] = replace(op, padding=padding, dilation=(height * rate, width * rate))
    return architecture.with_ops(ops)


def check_divides(factor: int, resolution: int) -> None:
    """Raise NetworkError, naming the divisors, unless the factor divides the resolution."""
    if type(factor) is not int or factor < 1 or resolution % factor:
        divisors = ", ".join(str(n) for n in range(2, resolution + 1) if resolution % n == 0)
        raise NetworkError(
            f"the factor must divide the resolution {resolution}, but is {factor!r}; use one of {divisors or 1}"
        )


def skip_strides(architecture: Architecture, factor: int) -> Architecture:
    """The network for images `factor` times smaller that keeps its internal resolution: early strides become 1.

    A layer loses its stride where the layers before it have reduced the image by less than `factor`. Pools whose
    windows do not overlap are made to keep the side, other layers get the padding that they need, convs a `Pad` where
    it is odd; so every map behind the skipped strides has its old side. A `Shortcut` that no longer needs its conv
    becomes the identity.

    Raises NetworkError where no strides multiply to the factor, or, naming the node, where a side cannot be kept.
    """
    check_divides(factor, architecture.resolution)
    resolution = architecture.resolution // factor
    sides = {name: shape[-2] for name, shape in architecture.shapes.items() if is_map(shape)}
    ops: dict[str, Op] = {}
    pads: dict[str, Pad | None] = {}
    reached = 1
    last: set[str] = set()  # of the layers that lose their stride: behind these all is as it was
    for node in architecture.nodes:
        stride = getattr(node.op, "stride", 1)
        if stride == 1 or not isinstance(stride, int) or node.inputs[0] not in sides:
            continue
        reduced = round(architecture.resolution / sides[node.inputs[0]])
        if reduced < factor:
            if factor % (reduced * stride):
                raise NetworkError(
                    f"the early strides must multiply to {factor}, but node {node.name!r} of stride {stride} comes "
                    f"where the image is {reduced} times smaller; {WAY_OUT}"
                )
            side, wanted = min(sides[node.inputs[0]], resolution), sides[node.name]
            reached = max(reached, reduced * stride)
            if reduced * stride == factor:
                last.add(node.name)
            else:
                wanted = min(wanted, resolution)
            ops[node.name], pads[node.name] = _without_stride(node.op, side, wanted)
    if reached < factor:
        raise NetworkError(
            f"the early strides must multiply to {factor}, but all strides multiply to {reached}; {WAY_OUT}"
        )
    skipped = _with_pads(architecture, ops, pads, resolution)
    _check_sides(architecture, skipped, last)
    return skipped


def _without_stride(op: Op, side: int, wanted: int) -> tuple[Op, Pad | None]:
    """The layer with stride 1 that brings a map to the wanted side where it can, and what pads the map before it."""
    if isinstance(op, Pool) and op.kernel == op.stride and side == wanted:
        return replace(op, kernel=1, stride=1, padding=0), None
    if isinstance(op, Conv | Depthwise | Pool) and isinstance(op.kernel, int):
        dilation = op.dilation if isinstance(op, Conv | Depthwise) else 1
        missing = wanted - output_side(side, kernel=op.kernel, dilation=pair(dilation)[0])
        if missing >= 0 and missing % 2 == 0:
            return replace(op, stride=1, padding=missing // 2), None
        if not isinstance(op, Pool):  # a zero in front of a maximum would be seen
            before = int(missing / 2)
            after = missing - before
            return replace(op, stride=1, padding=0), Pad(left=before, top=before, right=after, bottom=after)
    return replace(op, stride=1), None  # type: ignore[call-arg]


def _with_pads(
    architecture: Architecture, ops: Mapping[str, Op], pads: Mapping[str, Pad | None], resolution: int
) -> Architecture:
    """The network with other ops, some of them with padding before them."""
    nodes: list[Node] = []
    used = set(architecture.shapes)
    for node in architecture.nodes:
        inputs, pad = node.inputs, pads.get(node.name)
        if pad:
            nodes.append(Node(name=unused_name(used, f"{node.name}_pad"), op=pad, inputs=inputs))
            inputs = (nodes[-1].name,)
        nodes.append(replace(node, op=ops.get(node.name, node.op), inputs=inputs))
    side = (architecture.input[0], resolution, resolution)
    return Architecture(input=side, nodes=tuple(nodes), exits=architecture.exits)


def _check_sides(architecture: Architecture, skipped: Architecture, last: Collection[str]) -> None:
    """Raise NetworkError where a map has lost its side; before the last skipped strides it may be the image's."""
    for name, shape in architecture.shapes.items():
        side, allowed = skipped.shapes[name][-2:], [shape[-2:]]
        if name not in last:
            allowed.append(tuple(min(n, skipped.resolution) for n in shape[-2:]))
        if is_map(shape) and side not in allowed:
            raise NetworkError(
                f"node {name!r}: without early strides its map must stay {allowed[-1][-1]} px, but becomes "
                f"{side[-1]} px; choose another factor or upsample the image"
            )
