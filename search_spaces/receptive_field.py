"""Which pixels one unit of every layer depends on (Sandler et al. 2019, figure 8).

What all units in question read is followed backwards through the graph together, along one axis at a time, with the
positions that `search_spaces.coverage` says each layer reads. U units, one a node.
"""

from dataclasses import dataclass

import numpy as np

from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.coverage import HEIGHT, WIDTH, Mask, read_rows, side_of
from search_spaces.ops import Conv, Depthwise, Expand, Linear, Multiply, Shape, Shortcut


@dataclass(frozen=True, kw_only=True)
class ReceptiveField:
    """What the middle position of a node's map depends on: rows and columns of the image, from first to last.

    There may be holes between, as with strides larger than kernels. `depth` is the most convs and linear layers on
    one way from the image. Both ranges are empty where nothing of the image is read.
    """

    name: str
    kind: str
    depth: int
    rows: range
    columns: range

    @property
    def side(self) -> int:
        """Pixels from first to last, along the axis where they are more."""
        return max(len(self.rows), len(self.columns))


def receptive_fields(architecture: Architecture, *, gates: bool = True) -> list[ReceptiveField]:
    """The receptive field of every node, in execution order, for one position in the middle of its map (side // 2).

    A position stands for all of its channels, a vector for all of its features. The field is clipped at the border of
    the image; at a resolution that is large enough it is whole. Without `gates`, what reaches a map only as one factor
    a channel (squeeze-excite) is left out: behind a gate every unit depends on all of the image.
    """
    extents = zip(*(_extents(architecture, axis, gates=gates) for axis in (HEIGHT, WIDTH)), strict=True)
    depths = _depths(architecture, gates=gates)
    fields = []
    for node, (rows, columns) in zip(architecture.nodes, extents, strict=True):
        pixels = (
            {"rows": rows, "columns": columns} if rows and columns else dict.fromkeys(("rows", "columns"), range(0))
        )
        fields.append(ReceptiveField(name=node.name, kind=node.op.kind, depth=depths[node.name], **pixels))
    return fields


def _extents(architecture: Architecture, axis: int, *, gates: bool) -> list[range]:
    """First to last pixel along an axis, of every node."""
    count = len(architecture.nodes)
    masks: dict[str, Mask] = {}  # [U, side] of what is read already
    for i in range(count - 1, -1, -1):
        node = architecture.nodes[i]
        mask = _mask_of(masks, node.name, count, side_of(architecture.shapes[node.name], axis))
        mask[i, mask.shape[1] // 2] = True
        units = np.flatnonzero(mask.any(axis=1))
        for name in _followed(architecture, node, gates=gates):
            side = side_of(architecture.shapes[name], axis)
            _mask_of(masks, name, count, side)[units] |= read_rows(node, mask[units], side, axis)
        del masks[node.name]
    pixels = _mask_of(masks, INPUT, count, architecture.resolution)
    return [_extent(row) for row in pixels]


def _mask_of(masks: dict[str, Mask], name: str, count: int, side: int) -> Mask:
    if name not in masks:
        masks[name] = np.zeros((count, side), bool)
    return masks[name]


def _extent(mask: Mask) -> range:
    places = np.flatnonzero(mask)
    return range(int(places[0]), int(places[-1]) + 1) if len(places) else range(0)


def _followed(architecture: Architecture, node: Node, *, gates: bool) -> tuple[str, ...]:
    """The nodes whose values count among those that a node reads."""
    names = tuple(dict.fromkeys(architecture.reads(node)))
    if gates or not isinstance(node.op, Multiply):
        return names
    shapes = architecture.source_shapes(node)
    return names if shapes[0] == shapes[1] else names[:1]


def _depths(architecture: Architecture, *, gates: bool) -> dict[str, int]:
    depths = {INPUT: 0}
    for node in architecture.nodes:
        before = max(depths[name] for name in _followed(architecture, node, gates=gates))
        depths[node.name] = before + _has_weights(node, architecture.source_shapes(node))
    return depths


def _has_weights(node: Node, sources: tuple[Shape, ...]) -> bool:
    if isinstance(node.op, Shortcut):
        return bool(node.op.projects(sources))
    return isinstance(node.op, Conv | Depthwise | Expand | Linear)
