"""To which channel of which width group every channel of a network belongs. C channels, G groups."""

from collections.abc import Sequence

import numpy as np

from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.kept import Indices, moved_channels, pass_on
from search_spaces.ops import Add, ChannelShuffle, Chunk, Conv, Expand, Linear, Multiply, Select, channels_of
from search_spaces.width_groups import FIXED, WidthGroup, WidthGroups

NONE = -1  # of a channel that belongs to no group


def channel_owners(architecture: Architecture, groups: WidthGroups) -> dict[str, Indices]:
    """For every node the owner of each of its channels [C]: a number in the row of all groups' channels.

    A channel has none (-1) where removing no group's channel would remove it.
    """
    starts = np.cumsum([0, *groups.widths])
    owners: dict[str, Indices] = {INPUT: np.full(architecture.input[0], NONE)}
    for node in architecture.nodes:
        sources = [owners[name] for name in node.inputs]
        channels = channels_of(architecture.shapes[node.name])
        owners[node.name] = _owners_of(architecture, node, sources, _made(groups, node, starts), channels)
    return owners


def parts_of(group: WidthGroup) -> Indices:
    """The channels of a group [divisor, width / divisor] in its equal parts, which must keep equally many each."""
    return np.arange(group.width).reshape(group.divisor, -1)


def _made(groups: WidthGroups, node: Node, starts: Indices) -> list[Indices]:
    return [
        np.full(run.repeat, NONE)
        if run.group == FIXED
        else np.repeat(np.arange(starts[run.group], starts[run.group + 1]), run.repeat)
        for run in groups.runs[node.name]
    ]


def _owners_of(
    architecture: Architecture, node: Node, sources: Sequence[Indices], made: Sequence[Indices], channels: int
) -> Indices:
    match node.op:
        case Conv() | Linear():
            return np.concatenate(made)
        case Expand():
            return np.full(channels, NONE)
        case Add():  # stays as long as one of its sources does
            return np.where(np.all(np.array(sources) == sources[0], axis=0), sources[0], NONE)
        case Multiply():
            return np.maximum(*sources)
        case (ChannelShuffle() | Chunk() | Select()) as op:
            taken = moved_channels(op, len(sources[0]))
            return np.where(taken < 0, NONE, sources[0][taken])
        case _:
            return pass_on(architecture, node, sources)
