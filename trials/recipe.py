"""How networks are trained: published recipes by name."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trials.fields import Count


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A published recipe."""

    batch_size: int
    learning_rate: float


# Borji, section 4: Adadelta with learning rate 1.0, batches of 100; dropout 0.5 belongs to the network.
PRESETS = {"borji": Preset(batch_size=100, learning_rate=1.0)}


class Recipe(BaseModel):
    """How a network is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: Literal["borji"] = Field("borji", description="borji: Adadelta, learning rate 1.0, batches of 100.")
    epochs: Count = Field(10, ge=1, le=10**9, description="Passes over the training images.")

    @property
    def settings(self) -> Preset:
        """The preset's own values."""
        return PRESETS[self.preset]
