"""Which channels a step of pruning removes: the lowest scores over all groups.

C channels of a group, D equal parts of it that must keep equally many, as a grouped conv asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_spaces import Architecture, NetworkError
from search_spaces.kept import Flags
from search_spaces.owners import parts_of
from search_spaces.removal import remove_channels
from search_spaces.width_groups import WidthGroup, find_width_groups
from trials.prune_settings import Normalisation, PruneSettings

Scores = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Prunable:
    """The groups that may lose channels, and why others may not, by name."""

    groups: tuple[WidthGroup, ...]
    left_out: Mapping[str, str]

    @property
    def channels(self) -> int:
        """Channels of these groups."""
        return sum(group.width for group in self.groups)


@dataclass(frozen=True, kw_only=True)
class _Unit:
    """Channels of a group that go together, one of each of its parts, and the mean of their scores."""

    score: float
    group: int
    channels: NDArray[np.int64]


def find_prunable(architecture: Architecture, settings: PruneSettings) -> Prunable:
    """The groups of which channels can be removed physically; raises NetworkError where there are none.

    Others are left out, masked or not, so that both give one record: channels that a layer normalises over, and those
    of a grouped conv whose parts belong to different groups.
    """
    groups, left_out = [], {}
    for group in find_width_groups(architecture).groups:
        if settings.floor_of(group) == group.width:
            left_out[group.name] = f"it must keep all of its {group.width} channels"
            continue
        flags = np.ones(group.width, bool)
        flags[parts_of(group)[:, 0]] = False
        try:
            remove_channels(architecture, {group.name: flags})
            groups.append(group)
        except NetworkError as error:
            left_out[group.name] = str(error)
    if not groups:
        raise NetworkError(
            "pruning needs a width group that can lose channels, but the network has none"
            + "".join(f"; {name}: {reason}" for name, reason in left_out.items())
        )
    return Prunable(groups=tuple(groups), left_out=left_out)


def choose_removed(
    scores: Mapping[str, Scores], kept: Mapping[str, Flags], prunable: Prunable, settings: PruneSettings
) -> dict[str, Flags]:
    """What is kept [C] of every group after a step, of what was kept and the scores [C] of its channels.

    The lowest scores of all groups go, ties in order of groups and channels, until the step's number is reached; no
    group falls below its floor. Of a group in D parts, D channels go at once, the lowest of each part, and stand in the
    ranking with the mean of their scores; so a step may remove up to D - 1 channels more than its number.
    """
    left = {name: flags.copy() for name, flags in kept.items()}
    units = [
        unit
        for i, group in enumerate(prunable.groups)
        for unit in _units(i, group, normalised(scores[group.name], kept[group.name], settings.normalisation), kept)
    ]
    floors = [settings.floor_of(group) for group in prunable.groups]
    removed, number = 0, settings.channels_of(prunable.channels)
    for unit in sorted(units, key=lambda unit: unit.score):  # stable: units stand in order of groups and channels
        flags = left[prunable.groups[unit.group].name]
        if removed < number and flags.sum() - len(unit.channels) >= floors[unit.group]:
            flags[unit.channels] = False
            removed += len(unit.channels)
    return left


def normalised(scores: Scores, kept: Flags, how: Normalisation) -> Scores:
    """Scores [C] as they are ranked; mean and norm are those of the kept channels. Where these are 0, all are."""
    if how == "none":
        return scores
    own = scores[kept]
    scale = own.mean() if how == "group-mean" else np.sqrt((own**2).sum())  # l2: Molchanov et al. 2017, section 2.2
    return scores / scale if scale > 0 else scores


def _units(number: int, group: WidthGroup, scores: Scores, kept: Mapping[str, Flags]) -> list[_Unit]:
    """A group's units, those to remove first in front: of each part its lowest, then its second lowest."""
    rows = []
    for part in parts_of(group):
        channels = part[kept[group.name][part]]
        rows.append(channels[np.argsort(scores[channels], kind="stable")])
    return [
        _Unit(score=float(scores[channels].mean()), group=number, channels=channels) for channels in np.array(rows).T
    ]
