"""Channels of a built network, masked or physically removed.

N images, C channels, O channels out, I channels in.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from search_spaces import modules
from search_spaces.architecture import Node
from search_spaces.build import Network, build, run_exits, run_nodes
from search_spaces.errors import NetworkError
from search_spaces.kept import Flags, Keep, kept_channels
from search_spaces.removal import Removal, remove_channels


class Masked(nn.Module):
    """A network whose removed channels are zero after every node; it shares the network's parameters."""

    def __init__(self, network: Network, kept: Mapping[str, Flags]) -> None:
        super().__init__()
        self.network = network
        self.training = network.training  # not train(): that would set the network's layers too
        for name, flags in kept.items():
            if not flags.all():
                self.register_buffer(_mask(name), torch.from_numpy(~flags).to(_device(network)), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores [N, classes] of images [N, C, H, W]: the last exit's."""
        return run_nodes(self.network.architecture, images, self._run_layer)

    def exits(self, images: Tensor) -> list[Tensor]:
        """Class scores [N, classes] of every exit, the last node's last."""
        return run_exits(self.network.architecture, images, self._run_layer)

    def _run_layer(self, name: str, read: list[Tensor]) -> Tensor:
        values: Tensor = self.network.get_submodule(name)(*read)
        removed: Tensor | None = getattr(self, _mask(name), None)
        return values if removed is None else values.masked_fill(removed.reshape(-1, *(1,) * (values.dim() - 2)), 0)


def mask(network: Network, keep: Keep) -> Masked:
    """The network with the channels that `keep` does not keep set to zero after every node.

    `keep` is as in `kept_channels`, which raises NetworkError. Parameters are the network's own, so training one trains
    the other; removed channels get no gradients.
    """
    _check_network(network)
    return Masked(network, kept_channels(network.architecture, keep))


def shrink(network: Network, keep: Keep, *, before: Removal | None = None) -> Network:
    """A new network without the channels that `keep` does not keep: it computes what the masked one does.

    Weights and statistics are copies; devices, types, modes and `requires_grad` are the network's, which is not
    changed, and no random numbers are drawn.

    To shrink step by step, `before` says how the network came from a wider one (`remove_channels` of that with the last
    step's `keep`): `keep` then names the groups of the wider one, and may keep only what the last step kept. So groups
    stay the same ones while Selects and convs take the place of shortcuts.

    Raises NetworkError as `remove_channels` does, for a network that `before` does not give, and for a channel that is
    already removed.
    """
    _check_network(network)
    before = before or remove_channels(network.architecture, {})
    if before.architecture != network.architecture:
        raise NetworkError(
            f"`before` must give the network that is shrunk ({network.architecture.id}), but gives "
            f"{before.architecture.id}; make it of the first network and the last step's keep"
        )
    after = remove_channels(before.original, keep)
    with torch.random.fork_rng(devices=[]):  # the first weights, at once replaced, must not move a seed's numbers
        narrow = build(after.architecture).to(_device(network)).train(network.training)
    # an identity shortcut that both its ends made needless may be a Select now: it has no weights to copy
    lasting = {node.name for node in before.architecture.nodes} & {node.name for node in after.architecture.nodes}
    for node in before.original.nodes:
        left = _still_kept(node.name, before, after)
        if node.name in lasting:
            source = before.original.reads(node)[0]
            _copy_node(node, (network, before), (narrow, after), (left, _still_kept(source, before, after)))
    return narrow


def _still_kept(name: str, before: Removal, after: Removal) -> Tensor:
    """Of the channels that a node kept before, which it keeps now."""
    if (after.kept[name] & ~before.kept[name]).any():
        first = int(np.flatnonzero(after.kept[name] & ~before.kept[name])[0])
        raise NetworkError(
            f"keep may only keep what was kept before, but channel {first} of node {name!r} is removed; start anew "
            f"from the first network to have it back"
        )
    return torch.from_numpy(after.kept[name][before.kept[name]])


def _copy_node(
    node: Node, old: tuple[Network, Removal], new: tuple[Network, Removal], left: tuple[Tensor, Tensor]
) -> None:
    """Copy what is left of a node's weights; `left` are flags of its channels out [O] and in [I]."""
    for source, target in zip(_modules(node, *old), _modules(node, *new), strict=True):
        target.training = source.training
        if not isinstance(source, modules.Select):  # its indices are the op's
            _copy_tensors(source, target, *left)


def _modules(node: Node, network: Network, removal: Removal) -> list[nn.Module]:
    """A node's modules with weights: one, or the conv and the norm of a shortcut."""
    module = network.get_submodule(node.name)
    if isinstance(module, nn.Sequential):
        return list(module)
    norm = removal.norms.get(node.name)
    return [module] if norm is None else [module, network.get_submodule(norm)]


def _copy_tensors(source: nn.Module, target: nn.Module, out: Tensor, into: Tensor) -> None:
    for name, tensor in (*source.named_parameters(recurse=False), *source.named_buffers(recurse=False)):
        part = _part(source, name, tensor.detach(), (out, into))
        assert part.shape == getattr(target, name).shape, f"{name}: {tuple(part.shape)}"
        is_learned = isinstance(tensor, nn.Parameter)
        setattr(target, name, nn.Parameter(part, requires_grad=tensor.requires_grad) if is_learned else part)


def _part(module: nn.Module, name: str, tensor: Tensor, left: tuple[Tensor, Tensor]) -> Tensor:
    """What is left of a tensor [O, ...] of a layer, a copy."""
    out, into = left
    if isinstance(module, nn.Linear) and name == "weight":
        return _chosen(_chosen(tensor, 0, out), 1, into)
    if isinstance(module, nn.Conv2d) and name == "weight" and tensor.shape[1] > 1:  # else every filter reads its own
        groups = zip(*(rows.chunk(module.groups) for rows in (tensor, out, into)), strict=True)
        return torch.cat([_chosen(_chosen(filters, 0, kept), 1, read) for filters, kept, read in groups])
    shared = tensor.dim() == 0 or len(tensor) != len(out)
    return tensor.clone() if shared else _chosen(tensor, 0, out)


def _chosen(tensor: Tensor, dim: int, flags: Tensor) -> Tensor:
    return tensor.index_select(dim, flags.nonzero().flatten().to(tensor.device))


def _device(network: Network) -> torch.device:
    """Where the network's tensors lie."""
    tensors = (*network.parameters(), *network.buffers())
    return tensors[0].device if tensors else torch.device("cpu")


def _mask(name: str) -> str:
    return f"removed_{name}"


def _check_network(network: nn.Module) -> None:
    if not isinstance(network, Network):
        raise NetworkError(
            f"only a network that build made can be masked or shrunk, but this is {type(network).__name__}; trace it, "
            "build its architecture and copy its weights"
        )
