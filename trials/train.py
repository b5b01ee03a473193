"""Training of networks of one architecture, together or alone, on one device; and scoring."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, log

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces import Architecture, NasError
from search_spaces.build import build
from search_spaces.fuse import fuse, pack, unpack
from trials.augment import augment
from trials.images import Split, normalise
from trials.memory_plan import SCORING_BATCH
from trials.optimize import Optimizer, of_part
from trials.recipe import Recipe, learning_rate_factor

GUESSING = 2.0  # times the loss of guessing: a network that ends above it has diverged


class TrainingDiverged(NasError):
    """The loss is no longer a finite number, or ends far above that of guessing."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of the trainings: its seed, its learning rate, and the tensors it starts from (the others are drawn)."""

    seed: int
    learning_rate: float
    start: Mapping[str, Tensor] = field(default_factory=dict)


class Training:
    """The training of some members, epoch by epoch; may be stopped after any and continued to the same end.

    A member draws its order, augmentation and dropout from a generator of its own, seeded anew each epoch from its seed
    and the epoch. So it sees the same whether it trains alone or beside others, and a continued training needs nothing
    but weights and the optimizer's averages.
    """

    def __init__(
        self,
        architecture: Architecture,
        members: Sequence[Member],
        data: Split,
        recipe: Recipe,
        device: str = "cpu",
        *,
        micro_batch: int = 0,
    ) -> None:
        """`micro_batch` is the most images that are computed at once; 0: what the recipe says."""
        self.recipe, self.members, self.epoch = recipe, list(members), 0
        self._micro_batch = micro_batch
        self.losses: list[list[float]] = [[] for _ in members]  # of each epoch, by member
        self._architecture, self._data, self._device = architecture, data, torch.device(device)
        self._network = fuse(architecture, len(members))
        self._network.load_state_dict(pack([draw_weights(architecture, member) for member in members]))
        # convolutions are quicker on channels last, on CPUs and GPUs
        self._network.to(self._device).to(memory_format=torch.channels_last)
        self._optimizer = Optimizer(self._network, recipe, [member.learning_rate for member in members])
        self._steps = recipe.steps(len(data))
        self._mean, self._std = (
            values.to(self._device).repeat(1, len(members), 1, 1) for values in (data.mean, data.std)
        )

    def run_epoch(self) -> None:
        """One pass over the images; raises TrainingDiverged once no member has a finite loss."""
        generators = [make_generator(member.seed, self.epoch) for member in self.members]
        orders = [torch.randperm(len(self._data), generator=generator) for generator in generators]
        self._network.train()
        self._network.generators = generators
        total = torch.zeros(len(self.members), device=self._device)
        sizes = self.recipe.batches(len(self._data))
        batches = zip(*(order.split(sizes) for order in orders), strict=True)
        for step, positions in enumerate(batches, start=self.epoch * self._steps):
            images, labels = self._batch(positions, generators)
            total += self._step(images, labels, step) * len(positions[0])
        self.epoch += 1
        # read once an epoch: a loss that is not finite stays so, and reading each would wait for a GPU
        for losses, loss in zip(self.losses, (total / len(self._data)).tolist(), strict=True):
            losses.append(loss)
        if not any(isfinite(losses[-1]) for losses in self.losses):
            raise TrainingDiverged(self._not_finite(self.losses[0]))

    def check(self, member: int) -> None:
        """Raises TrainingDiverged for a member whose loss is not finite, or in the end far above that of guessing."""
        losses = self.losses[member]
        if losses and not isfinite(losses[-1]):
            raise TrainingDiverged(self._not_finite(losses))
        limit = GUESSING * log(max(2, *self._architecture.output)) * len(self._architecture.answers)
        if self.epoch == self.recipe.epochs and losses[-1] > limit:
            raise TrainingDiverged(
                f"the loss must end below {limit:.3g}, twice that of guessing, but is {losses[-1]:.4g} after epoch "
                f"{self.epoch}; lower train.learning_rate"
            )

    def weights(self) -> list[dict[str, Tensor]]:
        """Each member's weights to score and keep, by the built network's names; averaged where the recipe says so."""
        return unpack({**self._network.state_dict(), **(self._optimizer.averages() or {})}, len(self.members))

    def state(self) -> list[dict[str, Tensor]]:
        """Each member's whole state, from which the training can be continued."""
        networks = unpack(self._network.state_dict(), len(self.members))
        return [
            {
                **{f"network.{name}": tensor for name, tensor in network.items()},
                **{f"optimizer.{name}": tensor for name, tensor in optimizer.items()},
                "losses": torch.tensor(losses, dtype=torch.float64),
            }
            for network, optimizer, losses in zip(networks, self._optimizer.state(), self.losses, strict=True)
        ]

    def load_state(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Go on where `state` was taken: all members after the same epoch."""
        networks, optimizers = ([of_part(state, part) for state in states] for part in ("network", "optimizer"))
        self.losses = [state["losses"].tolist() for state in states]
        self.epoch = len(self.losses[0])
        self._network.load_state_dict(pack(networks))
        self._optimizer.load_state(optimizers, self.epoch * self._steps)

    def _batch(self, positions: Sequence[Tensor], generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """Images uint8 [B, M*C, H, W] and labels [M, B], each member's own."""
        drawn = [self._data.batch(rows) for rows in positions]
        images = [
            augment(images.to(self._device), self.recipe.augmentation, generator)
            for (images, _), generator in zip(drawn, generators, strict=True)
        ]
        return torch.cat(images, dim=1), torch.stack([labels for _, labels in drawn]).to(self._device)

    def _step(self, images: Tensor, labels: Tensor, step: int) -> Tensor:
        """One step on images uint8 [B, M*C, H, W] and labels [M, B]; each member's loss [M] before it."""
        total = torch.zeros(len(self.members), device=self._device)
        sizes = self._part_sizes(len(images))
        for part, part_labels in zip(images.split(sizes), labels.split(sizes, dim=1), strict=True):
            loss = self._loss(part, part_labels) * (len(part) / len(images))
            loss.sum().backward()
            total += loss.detach()
        self._optimizer.step(learning_rate_factor(self.recipe, step, self._steps * self.recipe.epochs))
        return total

    def _part_sizes(self, images: int) -> list[int]:
        """Images of a batch that are computed at once; never one, which has no batch statistics."""
        size = max(2, self._micro_batch or -(-images // self.recipe.accumulate))
        sizes = [size] * (images // size) + [images % size] * (images % size > 0)
        if sizes[-1] == 1 and len(sizes) > 1:
            sizes[-2:] = [size + 1]
        return sizes

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy [M] of each member; of several exits their sum (MSNet, section 3.3)."""
        seen = normalise(images.contiguous(memory_format=torch.channels_last), self._mean, self._std)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            exits = self._network.exits(seen)
        losses = [
            F.cross_entropy(
                scores.float().flatten(0, 1),
                labels.flatten(),
                reduction="none",
                label_smoothing=self.recipe.label_smoothing,
            )
            for scores in exits
        ]
        return sum(losses[1:], losses[0]).view(labels.shape).mean(1)

    def _not_finite(self, losses: list[float]) -> str:
        first = next(i for i, loss in enumerate(losses, start=1) if not isfinite(loss))
        return f"the loss must stay finite, but is {losses[first - 1]} after epoch {first}; lower train.learning_rate"


def draw_weights(architecture: Architecture, member: Member) -> dict[str, Tensor]:
    """A network's first weights, by the built one's names: drawn by the member's seed, or given."""
    torch.manual_seed(member.seed)
    network = build(architecture)
    unknown = network.load_state_dict(dict(member.start), strict=False).unexpected_keys
    assert not unknown, f"the network has no {unknown}"
    return network.state_dict()


def make_generator(*key: object) -> torch.Generator:
    """A generator whose numbers are a function of what it is for, as a seed and an epoch."""
    digest = hashlib.sha256(" ".join(map(str, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def count_correct(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> int:
    """Images whose highest score is their class, of batches of the network's inputs and labels."""
    network.eval()
    with torch.inference_mode():
        return sum(int((network(images).argmax(1) == labels).sum()) for images, labels in batches)


def score(
    architecture: Architecture,
    weights: Mapping[str, Tensor],
    data: Split,
    device: str = "cpu",
    *,
    batch: int = SCORING_BATCH,
) -> int:
    """Images of a split whose class the network finds with these weights, computed as an exported network does."""
    network = build(architecture)
    network.load_state_dict(dict(weights))
    network.to(device)
    mean, std = data.mean.to(device), data.std.to(device)
    seen = ((normalise(images.to(device), mean, std), labels.to(device)) for images, labels in data.batches(batch))
    return count_correct(network, seen)
