"""Methods that set widths for a budget: what the spec may say of NeuralScale, of its baselines, and of pruning."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from nas.method_spec import count_name
from trials.fields import Count, Real, once_each
from trials.prune_settings import PRUNE_PRESETS, PruneSettings

Tau = Literal["params", "macs", "activation_elements"]
Share = Annotated[Real, Field(gt=0, le=1)]


class PruneSpec(PruneSettings):
    """How networks are pruned, by neuralscale and morphnet: a preset, and what is changed of it."""

    preset: Literal["ours", "paper", "paper-tiny"] = Field(
        "ours",
        description="ours; paper: the authors' settings for CIFAR; paper-tiny: those for Tiny ImageNet. The other keys "
        "change what it says.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        """What the spec leaves out is the preset's."""
        return {**PRUNE_PRESETS.get(str(data.get("preset", "ours")), {}), **data} if isinstance(data, dict) else data

    def settings(self, **changes: Any) -> PruneSettings:
        """What changes a record."""
        return PruneSettings(**{**{name: getattr(self, name) for name in PruneSettings.model_fields}, **changes})


class WidthMethod(BaseModel):
    """What all of these methods have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    shares: Annotated[tuple[Share, ...], AfterValidator(once_each)] = Field(
        (1.0,),
        max_length=100,
        description="A network for each of these shares of every bound of the budget.",
    )
    floor: Count = Field(1, ge=1, le=2**24, description="No width is below it.")
    multiple: Count = Field(1, ge=1, le=2**24, description="Widths are multiples of it.")


class UniformSpec(WidthMethod):
    """All widths of the base times one factor."""

    name: Literal["uniform"] = Field(description="All widths of the base times one factor.")


class ConvCutSpec(WidthMethod):
    """The same with a 1x1 conv in every shortcut (NeuralScale, section 6.4)."""

    name: Literal["convcut"] = Field(
        description="The same with a 1x1 conv in place of every identity shortcut (NeuralScale, section 6.4)."
    )


class MorphNetSpec(WidthMethod):
    """Prune once, then all widths times one factor: one iteration of MorphNet with Taylor-FO for its regulariser."""

    name: Literal["morphnet"] = Field(
        description="MorphNet (Taylor-FO): prune once, then all widths that are left times one factor."
    )
    left: Annotated[Real, Field(gt=0, lt=1)] = Field(0.5, description="Share of the channels that the pruning leaves.")


class MagnitudeSpec(WidthMethod):
    """Li et al. 2017: train the base, keep each layer's largest filters, fine-tune."""

    name: Literal["magnitude"] = Field(
        description="Li et al.: the trained base, of which each layer keeps its largest filters (as many as uniform "
        "has, no more than the base), fine-tuned."
    )
    epochs: Count | None = Field(
        None,
        ge=1,
        le=10**9,
        description="Epochs of fine-tuning, after train.epochs of the base; by default 2/15 of these, as the "
        "NeuralScale paper's 40 of 300.",
    )
    learning_rate: Real = Field(0.001, gt=0, le=1000, description="Constant learning rate of the fine-tuning, by SGD.")


class NeuralScaleSpec(WidthMethod):
    """Architecture descent: prune, fit how widths grow, scale, and again (NeuralScale, Algorithm 4)."""

    name: Literal["neuralscale"] = Field(
        description="NeuralScale: prune, fit a power law to each width, scale along it, and prune again."
    )
    tau: Annotated[Tau, BeforeValidator(count_name)] = Field(
        "params",
        description="What tau counts: params (as the paper), macs or activation_elements. The law is fitted to it, "
        "and every iteration begins with a network that has as much of it as the base.",
    )
    iterations: Count = Field(15, ge=1, le=1000, description="At most so many.")
    threshold: Real = Field(
        0.03,
        ge=0,
        lt=1,
        description="Ends the descent before, when an iteration changes the widths by no more than this share "
        "(sum of the changes over sum of the widths).",
    )
    solver: Literal["exact", "sgd"] = Field(
        "exact",
        description="Of tau between iterations; sgd: the paper's gradient descent, which may end beside the base's "
        "cost. Networks at the budget are always solved exactly.",
    )
    trained: Literal["first-and-last", "last", "all"] = Field(
        "first-and-last", description="Of which iterations networks at the budget are trained."
    )


WidthSpec = UniformSpec | ConvCutSpec | MorphNetSpec | MagnitudeSpec | NeuralScaleSpec
PRUNING_METHODS = (MorphNetSpec, NeuralScaleSpec)
WIDTH_METHODS = ("uniform", "convcut", "morphnet", "magnitude", "neuralscale")
