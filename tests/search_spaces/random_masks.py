"""Random choices of channels to keep."""

import numpy as np

from search_spaces import Architecture
from search_spaces.kept import Flags
from search_spaces.width_groups import WidthGroup, find_width_groups


def random_keep(architecture: Architecture, seed: int, *, share: float = 0.6, named: float = 1.0) -> dict[str, Flags]:
    """Flags of so large a share of the groups, about that share of them true; equally many in each part of a group."""
    rng = np.random.default_rng(seed)
    groups = find_width_groups(architecture).groups
    return {group.name: _flags(group, rng, share) for group in groups if rng.random() < named}


def _flags(group: WidthGroup, rng: np.random.Generator, share: float) -> Flags:
    part = group.width // group.divisor
    chosen = np.arange(part) < max(1, round(share * part))
    return np.concatenate([rng.permutation(chosen) for _ in range(group.divisor)])


def fewer(keep: dict[str, Flags], seed: int) -> dict[str, Flags]:
    """Flags without some of those that were true; at least one stays."""
    rng = np.random.default_rng(seed)
    kept: dict[str, Flags] = {}
    for name, flags in keep.items():
        kept[name] = flags & (rng.random(len(flags)) < 0.7)
        kept[name][np.flatnonzero(flags)[0]] = True
    return kept
