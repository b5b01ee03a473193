"""A network as approach I needs it: with average pools before its linear layers, at any resolution.

Legend: J narrowings, G width groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from search_spaces.architecture import Architecture, Node
from search_spaces.compensation.places import Head, conv_of, head_of, own_group, stem_of
from search_spaces.compensation.quadratic import Column
from search_spaces.edits import insert
from search_spaces.errors import NetworkError
from search_spaces.ops import AdaptivePool
from search_spaces.width_groups import FIXED, WidthGroups, find_width_groups


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """A base with average pools before its classifier, and the layer whose units are free."""

    original: Architecture
    base: Architecture
    head: Head
    stem: Node

    @staticmethod
    def of(base: Architecture) -> "Pooled":
        """Raises NetworkError where there is no place for the pool."""
        stem, head = stem_of(base, "I"), head_of(base)
        pooled = base
        for node in head.flattened:
            pooled = insert(pooled, _unused(pooled, f"{node.name}_pool"), AdaptivePool(), after=node.inputs[0])
        return Pooled(original=base, base=pooled, head=head, stem=stem)

    @cached_property
    def groups(self) -> WidthGroups:
        """Of the pooled base, the same at all resolutions."""
        return find_width_groups(self.base)

    @cached_property
    def own(self) -> int:
        """The group of conv1's filters."""
        return own_group(self.base, self.stem, self.groups, "I")

    @cached_property
    def hidden(self) -> int | None:
        """The group of the free units; None where no layer has any."""
        node = self.head.hidden
        if node is None or self.groups.runs[node.name][0].group == FIXED:
            return None
        return own_group(self.base, node, self.groups, "I")

    @property
    def unit(self) -> int:
        """What the units must be a multiple of; costs are functions of the units in these, K."""
        return 1 if self.hidden is None else self.groups.groups[self.hidden].divisor

    def area(self, base: Architecture) -> int:
        """U^2: positions of the map that becomes a vector, in this network at some resolution."""
        return prod(base.shapes[self.head.map][-2:])

    def raised(self, resolutions: Sequence[int]) -> list[Architecture]:
        """The pooled base at the resolutions at which it can be and has a larger map, U1' > U1."""
        found = []
        for side in resolutions:
            try:
                raised = self.base.with_ops({}, resolution=int(side))
            except NetworkError:  # as where a block must divide the side
                continue
            if self.area(raised) > self.area(self.original):
                found.append(raised)
        return found

    def narrowed(self) -> Column:
        """Widths [J, G] for conv1 with 1, 2, ... K1 filters, all convs by the same factor, rounded half up.

        The linear layers, and what is as wide as they are, keep their widths.
        """
        filters = conv_of(self.stem).out_channels
        narrow = np.arange(1, filters + 1)
        columns = []
        for number, group in enumerate(self.groups.groups):
            convs = all(self.base.node(layer).op.kind == "conv" for layer in group.layers)
            scaled = (2 * group.width * narrow + filters * group.divisor) // (2 * filters * group.divisor)
            column = np.maximum(scaled, 1) * group.divisor if convs else np.full(filters, group.width)
            columns.append(narrow if number == self.own else column)
        widths = np.stack(columns, axis=1)
        return np.asarray(widths[widths[:, self.own] % self.groups.groups[self.own].divisor == 0])


def _unused(base: Architecture, name: str) -> str:
    names = {node.name for node in base.nodes}
    while name in names:
        name += "_"
    return name
