"""A network in training that loses channels, physically or masked, and rates those that are left.

N images, C channels.
"""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces import Architecture
from search_spaces.build import Network, build
from search_spaces.gates import find_gates
from search_spaces.kept import Keep
from search_spaces.removal import remove_channels
from search_spaces.shrink import mask, shrink
from search_spaces.taylor import TaylorScores
from trials.optimize import FlatParameters
from trials.prune_ranking import Scores
from trials.prune_settings import PruneSettings

DTYPES = {"fp32": torch.float32, "fp64": torch.float64}


class PrunedNetwork:
    """What is left of a network, its optimizer (SGD) and the scores of its channels.

    Shrunk and masked ones make the same steps, up to rounding: a kept channel keeps its momentum, and removed ones get
    no gradients and reach nothing.
    """

    def __init__(self, architecture: Architecture, settings: PruneSettings, device: str) -> None:
        self.settings, self._device = settings, torch.device(device)
        self.gates = find_gates(architecture)
        self.removal = remove_channels(architecture, {})
        self._module: nn.Module

    def hold(self, keep: Keep, weights: Mapping[str, Tensor], momentum: Mapping[str, Tensor]) -> None:
        """Take these weights, and averages where there are any, of a network that keeps these channels."""
        if not self.settings.mask_only:
            self.removal = remove_channels(self.removal.original, keep)
        network = build(self.removal.architecture).to(self._device, DTYPES[self.settings.precision])
        network.load_state_dict(dict(weights))
        self._train(network, momentum)
        if self.settings.mask_only:
            self._module = mask(network, keep)

    def step(self, images: Tensor, labels: Tensor, learning_rate: float) -> Tensor:
        """One step on normalised images [N, C, H, W] and labels [N]; the mean loss before it."""
        seen = images.to(self._flat.values.dtype).contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(self._module(seen), labels)
        loss.backward()
        self._scores.end_batch()
        self._optimizer.param_groups[0]["lr"] = learning_rate
        self._optimizer.step()
        assert self._flat.values.grad is not None
        self._flat.values.grad.zero_()
        return loss.detach()

    def take_scores(self) -> dict[str, Scores]:
        """The mean scores [C] of each group's channels since the last call."""
        return self.gates.of_group(self._scores.take().double().cpu().numpy())

    def remove(self, keep: Keep) -> None:
        """Lose the channels that `keep` does not keep."""
        if self.settings.mask_only:
            self._module = mask(self.network, keep)
            return
        self._scores.close()
        averages = self._with_averages()
        network = shrink(self.network, keep, before=self.removal)
        momentum = {} if averages is None else shrink(averages, keep, before=self.removal).state_dict()
        self.removal = remove_channels(self.removal.original, keep)
        self._train(network, momentum)

    def momentum(self) -> dict[str, Tensor]:
        """The optimizer's averages of the gradients by parameter; empty before the first step."""
        vector = self._optimizer.state[self._flat.values].get("momentum_buffer")
        return {} if vector is None else self._flat.split(vector)

    def _train(self, network: Network, momentum: Mapping[str, Tensor]) -> None:
        # convolutions are quicker on channels last
        self.network = network.to(memory_format=torch.channels_last).train()
        self._module = network
        self._flat = FlatParameters(network)
        self._optimizer = torch.optim.SGD(
            [self._flat.values], lr=0.0, momentum=self.settings.momentum, weight_decay=self.settings.weight_decay
        )
        if momentum:
            self._optimizer.state[self._flat.values]["momentum_buffer"] = self._flat.join(momentum)
        self._scores = TaylorScores(network, self.gates, None if self.settings.mask_only else self.removal.kept)

    def _with_averages(self) -> Network | None:
        """The network with averages in place of weights, so that they are shrunk as weights are."""
        averages = self.momentum()
        if not averages:
            return None
        network = deepcopy(self.network)
        for name, parameter in network.named_parameters():
            parameter.data = averages[name]
        return network
