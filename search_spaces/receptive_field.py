"""Which pixels one unit of every layer depends on (Sandler et al. 2019, figure 8).

What all units in question, one a node, read is followed backwards through the graph together, along one axis at a
time, with the positions that `search_spaces.coverage` says each layer reads. R rows, one for units that read the same.
"""

from dataclasses import dataclass

import numpy as np

from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.coverage import HEIGHT, WIDTH, Mask, read_rows, side_of
from search_spaces.ops import Conv, Depthwise, Expand, Linear, Multiply, Shape, Shortcut

ROOM = 64  # rows for units between two times at which equal ones become one


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
    followed = _Followed()
    for node in reversed(architecture.nodes):
        mask = followed.mask_of(node.name, side_of(architecture.shapes[node.name], axis))
        mask[followed.add_unit(), mask.shape[1] // 2] = True
        rows = np.flatnonzero(mask.any(axis=1))
        for name in _followed(architecture, node, gates=gates):
            side = side_of(architecture.shapes[name], axis)
            followed.mask_of(name, side)[rows] |= read_rows(node, mask[rows], side, axis)
        del followed.masks[node.name]
        followed.make_room()
    pixels = followed.mask_of(INPUT, architecture.resolution)
    return [_extent(pixels[row]) for row in followed.row_of[::-1]]


class _Followed:
    """What units read of the maps that are still to be followed: a mask [R, side] of each, a row for each unit.

    Units that read the same of all of these read the same of the image, too, and share a row: in a deep network most
    soon read all of a map, so there are few rows, however many units.
    """

    def __init__(self) -> None:
        self.masks: dict[str, Mask] = {}
        self.row_of: list[int] = []  # of each unit, in the order in which they were added
        self._used, self._room = 0, ROOM

    def mask_of(self, name: str, side: int) -> Mask:
        """The rows of a map, of which nothing is read at first."""
        if name not in self.masks:
            self.masks[name] = np.zeros((self._room, side), bool)
        return self.masks[name]

    def add_unit(self) -> int:
        """The row of a new unit."""
        self.row_of.append(self._used)
        self._used += 1
        return self._used - 1

    def make_room(self) -> None:
        """Let equal rows be one, where all are used, so that another unit finds a free one."""
        if self._used < self._room:
            return
        names = list(self.masks)
        joined = np.packbits(np.concatenate([self.masks[name] for name in names], axis=1), axis=1)
        _, first, place = np.unique(joined, axis=0, return_index=True, return_inverse=True)
        self.row_of = np.ravel(place)[self.row_of].tolist()
        self._used, self._room = len(first), 2 * len(first) + ROOM
        for name in names:
            kept = self.masks[name][first]
            self.masks[name] = np.concatenate([kept, np.zeros((self._room - self._used, kept.shape[1]), bool)])


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
