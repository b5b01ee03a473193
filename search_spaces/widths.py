"""Edits of a network's widths."""

from collections.abc import Sequence
from dataclasses import replace
from math import floor
from numbers import Integral

from search_spaces.architecture import Architecture
from search_spaces.errors import NetworkError
from search_spaces.ops import LARGEST, Conv, Linear, Op
from search_spaces.width_groups import FIXED, Run, WidthGroup, WidthGroups, find_width_groups


def with_widths(architecture: Architecture, widths: Sequence[int], groups: WidthGroups | None = None) -> Architecture:
    """The network with these widths, one a group in execution order (`find_width_groups`), larger or smaller.

    `groups` saves finding them again. Raises NetworkError for another number of widths, for one that is no positive
    integer, and, naming the node, for one that its groups do not divide.
    """
    groups = groups or find_width_groups(architecture)
    _check_widths(groups, widths)
    ops: dict[str, Op] = {}
    for node in architecture.nodes:
        if isinstance(node.op, Conv):
            ops[node.name] = replace(node.op, out_channels=count_channels(groups.runs[node.name], widths))
        elif isinstance(node.op, Linear):
            ops[node.name] = replace(node.op, out_features=count_channels(groups.runs[node.name], widths))
    return architecture.with_ops(ops)


def scale_widths(architecture: Architecture, multiplier: float) -> Architecture:
    """The network with all widths times a multiplier, rounded to the nearest width that its layers allow (half up)."""
    if not 0 < multiplier < LARGEST:
        raise NetworkError(f"a width multiplier must be positive, but got {multiplier}")
    groups = find_width_groups(architecture)
    return with_widths(architecture, [_scaled(group, multiplier) for group in groups.groups], groups)


def count_channels(runs: Sequence[Run], widths: Sequence[int]) -> int:
    """Channels that runs have at these widths."""
    return sum(run.repeat * (1 if run.group == FIXED else int(widths[run.group])) for run in runs)


def _scaled(group: WidthGroup, multiplier: float) -> int:
    return max(1, floor(group.width * multiplier / group.divisor + 0.5)) * group.divisor


def _check_widths(groups: WidthGroups, widths: Sequence[int]) -> None:
    if len(widths) != len(groups.groups):
        known = ", ".join(f"{group.name}={group.width}" for group in groups.groups)
        raise NetworkError(f"there must be {len(groups.groups)} widths ({known}), but got {len(widths)}")
    for group, width in zip(groups.groups, widths, strict=True):
        if isinstance(width, bool) or not isinstance(width, Integral) or not 1 <= width <= LARGEST:
            raise NetworkError(f"width of {group.name} must be an integer of at least 1, at most 2^24, but got {width}")
        if width % group.divisor:
            raise NetworkError(
                f"width of {group.name} must be a multiple of {group.divisor}, as its layers part it in groups, "
                f"but got {width}"
            )
