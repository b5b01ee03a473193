"""How networks are pruned step by step (NeuralScale, Algorithm 1): schedule, ranking, where it ends."""

from math import ceil
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from search_spaces.width_groups import WidthGroup
from trials.fields import Count, Real, parse_number
from trials.recipe import Augmentation, Recipe

Normalisation = Literal["none", "group-mean", "l2"]
AtFloor = Literal["stop", "leave-out"]


def _number(value: Any) -> int | float:
    number = parse_number(value)
    if number.denominator == 1 and 1 <= number <= 10**6:
        return int(number)
    if 0 < number < 1:
        return float(number)
    raise ValueError("must be a number of channels, at least 1, or a share of them between 0 and 1")


Number = Annotated[int | float, BeforeValidator(_number)]


class PruneSettings(BaseModel):
    """Everything of a pruning that changes its record, beside network, images and seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pretrain_epochs: Count = Field(2, ge=0, le=10**6, description="Epochs of training before the pruning.")
    pretrain_learning_rate: Real = Field(0.1, gt=0, le=1000, description="Learning rate of these epochs.")
    learning_rate: Real = Field(0.01, gt=0, le=1000, description="Learning rate of the pruning, at its beginning.")
    decay: Real = Field(1.5, ge=1, le=1000, description="What it is divided by every decay_epochs epochs.")
    decay_epochs: Count = Field(10, ge=1, le=10**6, description="Epochs of pruning at one learning rate.")
    momentum: Real = Field(0.5, ge=0, lt=1, description="Of SGD.")
    weight_decay: Real = Field(5e-4, ge=0, le=1, description="Of all parameters.")
    batch_size: Count = Field(256, ge=2, le=10**6, description="Images in a minibatch.")
    augmentation: Augmentation = Field("crop-flip", description="Of training images: none, flip, crop or crop-flip.")
    batches: Count = Field(50, ge=1, le=10**6, description="Minibatches of a step: scores are their means.")
    channels: Number = Field(
        10, description="Channels that a step removes: a number, or a share of all that may be removed, as 0.01."
    )
    normalisation: Normalisation = Field(
        "none",
        description="What scores are divided by before they are ranked: none, the mean of their group (group-mean) or "
        "its l2 norm (l2).",
    )
    floor: Number = Field(
        1, description="Channels that every group keeps: a number, or a share of those that it began with."
    )
    at_floor: AtFloor = Field(
        "leave-out", description="When a group has only those left: stop, or go on with the others (leave-out)."
    )
    stop_share: Real = Field(0.95, gt=0, le=1, description="Share of all channels after whose removal it ends.")
    mask_only: bool = Field(
        False, description="Keep removed channels as zeros: the same record, but no step gets cheaper."
    )
    precision: Literal["fp32", "fp64"] = Field("fp32", description="fp32; fp64 to compare runs to the last digit.")

    def floor_of(self, group: WidthGroup) -> int:
        """Channels that a group keeps: what it can have, at least one in each of its equal parts."""
        least = self.floor if isinstance(self.floor, int) else ceil(self.floor * group.width)
        return min(group.width, ceil(least / group.divisor) * group.divisor)

    def channels_of(self, total: int) -> int:
        """Channels that a step removes of a network that may lose so many."""
        return self.channels if isinstance(self.channels, int) else max(1, int(self.channels * total))

    def rate_after(self, epochs: int) -> float:
        """The learning rate after so many whole epochs of pruning."""
        return self.learning_rate / self.decay ** (epochs // self.decay_epochs)

    def pretraining(self) -> Recipe:
        """How the network is trained before."""
        return Recipe(
            epochs=max(1, self.pretrain_epochs),
            batch_size=self.batch_size,
            optimizer="sgd",
            learning_rate=self.pretrain_learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            augmentation=self.augmentation,
        )


# The authors' own settings (their published code, not the paper: there the rate falls to a tenth every 10 epochs).
# Ours differ in two: 2 epochs before, as their table 3 has no more for longer ones, and groups left out at their floor.
_PAPER: dict[str, Any] = {"pretrain_epochs": 10, "at_floor": "stop"}
PRUNE_PRESETS: dict[str, dict[str, Any]] = {
    "ours": {},
    "paper": _PAPER,  # CIFAR
    "paper-tiny": {**_PAPER, "batch_size": 100, "batches": 100},  # Tiny ImageNet
}


def prune_preset(name: str, **changes: Any) -> PruneSettings:
    """Published settings with some values of one's own."""
    return PruneSettings(**{**PRUNE_PRESETS[name], **changes})
