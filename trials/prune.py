"""Pruning of a network step by step, with a record of its widths (NeuralScale, Algorithm 1). G width groups, R rows."""

from collections.abc import Mapping
from contextlib import suppress
from math import isfinite, log
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search_spaces import Architecture
from search_spaces.batch_cost import BatchCost
from search_spaces.kept import Flags
from trials.augment import augment
from trials.images import Split, normalise
from trials.optimize import of_part
from trials.prune_job import PruneResult, PruneRow
from trials.prune_ranking import choose_removed, find_prunable
from trials.prune_settings import PruneSettings
from trials.pruned_network import PrunedNetwork
from trials.train import GUESSING, Member, Training, TrainingDiverged, draw_weights, make_generator


class Pruning:
    """Pre-training, then pruning; may be stopped after any step and continued to the same end.

    A step of the pruning trains for some minibatches, with the scores of their backward passes, and removes the
    channels that are rated lowest. Its draws come from generators that are seeded by the seed and the step.
    """

    def __init__(
        self,
        architecture: Architecture,
        data: Split,
        settings: PruneSettings,
        *,
        seed: int,
        start: Mapping[str, Tensor] | None = None,
        device: str = "cpu",
    ) -> None:
        """From weights that the seed draws, or from those of `start`; raises NetworkError if nothing can be pruned."""
        self.settings, self.architecture = settings, architecture
        self.prunable = find_prunable(architecture, settings)
        self.steps: list[PruneRow] = []  # what is left after every step
        self.losses: list[float] = []  # of the steps of the pruning
        self.pretraining_losses: list[float] = []
        self._data, self._seed, self._device = data, seed, device
        self._recipe = settings.pretraining()
        self._costs = BatchCost(architecture)
        self._kept = {group.name: np.ones(group.width, bool) for group in self._costs.groups.groups}
        self._pruned = PrunedNetwork(architecture, settings, device)
        self._order: tuple[int, tuple[Tensor, ...]] = (-1, ())
        member = Member(seed=seed, learning_rate=settings.pretrain_learning_rate, start=start or {})
        self._pretraining: Training | None = None
        if settings.pretrain_epochs:
            self._pretraining = Training(architecture, [member], data, self._recipe, device)
        else:
            self._pruned.hold(self._kept, draw_weights(architecture, member), {})

    @property
    def without_norm(self) -> tuple[str, ...]:
        """Groups whose gates stand behind a layer itself, as no batch norm follows it."""
        return self._pruned.gates.without_norm

    @property
    def first_recorded(self) -> int | None:
        """The step after which every group has lost a channel; None before."""
        groups, names = self.prunable.groups, list(self._kept)
        whole = [(names.index(group.name), group.width) for group in groups]
        return next((row.step for row in self.steps if all(row.widths[i] < width for i, width in whole)), None)

    @property
    def rows(self) -> tuple[PruneRow, ...]:
        """The record so far."""
        return self.result(0.0).rows

    def result(self, wall_seconds: float) -> PruneResult:
        """What was found so far, in so many seconds."""
        return PruneResult(
            steps=tuple(self.steps),
            first_recorded=self.first_recorded,
            losses=tuple(self.losses),
            pretraining_losses=tuple(self.pretraining_losses),
            wall_seconds=wall_seconds,
            without_norm=self.without_norm,
            left_out=self.prunable.left_out,
        )

    @property
    def kept(self) -> dict[str, Flags]:
        """Which channels of every group are left."""
        return {name: flags.copy() for name, flags in self._kept.items()}

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels that are left of every group [G]."""
        return tuple(int(flags.sum()) for flags in self._kept.values())

    @property
    def finished(self) -> bool:
        """Whether enough is removed, nothing more can be, or a group is at its floor where that ends it."""
        if self._pretraining is not None:
            return False
        groups = self.prunable.groups
        spare = [self._kept[group.name].sum() - group.divisor - self.settings.floor_of(group) for group in groups]
        removed = sum(group.width - int(self._kept[group.name].sum()) for group in groups)
        ends = (min if self.settings.at_floor == "stop" else max)(spare) < 0
        return bool(ends or removed >= self.settings.stop_share * self.prunable.channels)

    def run_step(self) -> None:
        """One epoch of pre-training while that lasts, else one step of the pruning.

        Raises TrainingDiverged where the loss is not finite, or after the pre-training far above that of guessing.
        """
        assert not self.finished, "the pruning is over"
        if self._pretraining is not None:
            self._pretrain(self._pretraining)
            return
        self.losses.append(self._train())
        if not isfinite(self.losses[-1]):
            raise TrainingDiverged(
                f"the loss of a pruning must stay finite, but is {self.losses[-1]} in step {len(self.losses)}; lower "
                "its learning_rate"
            )
        self._kept = choose_removed(self._pruned.take_scores(), self._kept, self.prunable, self.settings)
        self._pruned.remove(self._kept)
        self.steps += self._rows([len(self.losses)], [self.widths])

    def weights(self) -> dict[str, Tensor]:
        """The weights of what is left, by the names of `remaining`."""
        return self._pruned.network.state_dict()

    @property
    def remaining(self) -> Architecture:
        """What is left of the network; where channels are only masked, all of it."""
        return self._pruned.removal.architecture

    def state(self) -> dict[str, Tensor]:
        """Everything from which the pruning can be continued."""
        if self._pretraining is not None:
            return {f"pretraining.{name}": tensor for name, tensor in self._pretraining.state()[0].items()}
        parts = {
            "network": self.weights(),
            "momentum": self._pruned.momentum(),
            "kept": {name: torch.from_numpy(flags.copy()) for name, flags in self._kept.items()},
        }
        count = len(self._costs.groups.groups)
        return {
            **{f"{part}.{name}": tensor.clone() for part, own in parts.items() for name, tensor in own.items()},
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "pretraining_losses": torch.tensor(self.pretraining_losses, dtype=torch.float64),
            "widths": torch.tensor([row.widths for row in self.steps], dtype=torch.int64).reshape(-1, count),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on where `state` was taken."""
        if pretraining := of_part(state, "pretraining"):
            assert self._pretraining is not None
            self._pretraining.load_state([pretraining])
            self.pretraining_losses = list(self._pretraining.losses[0])
            return
        self._pretraining = None
        kept = of_part(state, "kept")  # a file gives its tensors in any order
        self._kept = {name: kept[name].numpy().copy() for name in self._kept}
        self._pruned.hold(self._kept, of_part(state, "network"), of_part(state, "momentum"))
        self.losses, self.pretraining_losses = state["losses"].tolist(), state["pretraining_losses"].tolist()
        self.steps = self._rows(list(range(1, len(self.losses) + 1)), state["widths"].tolist())

    def _rows(self, steps: list[int], widths: list[Any]) -> list[PruneRow]:
        """Rows of steps [R] and widths [R, G]."""
        counted = self._costs.costs(np.array(widths, np.int64).reshape(len(steps), -1)) if steps else np.zeros((0, 3))
        return [
            PruneRow(
                step=step, widths=tuple(row), params=int(params), macs=int(macs), activation_elements=int(elements)
            )
            for step, row, (params, macs, elements) in zip(steps, widths, counted, strict=True)
        ]

    def _pretrain(self, training: Training) -> None:
        """One epoch; after the last, the network goes over to the pruning, whose optimizer begins anew."""
        with suppress(TrainingDiverged):  # said below with the setting that is meant
            training.run_epoch()
        self.pretraining_losses = list(training.losses[0])
        over = training.epoch == self._recipe.epochs
        loss, limit = self.pretraining_losses[-1], GUESSING * log(max(2, *self.architecture.output))
        if not isfinite(loss) or (over and loss > limit):
            rule = f"end below {limit:.3g}, twice that of guessing" if isfinite(loss) else "stay finite"
            raise TrainingDiverged(
                f"the loss of the pre-training must {rule}, but is {loss:.4g} after epoch {training.epoch}; lower "
                "pretrain_learning_rate"
            )
        if over:
            self._pruned.hold(self._kept, training.weights()[0], {})
            self._pretraining = None

    def _train(self) -> float:
        """The mean loss of the minibatches of a step."""
        step, count = len(self.losses), self.settings.batches
        generator = make_generator(self._seed, "prune step", step)
        total = torch.zeros((), device=self._device, dtype=torch.float64)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator.initial_seed())  # dropout has no generator of its own
            for number in range(step * count, (step + 1) * count):
                epoch, positions = self._positions(number)
                images, labels = self._data.batch(positions)
                changed = augment(images.to(self._device), self.settings.augmentation, generator)
                seen = normalise(changed, self._data.mean.to(self._device), self._data.std.to(self._device))
                total += self._pruned.step(seen, labels.to(self._device), self.settings.rate_after(epoch))
        return float(total) / count

    def _positions(self, number: int) -> tuple[int, Tensor]:
        """Of a minibatch of the pruning its epoch and the positions of its images."""
        sizes = self._recipe.batches(len(self._data))
        epoch, batch = divmod(number, len(sizes))
        if self._order[0] != epoch:
            order = torch.randperm(len(self._data), generator=make_generator(self._seed, "prune epoch", epoch))
            self._order = epoch, order.split(sizes)
        return epoch, self._order[1][batch]
