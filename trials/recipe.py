"""How networks are trained: optimizer, schedule, batches; published recipes by name."""

from math import cos, pi
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trials.fields import Count, Real

Optimizer = Literal["sgd", "adamw", "adadelta"]
Schedule = Literal["constant", "one-cycle", "cosine", "step"]
Augmentation = Literal["none", "flip", "crop", "crop-flip"]
Precision = Literal["fp32", "bf16"]
PresetName = Literal["borji", "neuralscale-cifar", "neuralscale-tiny", "msnet", "fast"]
Share = Annotated[Real, Field(gt=0, lt=1)]
OF_OPTIMIZER = ("learning_rate", "momentum", "nesterov", "weight_decay")  # what of a preset goes with its optimizer
WARM_UP_START = 0.1  # of the learning rate, where one-cycle begins


class Recipe(BaseModel):
    """Everything of a training that changes its numbers, beside network, images and seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: Count = Field(10, ge=1, le=10**9, description="Passes over the training images.")
    batch_size: Count = Field(100, ge=1, le=10**6, description="Images in a step.")
    accumulate: Count = Field(1, ge=1, le=1024, description="Parts that a batch is computed in, where memory is short.")
    optimizer: Optimizer = Field("adadelta", description="sgd, adamw or adadelta.")
    learning_rate: Real = Field(1.0, gt=0, le=1000, description="Its highest value; the schedule scales it.")
    momentum: Real = Field(0.9, ge=0, lt=1, description="Of sgd.")
    nesterov: bool = Field(False, description="Nesterov's momentum, for sgd.")
    weight_decay: Real = Field(0.0, ge=0, le=1, description="Of all parameters; decoupled for adamw.")
    schedule: Schedule = Field(
        "constant", description="Of the learning rate: constant, one-cycle (up, then down to 0), cosine or step."
    )
    warm_up: Real = Field(0.25, ge=0, lt=1, description="Share of the training in which one-cycle rises.")
    milestones: tuple[Share, ...] = Field(
        (), max_length=20, description="Shares of the training after which step multiplies the learning rate by decay."
    )
    decay: Real = Field(0.1, gt=0, lt=1, description="Factor of each milestone.")
    label_smoothing: Real = Field(0.0, ge=0, lt=1, description="Share of the target that is spread over all classes.")
    ema: Real = Field(0.0, ge=0, lt=1, description="Decay of the averaged weights that are scored and kept; 0: none.")
    augmentation: Augmentation = Field("none", description="Of training images: none, flip, crop or crop-flip.")
    precision: Precision = Field("fp32", description="fp32, or bf16 for convs and products; auto takes the quicker.")
    deterministic: bool = Field(
        False,
        description="Bit for bit the same numbers on one machine: jobs then train one by one, never fused, and by "
        "deterministic kernels; otherwise they agree within the spread of seeds.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError("nesterov must go with optimizer sgd and a momentum above 0")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError("milestones must rise")
        if (self.schedule == "step") != bool(self.milestones):
            raise ValueError("milestones must be given with schedule step, and with no other")
        if 2 * self.accumulate > max(2, self.batch_size):
            raise ValueError("accumulate must leave two images or more in each part of a batch")
        return self

    def batches(self, images: int) -> list[int]:
        """Sizes of an epoch's batches; the last may be smaller, but never one image, which has no batch statistics."""
        whole, rest = divmod(images, self.batch_size)
        sizes = [self.batch_size] * whole + [rest] * (rest > 0)
        if rest == 1 and whole:
            sizes[-2:] = [self.batch_size + 1]
        return sizes

    def steps(self, images: int) -> int:
        """Steps of an epoch."""
        return len(self.batches(images))

    def constant(self, epochs: int, learning_rate: float) -> "Recipe":
        """Fine-tuning: the same for so many epochs at one learning rate, by SGD."""
        changes = {"epochs": epochs, "learning_rate": learning_rate, "schedule": "constant", "milestones": ()}
        return Recipe(**{**self.model_dump(), **changes, "optimizer": "sgd"})

    def without_learning_rate(self) -> "Recipe":
        """What jobs that train together have in common."""
        return self.model_copy(update={"learning_rate": 1.0})


# What the papers leave open is filled as their fields do: augmentation of NeuralScale's and MSNet's trainings, the
# batch of NeuralScale's (that of its pruning), momentum and decay of MSNet's (those of ResNet). Ours scale: milestones
# are shares, so that a shorter training decays as early in proportion.
PRESETS: dict[str, dict[str, Any]] = {
    # Borji, section 4; dropout 0.5 belongs to the network
    "borji": {"optimizer": "adadelta", "learning_rate": 1.0, "batch_size": 100, "epochs": 10},
    # NeuralScale, section 4: CIFAR, 300 epochs, a tenth after 100, 200 and 250
    "neuralscale-cifar": {
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.5,
        "weight_decay": 5e-4,
        "batch_size": 256,
        "epochs": 300,
        "schedule": "step",
        "milestones": (1 / 3, 2 / 3, 5 / 6),
        "augmentation": "crop-flip",
    },
    # NeuralScale, section 4: Tiny ImageNet, 150 epochs, a tenth after 50 and 100
    "neuralscale-tiny": {
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.5,
        "weight_decay": 5e-4,
        "batch_size": 100,
        "epochs": 150,
        "schedule": "step",
        "milestones": (1 / 3, 2 / 3),
        "augmentation": "crop-flip",
    },
    # MSNet, section 4: 120 epochs, a tenth after 30, 60 and 90
    "msnet": {
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "batch_size": 256,
        "epochs": 120,
        "schedule": "step",
        "milestones": (1 / 4, 1 / 2, 3 / 4),
        "augmentation": "crop-flip",
    },
    # ours: few epochs, all of them useful
    "fast": {
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 5e-4,
        "batch_size": 100,
        "epochs": 10,
        "schedule": "one-cycle",
        "label_smoothing": 0.1,
    },
}


def preset(name: str, **changes: Any) -> Recipe:
    """A published recipe with some values of one's own."""
    return Recipe(**{**PRESETS[name], **changes})


def learning_rate_factor(recipe: Recipe, step: int, steps: int) -> float:
    """What the learning rate is multiplied by in step 0, 1, ... of a training of so many steps."""
    if recipe.schedule == "cosine":
        return (1 + cos(pi * step / steps)) / 2
    if recipe.schedule == "one-cycle":
        peak = recipe.warm_up * steps
        if step < peak:
            return WARM_UP_START + (1 - WARM_UP_START) * step / peak
        return (steps - step) / (steps - peak)
    if recipe.schedule == "step":
        return float(recipe.decay ** sum(step >= share * steps for share in recipe.milestones))
    return 1.0
