"""The first layers of a network, as approaches II, III and IV need them."""

from dataclasses import dataclass
from functools import cached_property

from search_spaces.architecture import Architecture, Node
from search_spaces.compensation.places import SecondConv, conv_of, own_group, second_conv, stem_of
from search_spaces.compensation.rest import Rest, count_rest
from search_spaces.compensation.solutions import Approach
from search_spaces.width_groups import WidthGroups, find_width_groups


@dataclass(frozen=True, kw_only=True)
class Site:
    """The first layers of a network, as an approach needs them."""

    approach: Approach
    base: Architecture
    stem: Node
    second: SecondConv | None
    groups: WidthGroups  # of the base

    @cached_property
    def group(self) -> int | None:
        """The width that is free: that of conv1 and of all that must be as wide; in approach II none is."""
        return None if self.approach == "II" else own_group(self.base, self.stem, self.groups, self.approach)

    @property
    def unit(self) -> int:
        """What the free width must be a multiple of; costs are functions of the width in these units, K."""
        return 1 if self.group is None else self.groups.groups[self.group].divisor

    @cached_property
    def rest(self) -> Rest:
        """What the layers cost that stay as they are."""
        edited = {self.stem.name}
        if self.second is not None:
            edited |= {self.second.node.name, *(node.name for node in self.second.between)}
        return count_rest(self.base, self.groups, self.group, edited)

    @property
    def target(self) -> int:
        """The side of the map behind the edited layers, which stays: M1, in approach IV M2."""
        last = self.stem if self.second is None else self.second.node
        return int(self.base.shapes[last.name][-1])

    def row(self) -> dict[str, int]:
        """The base's own values under the names of a solution's row."""
        conv = conv_of(self.stem)
        values = {"kernel1": conv.kernel, "stride1": conv.stride, "padding1": conv.padding}
        values |= {"channels1": conv.out_channels}
        if self.second is not None:
            conv = conv_of(self.second.node)
            values |= {"kernel2": conv.kernel, "stride2": conv.stride, "padding2": conv.padding}
        return {"resolution": self.base.resolution, **values}  # type: ignore[dict-item]


def find_site(base: Architecture, approach: Approach) -> Site:
    """Raises NetworkError, saying which condition fails, where the approach cannot edit the base."""
    stem = stem_of(base, approach)
    groups = find_width_groups(base)
    second = second_conv(base, stem, groups) if approach == "IV" else None
    site = Site(approach=approach, base=base, stem=stem, second=second, groups=groups)
    _ = site.group
    return site
