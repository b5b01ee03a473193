"""First-order Taylor scores of channels (Molchanov et al. 2019; NeuralScale, eq. 4): (dE/dz)^2 of gates z = 1.

N images, C channels of a node, Z gates.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from search_spaces.build import Network
from search_spaces.gates import Gates
from search_spaces.kept import Flags


class TaylorScores:
    """Collects the scores of a network's gates from the backward passes of its losses.

    No gate is multiplied in: with y' = z y at z = 1, dE/dz is the sum of dE/dy y over images and positions. A gate that
    stands in several places is one variable, so its gradients there are added before they are squared.
    """

    def __init__(self, network: Network, gates: Gates, kept: Mapping[str, Flags] | None = None) -> None:
        """Of a network as built, or with those channels alone that `kept` says for each node."""
        device = next(network.parameters()).device
        dtype = next(network.parameters()).dtype
        self._gradients = torch.zeros(gates.count, device=device, dtype=dtype)
        self._total = torch.zeros_like(self._gradients)
        self._batches = 0
        self._handles: list[RemovableHandle] = []
        for name, row in gates.places.items():
            left = torch.from_numpy(row if kept is None else row[kept[name]])
            own = (left >= 0).nonzero().flatten().to(device)
            self._watch(network.get_submodule(name), own, left.to(device)[own])

    def end_batch(self) -> None:
        """Square the gradients of the batch whose backward pass is over (eq. 4) and add them to the scores."""
        self._total += self._gradients**2
        self._gradients.zero_()
        self._batches += 1

    def take(self) -> Tensor:
        """The mean scores [Z] of the batches since the last call; zero for channels that are gone."""
        scores = self._total / self._batches
        self._total.zero_()
        self._batches = 0
        return scores

    def close(self) -> None:
        """Let go of the network."""
        for handle in self._handles:
            handle.remove()

    def _watch(self, module: nn.Module, own: Tensor, gates: Tensor) -> None:
        """Add up dE/dz behind a module whose channels `own` have these gates."""

        def watch_output(_: nn.Module, __: object, output: Tensor) -> None:
            if output.requires_grad:
                values = output.detach()
                output.register_hook(lambda gradient: self._add(values * gradient, own, gates))

        self._handles.append(module.register_forward_hook(watch_output))

    def _add(self, products: Tensor, own: Tensor, gates: Tensor) -> None:
        """Products of values and their gradients [N, C, ...]."""
        sums = products.transpose(0, 1).flatten(1).sum(1) if products.dim() == 2 else products.sum((0, 2, 3))
        self._gradients.index_add_(0, gates, sums.index_select(0, own))
