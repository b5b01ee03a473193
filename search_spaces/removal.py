"""Networks without some of their channels: what is left of every layer, and what brings the rest together again.

C channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.errors import NetworkError
from search_spaces.kept import Flags, Indices, Keep, kept_channels, lost_groups, moved_channels
from search_spaces.names import unused_name
from search_spaces.ops import (
    Activation,
    Add,
    Affine,
    BatchNorm,
    ChannelShuffle,
    Chunk,
    Conv,
    Expand,
    GroupNorm,
    LayerNorm,
    Linear,
    Multiply,
    Op,
    Select,
    Shortcut,
)
from search_spaces.width_groups import find_width_groups


@dataclass(frozen=True, kw_only=True)
class Removal:
    """A network, which of its channels [C] every node keeps, and the narrower network that is left.

    Nodes keep their names. `norms` names the batch normalisations that followed the convs of shortcuts.
    """

    original: Architecture
    kept: Mapping[str, Flags]
    architecture: Architecture
    norms: Mapping[str, str]


def remove_channels(architecture: Architecture, keep: Keep) -> Removal:
    """The network that computes what `architecture` does when channels that `keep` does not keep are zero.

    `keep` is as in `kept_channels`. Where sources of a sum keep different channels, and for an identity shortcut whose
    source and block do, a Select aligns them; a shortcut that projects becomes a conv, an Expand too; a shuffle or
    chunk that cannot stay becomes a Select. What loses nothing stays as it is. Raises NetworkError, naming the node,
    for a grouped conv that would not keep equally many channels in each group, and for layers that normalise over the
    channels, whose results would change.
    """
    kept = kept_channels(architecture, keep)
    rewriting = _Rewriting(architecture, kept)
    for node in architecture.nodes:
        rewriting.add(node)
    return Removal(
        original=architecture,
        kept=kept,
        architecture=Architecture(
            input=architecture.input, nodes=_needed(rewriting.nodes, architecture.exits), exits=architecture.exits
        ),
        norms=rewriting.norms,
    )


class _Rewriting:
    """The nodes so far. Each has the channels that it keeps, in their order, as the output of `places`."""

    def __init__(self, architecture: Architecture, kept: Mapping[str, Flags]) -> None:
        self.architecture, self.kept = architecture, kept
        self.nodes: list[Node] = []
        self.places = {INPUT: INPUT}
        self.norms: dict[str, str] = {}
        self._used = set(architecture.shapes)
        self._aligned: dict[tuple[str, bytes], str] = {}

    def add(self, node: Node) -> None:
        """Append what becomes of a node."""
        if all(self.kept[name].all() for name in (node.name, *node.inputs)):
            self._put(node.name, node.op, *self._read(node.inputs))
            return
        match node.op:
            case Shortcut() as op:
                self._add_shortcut(node, op)
            case (Chunk() | ChannelShuffle() | Select()) as op:
                self._add_move(node, op)
            case (Add() | Multiply()) as op:
                self._put(node.name, op, *(self._align(name, self.kept[node.name]) for name in node.inputs))
            case _:
                self._put(node.name, self._narrowed(node), *self._read(node.inputs))

    def _put(self, name: str, op: Op, *inputs: str) -> None:
        self.nodes.append(Node(name=name, op=op, inputs=inputs))
        self.places[name] = name

    def _read(self, names: Sequence[str]) -> list[str]:
        return [self.places[name] for name in names]

    def _align(self, name: str, wanted: Flags) -> str:
        """Where the wanted channels of a node stand, with zeros for those that it does not keep."""
        if np.array_equal(self.kept[name], wanted):
            return self.places[name]
        indices = self._positions(name)[wanted]
        key = (name, indices.tobytes())
        if key not in self._aligned:
            select = unused_name(self._used, f"{name}_select")
            self._put(select, _select(indices), self.places[name])
            self._aligned[key] = select
        return self._aligned[key]

    def _positions(self, name: str) -> Indices:
        """Where each original channel of a node stands now; -1 where it was removed."""
        flags = self.kept[name]
        return np.where(flags, flags.cumsum() - 1, -1)

    def _add_shortcut(self, node: Node, op: Shortcut) -> None:
        skip, projected, _ = node.inputs
        flags = self.kept[node.name]
        if op.projects(self.architecture.source_shapes(node)):
            conv = Conv(out_channels=int(flags.sum()), kernel=1, stride=op.stride, bias=False)
            self._put(node.name, conv, self.places[projected])
            if op.norm:
                self.norms[node.name] = unused_name(self._used, f"{node.name}_norm")
                self._put(self.norms[node.name], BatchNorm(), node.name)
                self.places[node.name] = self.norms[node.name]
        elif np.array_equal(flags, self.kept[skip]) and node is not self.architecture.nodes[-1]:
            self.places[node.name] = self.places[skip]
        else:
            self._put(node.name, _select(self._positions(skip)[flags]), self.places[skip])

    def _add_move(self, node: Node, op: Chunk | ChannelShuffle | Select) -> None:
        """The op where it moves what is left as before, else a Select of it."""
        source, flags = self.kept[node.inputs[0]], self.kept[node.name]
        taken = moved_channels(op, len(source))[flags]
        wanted = np.where(taken < 0, -1, self._positions(node.inputs[0])[taken])
        left = int(source.sum())
        fits = not isinstance(op, Select) and left % (op.parts if isinstance(op, Chunk) else op.groups) == 0
        same = fits and np.array_equal(moved_channels(op, left), wanted)
        self._put(node.name, op if same else _select(wanted), self.places[node.inputs[0]])

    def _narrowed(self, node: Node) -> Op:
        flags = self.kept[node.name]
        match node.op:
            case Conv(groups=groups) as op:
                for name in (node.inputs[0], node.name):
                    self._check_parts(node, name, groups)
                return replace(op, out_channels=int(flags.sum()))
            case Linear() as op:
                return replace(op, out_features=int(flags.sum()))
            case Expand(bias=bias):
                return Conv(out_channels=int(flags.sum()), kernel=1, bias=bias)
            case Affine(factors=factors, offsets=offsets) as op:
                return replace(op, factors=_narrowed_values(factors, flags), offsets=_narrowed_values(offsets, flags))
            case (LayerNorm() | GroupNorm() | Activation(function="softmax" | "log_softmax")) as op:
                kind = op.function if isinstance(op, Activation) else op.kind
                raise NetworkError(
                    f"node {node.name!r}: {kind} depends on all of its channels, so none may be removed, but "
                    f"{(~flags).sum()} of {len(flags)} are; keep all of {self._lost(node.name)}, or mask them"
                )
            case op:
                return op

    def _check_parts(self, node: Node, name: str, groups: int) -> None:
        """Raise NetworkError unless a node keeps equally many channels for each group of a conv."""
        counts = self.kept[name].reshape(groups, -1).sum(axis=1)
        if counts.min() != counts.max():
            side = "out" if name == node.name else "in"
            raise NetworkError(
                f"node {node.name!r}: each of its {groups} groups must keep equally many channels, but {side} it keeps "
                f"{counts.min()} to {counts.max()}; choose others of {self._lost(name)}, or mask them"
            )

    def _lost(self, name: str) -> str:
        return lost_groups(find_width_groups(self.architecture), self.kept, name)


def _select(indices: Indices) -> Select:
    return Select(indices=tuple(int(i) for i in indices))


def _narrowed_values(values: tuple[float, ...], flags: Flags) -> tuple[float, ...]:
    """One number for all channels, or those of the kept ones."""
    return values if len(values) == 1 else tuple(value for value, kept in zip(values, flags, strict=True) if kept)


def _needed(nodes: Sequence[Node], exits: Sequence[str]) -> tuple[Node, ...]:
    """The nodes on which the last one and the exits depend: shortcuts read shapes that nobody else needs."""
    needed = {nodes[-1].name, *exits}
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return tuple(node for node in nodes if node.name in needed)
