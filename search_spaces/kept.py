"""Which channels of every node are kept when channels of some width groups are removed. C channels."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from math import prod
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.errors import NetworkError
from search_spaces.ops import (
    Add,
    ChannelShuffle,
    Chunk,
    Concat,
    Conv,
    Depthwise,
    Expand,
    Flatten,
    Linear,
    Multiply,
    Select,
    Shortcut,
    SpaceToDepth,
    channels_of,
    is_map,
)
from search_spaces.width_groups import FIXED, Run, WidthGroups, find_width_groups

Flags: TypeAlias = NDArray[np.bool_]
Indices: TypeAlias = NDArray[np.int64]
Number = TypeVar("Number", bound=np.generic)
Keep: TypeAlias = Mapping[str, Sequence[bool] | Flags]


def kept_channels(architecture: Architecture, keep: Keep) -> dict[str, Flags]:
    """For every node, and the image (`input`), one flag a channel [C]: whether it is kept.

    `keep` maps names of width groups (`find_width_groups`) to one flag a channel of the group; groups that it does not
    name are kept whole. A sum keeps what any of its sources keeps, a product what both keep, and a shortcut what its
    block keeps; an Expand makes channels of its own and keeps them all. Raises NetworkError for an unknown group, for
    flags that are not as many booleans as the group has channels, and for a group or node of which none would stay.
    """
    groups = find_width_groups(architecture)
    flags = _checked(groups, keep)
    kept: dict[str, Flags] = {INPUT: np.ones(architecture.input[0], bool)}
    for node in architecture.nodes:
        if isinstance(node.op, Conv | Linear):
            row = _made(groups.runs[node.name], flags)
        else:
            row = _passed_on(architecture, node, [kept[name] for name in node.inputs])
        assert len(row) == channels_of(architecture.shapes[node.name]), f"{node.name}: {len(row)} flags"
        kept[node.name] = row
        if not row.any():  # a part of what was shuffled
            raise NetworkError(
                f"node {node.name!r}: at least one channel must stay, but none of {len(row)} does; keep more of "
                f"{lost_groups(groups, kept, node.name)}"
            )
    return kept


def pass_on(architecture: Architecture, node: Node, sources: Sequence[NDArray[Number]]) -> NDArray[Number]:
    """The values of a node's channels [C], where each takes that of the channel that it is made of.

    So for all but makers of channels (convs, linear layers, Expand), sums, products, and ops that move channels about.
    """
    row = sources[0]
    match node.op:
        case Depthwise(multiplier=times):
            row = np.repeat(row, times)
        case SpaceToDepth(block=block):
            row = np.repeat(row, block**2)
        case Flatten() if is_map(shape := architecture.source_shapes(node)[0]):
            row = np.repeat(row, prod(shape[-2:]))
        case Concat():
            row = np.concatenate(sources)
        case Shortcut():
            row = sources[2]
    return row


def moved_channels(op: ChannelShuffle | Chunk | Select, channels: int) -> Indices:
    """For every channel that the op gives, the one that it takes of so many; -1 for zeros."""
    match op:
        case ChannelShuffle(groups=groups):
            taken = np.arange(channels).reshape(groups, -1).T.ravel()
        case Chunk(parts=parts, index=index):
            taken = np.arange(channels).reshape(parts, -1)[index]
        case Select(indices=indices):
            taken = np.array(indices)
    return np.asarray(taken, np.int64)


def lost_groups(groups: WidthGroups, kept: Mapping[str, Flags], name: str) -> str:
    """The names of those width groups of a node's channels that lost some, for errors."""
    own = dict.fromkeys(run.group for run in groups.runs[name] if run.group != FIXED)
    found = [groups.groups[i] for i in own]
    return ", ".join(repr(group.name) for group in found if not all(kept[layer].all() for layer in group.layers))


def _made(runs: Sequence[Run], flags: Sequence[Flags]) -> Flags:
    """Flags of what a conv or linear layer makes."""
    parts = [
        np.ones(run.repeat, bool) if run.group == FIXED else np.repeat(flags[run.group], run.repeat) for run in runs
    ]
    return np.concatenate(parts)


def _passed_on(architecture: Architecture, node: Node, sources: Sequence[Flags]) -> Flags:
    """Flags of a node that makes its channels of those that it reads."""
    row = sources[0]
    match node.op:
        case Expand(factor=factor):
            row = np.ones(len(row) * factor, bool)
        case Add():
            row = np.any(sources, axis=0)
        case Multiply():
            row = np.all(sources, axis=0)
        case (ChannelShuffle() | Chunk() | Select()) as op:
            taken = moved_channels(op, len(row))
            row = row[taken] | (taken < 0)  # zeros of a Select are fixed: they stay
        case _:
            row = pass_on(architecture, node, sources)
    return row


def _checked(groups: WidthGroups, keep: Keep) -> list[Flags]:
    """Flags of every group."""
    names = [group.name for group in groups.groups]
    for name in keep:
        if name not in names:
            close = get_close_matches(str(name), names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise NetworkError(f"keep must name width groups ({', '.join(names)}), but got {name!r}{hint}")
    return [
        _checked_flags(group.name, group.width, keep[group.name]) if group.name in keep else np.ones(group.width, bool)
        for group in groups.groups
    ]


def _checked_flags(name: str, width: int, given: Sequence[bool] | Flags) -> Flags:
    rule = f"keep of {name!r} must be {width} booleans, one a channel"
    try:
        flags = np.asarray(given)
    except ValueError as error:
        raise NetworkError(f"{rule}, but got lists of several lengths; give one list of true and false") from error
    if flags.shape != (width,):
        raise NetworkError(f"{rule}, but has shape {flags.shape}; give true for what stays and false for the rest")
    if flags.dtype != np.bool_:
        raise NetworkError(f"{rule}, but got {flags.dtype}; give true and false, not numbers or indices")
    if not flags.any():
        raise NetworkError(f"at least one channel of {name!r} must stay, but all {width} are removed; keep one")
    return flags.copy()
