"""What a network becomes when it loses channels, before it is known which: only how many are left of each group."""

from collections.abc import Sequence

import numpy as np

from search_spaces.architecture import Architecture
from search_spaces.errors import NetworkError
from search_spaces.kept import Flags
from search_spaces.ops import Conv, Expand, Shortcut, channels_of
from search_spaces.owners import channel_owners, parts_of
from search_spaces.removal import remove_channels
from search_spaces.width_groups import WidthGroup, WidthGroups, find_width_groups
from search_spaces.widths import with_widths


def with_free_expansions(architecture: Architecture) -> Architecture:
    """The network with a conv in place of each Expand: the same one, but its expansions can lose channels, too."""
    return architecture.with_ops(
        {
            node.name: Conv(out_channels=channels_of(architecture.shapes[node.name]), kernel=1, bias=node.op.bias)
            for node in architecture.nodes
            if isinstance(node.op, Expand)
        }
    )


def narrowed(architecture: Architecture, widths: Sequence[int]) -> Architecture:
    """What is left of `with_free_expansions` when so many channels of every group stay, expansions in proportion.

    Which ones may be chosen freely, as long as groups that identity shortcuts tie (`tied_groups`) keep the same ones.
    Raises NetworkError for widths above the network's, and where `remove_channels` does.
    """
    target, wide = with_widths(architecture, widths), with_free_expansions(architecture)
    own = find_width_groups(architecture).groups
    given = {(group.name, group.width): width for group, width in zip(own, widths, strict=True)}
    keep = {}
    for group in find_width_groups(wide).groups:
        width = given.get((group.name, group.width)) or round(group.width * _left(target, wide, group.layers[0]))
        if width > group.width:
            raise NetworkError(f"{group.name!r} must lose channels, but has {group.width} and would get {width}")
        keep[group.name] = first_channels(group, width)
    return remove_channels(wide, keep).architecture


def shares_left(wide: Architecture, narrow: Architecture) -> dict[str, float]:
    """The share of the channels that is left of every group of `wide`, of which `narrowed` made `narrow`."""
    known = {group.name: group.width for group in find_width_groups(narrow).groups}
    return {  # where an identity shortcut went, groups have become one
        group.name: known[group.name] / group.width if group.name in known else _left(narrow, wide, group.layers[0])
        for group in find_width_groups(wide).groups
    }


def _left(narrow: Architecture, wide: Architecture, layer: str) -> float:
    """The share of a layer's channels that is left."""
    if layer not in narrow.shapes:
        raise NetworkError(f"a narrowed network must keep the layers of the wide one, but has no {layer!r}")
    left: float = channels_of(narrow.shapes[layer]) / channels_of(wide.shapes[layer])
    return left


def first_channels(group: WidthGroup, width: int) -> Flags:
    """Flags [C] that keep so many channels, the first of each of the group's equal parts."""
    flags = np.zeros(group.width, bool)
    flags[parts_of(group)[:, : width // group.divisor]] = True
    return flags


def tied_groups(architecture: Architecture, groups: WidthGroups) -> list[list[int]]:
    """Numbers of the groups in sets: identity shortcuts tie the channels of those that they join, one by one.

    They may be given different widths, or lose different channels; then the shortcut is no identity any more.
    """
    sets = {i: [i] for i in range(len(groups.groups))}
    owners, ends = channel_owners(architecture, groups), np.cumsum(groups.widths)
    for node in architecture.nodes:
        if isinstance(node.op, Shortcut) and not node.op.projects(architecture.source_shapes(node)):
            skip, _, block = (owners[name] for name in node.inputs)
            owned = (skip >= 0) & (block >= 0)
            sides = (np.searchsorted(ends, side[owned], "right") for side in (skip, block))
            pairs = set(zip(*sides, strict=True))
            for one, other in sorted((int(a), int(b)) for a, b in pairs):
                if groups.groups[one].width == groups.groups[other].width and sets[one] is not sets[other]:
                    sets[one].extend(sets[other])
                    for i in sets[other]:
                        sets[i] = sets[one]
    return list({id(numbers): sorted(numbers) for numbers in sets.values()}.values())
