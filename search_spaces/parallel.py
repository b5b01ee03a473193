"""Parallel isometric networks (Sandler et al. 2019, section 7.5): one image as a batch of smaller ones."""

from dataclasses import replace
from typing import Literal, TypeAlias, get_args

from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.errors import NetworkError
from search_spaces.names import unused_name
from search_spaces.ops import MeanReplicas, Op, Resize, SpaceToBatch, SpaceToDepth, Upsample, is_map, pair

Order: TypeAlias = Literal["batch-first", "depth-first"]
ORDERS: tuple[Order, ...] = get_args(Order)


def parallel(architecture: Architecture, block: int, order: Order) -> Architecture:
    """The isometric network for images `block` times as large, run on block^2 parts of each, whose scores are averaged.

    With "batch-first" a part is every block-th pixel, so the parts hardly differ (figure 10c). With "depth-first" it is
    every block-th patch, a patch being what one position of the network folds (figure 10f); the paper finds it much the
    better. Where nothing is folded both are the same. Weights and internal resolution stay, MACs are block^2 as many.

    Raises NetworkError for an order or a block that cannot be, and for a network with exits or maps of several sides.
    """
    if order not in ORDERS:
        raise NetworkError(f"the order must be one of {', '.join(ORDERS)}, but got {order!r}")
    to_batch = SpaceToBatch(block=block)
    fold = _fold(architecture)
    _check_isometric(architecture, fold)
    used = set(architecture.shapes)
    split, mean = (unused_name(used, kind) for kind in (SpaceToBatch.kind, MeanReplicas.kind))
    enlarged = fold if order == "depth-first" else []
    last = enlarged[-1].name if enlarged else INPUT
    inside = [replace(node, inputs=_renamed(node, last, split)) for node in architecture.nodes[len(enlarged) :]]
    channels, side, _ = architecture.input
    return Architecture(
        input=(channels, side * block, side * block),
        nodes=(
            *(replace(node, op=_enlarged(node.op, block)) for node in enlarged),
            Node(name=split, op=to_batch, inputs=(last,)),
            *inside,
            Node(name=mean, op=MeanReplicas(), inputs=(inside[-1].name if inside else split,)),
        ),
    )


def _renamed(node: Node, old: str, new: str) -> tuple[str, ...]:
    return tuple(new if name == old else name for name in node.inputs)


def _fold(architecture: Architecture) -> list[Node]:
    """The first nodes, as far as they only bring the image to the internal resolution."""
    fold: list[Node] = []
    last = INPUT
    for node in architecture.nodes:
        if not isinstance(node.op, Resize | Upsample | SpaceToDepth) or node.inputs != (last,):
            break
        fold.append(node)
        last = node.name
    return fold


def _enlarged(op: Op, block: int) -> Op:
    """What the op must be for an image that is `block` times as large."""
    if not isinstance(op, Resize):
        return op
    height, width = pair(op.size)
    return replace(op, size=(height * block, width * block))


def _check_isometric(architecture: Architecture, fold: list[Node]) -> None:
    """Raise NetworkError unless all maps behind the fold have one side, or one pixel, and one node answers."""
    if architecture.exits:
        raise NetworkError(
            f"a parallel network must have one answer to average, but exits at {', '.join(architecture.exits)}, too"
        )
    names = [fold[-1].name if fold else INPUT, *(node.name for node in architecture.nodes[len(fold) :])]
    wanted = architecture.shapes[names[0]][-1]
    for name in names:
        shape = architecture.shapes[name]
        if len(shape) in (2, 4):
            raise NetworkError(f"a parallel network must not be parallel already, but node {name!r} has replicas")
        if is_map(shape) and shape[-2:] not in ((wanted, wanted), (1, 1)):
            raise NetworkError(
                f"a parallel network needs one internal resolution, but node {name!r} is {shape[-1]} px and not "
                f"{wanted}; use an isometric network"
            )
    if len(architecture.output) != 1:
        raise NetworkError(f"a parallel network must give class scores, but gives {architecture.output}")
