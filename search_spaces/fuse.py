"""Networks of one architecture side by side in one module, so that they train together.

M members, N images, C channels of one member's image. Members' channels stand one after the other, [N, M C, H, W]. What
a layer makes of one member's channels never depends on another's, so a member that diverges leaves the others as they
are.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from search_spaces.architecture import Architecture
from search_spaces.build import add_layers, run_exits, run_nodes
from search_spaces.cost import count_cost
from search_spaces.errors import NetworkError
from search_spaces.fused_layers import Noise, fused_layer


class FusedNetwork(nn.Module):
    """M networks of one architecture. Its tensors are named as `build`'s and hold the members' one after the other.

    `generators`, one a member, give the noise of dropout and stochastic depth while training, on their own devices:
    member m draws what it would draw alone.
    """

    generators: list[torch.Generator]

    def __init__(self, architecture: Architecture, members: int) -> None:
        super().__init__()
        if members < 1:
            raise NetworkError(f"members must be at least 1, but got {members}")
        self.architecture, self.members, self.generators = architecture, members, []
        add_layers(self, architecture, lambda op, place: fused_layer(op, place, members))

    def forward(self, images: Tensor) -> Tensor:
        """Scores [M, N, classes] of images [N, M C, H, W]: the last exit's.

        Raises NetworkError when a layer draws noise and there is not one generator a member.
        """
        return self._of_members(run_nodes(self.architecture, images, self._run_layer))

    def exits(self, images: Tensor) -> list[Tensor]:
        """Scores [M, N, classes] of every exit, the last node's last; raises as `forward`."""
        return [self._of_members(scores) for scores in run_exits(self.architecture, images, self._run_layer)]

    def _of_members(self, scores: Tensor) -> Tensor:
        """[N, M classes] to [M, N, classes]."""
        own: Tensor = scores.unflatten(1, (self.members, -1))
        return own.movedim(1, 0)

    def _run_layer(self, name: str, read: list[Tensor]) -> Tensor:
        layer = self.get_submodule(name)
        values: Tensor = layer(*read, self.generators) if isinstance(layer, Noise) else layer(*read)
        return values


def fuse(architecture: Architecture, members: int) -> FusedNetwork:
    """Freshly initialised networks side by side; one alone costs no more time than `build`'s.

    Raises NetworkError for a node named as an attribute of the module ("members", "generators").
    """
    network = FusedNetwork(architecture, members)
    built = sum(parameter.numel() for parameter in network.parameters())
    counted = members * count_cost(architecture).params
    assert built == counted, f"built {built} parameters, counted {counted}"
    return network


def pack(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The state dict of a fused network, of those of `build`'s networks. Tensors are copies.

    BatchNorm's counts of batches, which are single numbers, are shared. Raises NetworkError for no states, and where
    names, shapes or counts differ.
    """
    kinds = [{name: tensor.shape for name, tensor in state.items()} for state in states]
    if not kinds or any(kind != kinds[0] for kind in kinds):
        raise NetworkError(f"members must be one or more networks of one architecture, but {len(kinds)} states differ")
    return {name: _packed(name, [state[name] for state in states]) for name in kinds[0]}


def _packed(name: str, tensors: list[Tensor]) -> Tensor:
    if tensors[0].dim():
        return torch.cat(tensors)
    if any(not torch.equal(tensor, tensors[0]) for tensor in tensors):
        raise NetworkError(f"members must share {name}, but have {[tensor.item() for tensor in tensors]}; part them")
    return tensors[0].clone()


def unpack(state: Mapping[str, Tensor], members: int) -> list[dict[str, Tensor]]:
    """The state dicts of `build`'s networks, of that of a fused one. Tensors are copies."""
    return [
        {name: _part(tensor, members, member).clone() for name, tensor in state.items()} for member in range(members)
    ]


def _part(tensor: Tensor, members: int, member: int) -> Tensor:
    return tensor.unflatten(0, (members, -1))[member] if tensor.dim() else tensor
