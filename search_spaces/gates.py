"""Where a network's gates stand: factors z = 1, one a channel of every width group, whose gradients rate the channels.

A group has one gate a channel, however many layers make it and wherever it is multiplied in: at zero, the channel is
gone from everything that reads it. C channels, Z gates: the channels of all groups, one group after the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_spaces.architecture import Architecture, Node
from search_spaces.kept import Indices
from search_spaces.ops import Add, BatchNorm, Conv, Expand, Linear, Multiply, Shortcut
from search_spaces.owners import NONE, channel_owners
from search_spaces.width_groups import WidthGroup, find_width_groups


@dataclass(frozen=True, kw_only=True)
class Gates:
    """The gates of a network: for each node behind which some stand, the gate of each channel [C], -1 for none.

    `without_norm` names the groups of which gates stand behind a layer itself, for want of a batch norm.
    """

    groups: tuple[WidthGroup, ...]
    places: Mapping[str, Indices]
    without_norm: tuple[str, ...]

    @property
    def count(self) -> int:
        """Z."""
        return sum(group.width for group in self.groups)

    def of_group(self, values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Values [Z] by name of group."""
        ends = np.cumsum([group.width for group in self.groups])[:-1]
        return {group.name: part for group, part in zip(self.groups, np.split(values, ends), strict=True)}


def find_gates(architecture: Architecture) -> Gates:
    """Where the gates of a network's width groups stand.

    Behind the last batch norm on each way from the layers that make the channels to those that mix them, before the
    activation; behind the layer itself where the way has none. (A gate in front of a batch norm has no gradient, as the
    norm takes every factor out again.) Where all that a sum adds would have the group's gates, the sum has them.

    For the networks of the NeuralScale paper these are the authors' places: behind each batch norm, MobileNetV2's
    behind each block's sum. ResNet18's last stand behind its last norm, not the last pool; their gradients are the same
    there, as ReLU and pools let a positive factor through. As with the authors, the gates of a pre-activation block's
    output do not weigh what an identity shortcut hands to the next block.
    """
    groups = find_width_groups(architecture)
    owners = channel_owners(architecture, groups)
    walk = _Walk(architecture, owners, np.cumsum([0, *groups.widths]))
    places: dict[str, Indices] = {}
    without_norm: list[str] = []
    for i, group in enumerate(groups.groups):
        names = walk.places(i)
        assert names, f"no gate for {group.name}"
        for name in names:
            row = places.setdefault(name, np.full(len(owners[name]), NONE))
            own = walk.is_of(name, i)
            row[own] = owners[name][own]
        if set(names) & set(group.layers):
            without_norm.append(group.name)
    return Gates(groups=groups.groups, places=places, without_norm=tuple(without_norm))


class _Walk:
    """Follows the channels of a group from the layers that make them to those that mix them."""

    def __init__(self, architecture: Architecture, owners: Mapping[str, Indices], starts: Indices) -> None:
        self.nodes = {node.name: node for node in architecture.nodes}
        self.owners, self.starts = owners, starts
        self.readers: dict[str, list[Node]] = {name: [] for name in architecture.shapes}
        self.projects: dict[str, bool] = {}
        for node in architecture.nodes:
            for name in architecture.reads(node):
                self.readers[name].append(node)
            if isinstance(node.op, Shortcut):
                self.projects[node.name] = bool(node.op.projects(architecture.source_shapes(node)))

    def places(self, group: int) -> list[str]:
        """The nodes behind which the group's gates stand, in execution order."""
        open_ = self._open(group)
        begins = Conv | Linear | Shortcut | BatchNorm
        found = [name for name, node in self.nodes.items() if name in open_ and isinstance(node.op, begins)]
        for name, node in self.nodes.items():
            if isinstance(node.op, Add) and all(
                source in found and len(self.readers[source]) == 1 for source in node.inputs
            ):
                found = [name, *(other for other in found if other not in node.inputs)]
        # what a shortcut adds is weighed at its sum, or not at all: the identity is the very tensor that it reads
        return [name for name in self.nodes if name in found and not isinstance(self.nodes[name].op, Shortcut)]

    def is_of(self, name: str, group: int) -> NDArray[np.bool_]:
        """Which channels [C] of a node are the group's."""
        row = self.owners[name]
        is_own: NDArray[np.bool_] = (row >= self.starts[group]) & (row < self.starts[group + 1])
        return is_own

    def _open(self, group: int) -> set[str]:
        """Nodes from which some way to a layer that mixes the group's channels meets no batch norm."""
        open_: set[str] = set()
        for name in reversed(self.nodes):
            if self.is_of(name, group).any() and any(
                (reader.name in open_ and not isinstance(reader.op, BatchNorm))
                if self._carries(reader, group)
                else self._mixes(reader)
                for reader in self.readers[name]
                if not self._is_weight(reader, name, group)
            ):
                open_.add(name)
        return open_

    def _carries(self, reader: Node, group: int) -> bool:
        """Whether a node that reads the group's channels hands them on, each by itself."""
        mixing = isinstance(reader.op, Conv | Linear | Expand | Shortcut)
        return not mixing and bool(self.is_of(reader.name, group).any())

    def _mixes(self, reader: Node) -> bool:
        return not isinstance(reader.op, Shortcut) or self.projects[reader.name]

    def _is_weight(self, reader: Node, source: str, group: int) -> bool:
        """Whether a product reads the group's channels elsewhere, too: they are gone when one of the factors is."""
        if not isinstance(reader.op, Multiply):
            return False
        return source != next(name for name in reader.inputs if self.is_of(name, group).any())
