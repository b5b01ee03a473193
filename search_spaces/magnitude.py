"""Which channels to keep by the size of their filters (Li et al. 2017, section 3.1). O channels out."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from search_spaces.build import Network
from search_spaces.errors import NetworkError
from search_spaces.kept import Flags
from search_spaces.narrowing import tied_groups
from search_spaces.owners import channel_owners, parts_of
from search_spaces.width_groups import WidthGroup, WidthGroups, find_width_groups


def keep_largest(network: Network, shares: Mapping[str, float]) -> dict[str, Flags]:
    """For each width group that `shares` names, one flag a channel: that share of the channels is kept.

    Those stay whose filters have the largest L1 norms; of a group that several layers make, the largest sums, and also
    over groups that identity shortcuts tie, if their shares are equal. The number is rounded to the nearest that the
    group may have, and is at least one in each of its equal parts. Raises NetworkError for an unknown group and for a
    share that is not above 0 and at most 1.
    """
    groups = find_width_groups(network.architecture)
    known = {group.name: group for group in groups.groups}
    norms = dict(zip(known, _norms(network, groups).split(groups.widths), strict=True))
    for tied in tied_groups(network.architecture, groups):
        names = [groups.groups[i].name for i in tied]
        if len({shares.get(name) for name in names}) == 1:
            norms |= dict.fromkeys(names, torch.stack([norms[name] for name in names]).sum(0))
    keep: dict[str, Flags] = {}
    for name, share in shares.items():
        if name not in known:
            raise NetworkError(f"shares must name width groups ({', '.join(known)}), but got {name!r}")
        if not 0 < share <= 1:
            raise NetworkError(f"share of {name!r} must be above 0 and at most 1, but is {share}")
        keep[name] = _largest(known[name], norms[name], share)
    return keep


def _largest(group: WidthGroup, norms: Tensor, share: float) -> Flags:
    parts = parts_of(group)
    count = max(1, round(share * parts.shape[1]))
    flags = np.zeros(group.width, bool)
    for part in parts:
        order = np.argsort(-norms[part].numpy(), kind="stable")
        flags[part[order[:count]]] = True
    return flags


def _norms(network: Network, groups: WidthGroups) -> Tensor:
    """Of all groups' channels, one after the other, the sums of the L1 norms of the filters that make them."""
    owners = channel_owners(network.architecture, groups)
    total = torch.zeros(sum(groups.widths), dtype=torch.float64)
    for layer in dict.fromkeys(layer for group in groups.groups for layer in group.layers):
        weight = network.get_submodule(layer).weight
        assert isinstance(weight, Tensor)
        own = torch.from_numpy(owners[layer])
        total.index_add_(0, own[own >= 0], weight.detach().abs().flatten(1).sum(1).double().cpu()[own >= 0])
    return total
