"""Training and scoring of one network on one core."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces import Architecture, NasError
from search_spaces.build import Network, build
from trials.images import LabelledImages
from trials.recipe import Recipe

SCORING_BATCH = 500


class TrainingDiverged(NasError):
    """The loss is no longer a finite number."""


def train_network(
    architecture: Architecture,
    data: LabelledImages,
    recipe: Recipe,
    seed: int,
    start: Mapping[str, Tensor] | None = None,
) -> Network:
    """A network trained from scratch, or from the tensors in `start` (the others are drawn).

    Equal arguments give equal weights on one thread. Raises TrainingDiverged when a loss is not finite.
    """
    torch.manual_seed(seed)  # initial weights and dropout
    # oneDNN is quicker on channels last; bf16 was slower on these networks
    network = build(architecture)
    unknown = network.load_state_dict(dict(start or {}), strict=False).unexpected_keys
    assert not unknown, f"the network has no {unknown}"
    network.to(memory_format=torch.channels_last)
    images = data.images.to(memory_format=torch.channels_last)
    order = torch.Generator().manual_seed(seed)
    optimizer = make_optimizer(network, recipe)
    network.train()
    for epoch in range(recipe.epochs):
        for batch in torch.randperm(len(data.labels), generator=order).split(recipe.settings.batch_size):
            loss = train_step(network, optimizer, images[batch], data.labels[batch])
        # of the last batch alone: a loss that is not finite stays so, and reading each would wait for a GPU
        if not torch.isfinite(loss):
            raise TrainingDiverged(f"the loss must stay finite, but is {loss.item()} after epoch {epoch + 1}")
    return network.eval()


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over all parameters."""
    return torch.optim.Adadelta(network.parameters(), lr=recipe.settings.learning_rate)


def train_step(network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Tensor:
    """One step on images [N, C, H, W] and labels [N]; the cross-entropy before it."""
    loss = F.cross_entropy(network(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def count_correct(network: nn.Module, data: LabelledImages) -> int:
    """Images whose highest score is their class."""
    network.eval()
    with torch.inference_mode():
        batches = zip(data.images.split(SCORING_BATCH), data.labels.split(SCORING_BATCH), strict=True)
        return sum(int((network(images).argmax(1) == labels).sum()) for images, labels in batches)
