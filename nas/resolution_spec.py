"""Methods about depth, width, internal and input resolution: what the spec may say of each."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from nas.base import LARGEST_SIDE
from nas.width_spec import Share
from search_spaces.feeding import WAYS, Way
from search_spaces.parallel import ORDERS, Order
from trials.fields import Count, Real, once_each

Side = Annotated[Count, Field(ge=1, le=LARGEST_SIDE)]
Sides = Annotated[tuple[Side, ...], Field(max_length=1000), AfterValidator(once_each)]
Factor = Annotated[Real, Field(gt=0, le=1024)]
Factors = Annotated[tuple[Factor, ...], Field(max_length=1000), AfterValidator(once_each)]
Base = Annotated[Real, Field(ge=1, le=16)]
Bases = Annotated[tuple[Base, ...], Field(max_length=100), AfterValidator(once_each)]
Whole = Annotated[Count, Field(ge=2, le=LARGEST_SIDE)]
Wholes = Annotated[tuple[Whole, ...], Field(max_length=1000), AfterValidator(once_each)]


class _Method(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str


class IsometricSpec(_Method):
    """Isometric networks (Sandler et al. 2019): one internal resolution from the first layer to the last."""

    name: Literal["isometric"] = Field(
        description="Isometric networks: every combination of the following lists that keeps the budget, or as many of "
        "these as search.max_candidates."
    )
    depth: Annotated[tuple[Annotated[Count, Field(ge=1, le=1024)], ...], AfterValidator(once_each)] = Field(
        (8, 16, 32), description="Numbers of blocks."
    )
    multiplier: Annotated[tuple[Factor, ...], AfterValidator(once_each)] = Field(
        (0.5, 1.0, 2.0), description="What the widths of 64, 384 and 768 are multiplied by."
    )
    internal: Annotated[tuple[Side, ...], AfterValidator(once_each)] = Field(
        (7, 14, 28), description="Internal resolutions: sides of all maps."
    )
    resolution: Annotated[tuple[Side, ...], AfterValidator(once_each)] | None = Field(
        None, description="Sides of the images; by default the data's own alone."
    )


class FeedingSpec(_Method):
    """The base fed in other ways (Sandler et al. 2019, figure 1)."""

    name: Literal["feeding"] = Field(
        description="The base with its own maps and other images (Sandler et al., figure 1): every combination of the "
        "following lists, at most 1,000, that can be built and keeps the budget, or as many as search.max_candidates."
    )
    ways: Annotated[tuple[Way, ...], AfterValidator(once_each)] = Field(
        WAYS,
        description="skip-stride: smaller images, early strides become 1; upsample: smaller images, brought to the "
        "network's resolution, bilinear; upsample-zeros: with zeros between the pixels; space-to-depth: images as "
        "before, folded, then skipped strides; resolution: smaller images, and smaller maps with them.",
    )
    factors: Wholes = Field((2,), description="How many times smaller the images are, or how far they are folded.")
    nominal: Sides | None = Field(
        None,
        description="Resolutions that the base is brought to before it is fed, also above the data's; by default "
        "base.resolution.",
    )


class DilatedSpec(_Method):
    """The base with the receptive fields of half its resolution (Sandler et al. 2019, section 7.2)."""

    name: Literal["dilated"] = Field(
        description="The base with its depthwise convs dilated by 2, those with a stride 5x5 instead (Sandler et al., "
        "section 7.2)."
    )


class ParallelSpec(_Method):
    """An isometric base on larger images, as a batch of parts (Sandler et al. 2019, section 7.5)."""

    name: Literal["parallel"] = Field(
        description="An isometric base on images block times as large, block^2 parts of each at once, scores averaged "
        "(Sandler et al., section 7.5)."
    )
    blocks: Wholes = Field((2,), description="How many times larger the images are.")
    orders: Annotated[tuple[Order, ...], AfterValidator(once_each)] = Field(
        ORDERS, description="A part is every block-th pixel (batch-first) or every block-th patch (depth-first)."
    )


class MultipliersSpec(_Method):
    """Plain multipliers: every layer wider, every image larger, every run of blocks longer by one factor."""

    name: Literal["multipliers"] = Field(
        description="The base scaled by plain multipliers: every combination of the following lists, at most 1,000, "
        "that keeps the budget, or as many as search.max_candidates."
    )
    width: Factors = Field((1.0,), description="What all widths are multiplied by.")
    resolution: Factors = Field((1.0,), description="What the resolution is multiplied by, rounded to whole pixels.")
    depth: Factors = Field(
        (1.0,), description="What the number of blocks of every run of equal blocks is multiplied by."
    )

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.width == self.resolution == self.depth == (1.0,):
            raise ValueError("must name another factor than 1 in width, resolution or depth")
        return self


class CompoundSpec(_Method):
    """EfficientNet's compound scaling (Tan and Le 2019): depth, width and resolution grow together to the budget."""

    name: Literal["compound"] = Field(
        description="EfficientNet's scaling: depth times alpha^phi, width times beta^phi, resolution times gamma^phi, "
        "with the largest phi that keeps the budget; a network for every combination of the following lists. A factor "
        "of 1 leaves its part alone, so alpha: [1.2], beta: [1], gamma: [1] is depth alone."
    )
    alpha: Bases = Field((1.2,), description="Of depth.")
    beta: Bases = Field((1.1,), description="Of width.")
    gamma: Bases = Field((1.15,), description="Of resolution, at most the data's.")
    shares: Annotated[tuple[Share, ...], Field(max_length=100), AfterValidator(once_each)] = Field(
        (1.0,), description="A network for each of these shares of every bound of the budget."
    )

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.alpha == self.beta == self.gamma == (1.0,):
            raise ValueError("must name another factor than 1 in alpha, beta or gamma")
        return self


FamilySpec = FeedingSpec | DilatedSpec | ParallelSpec | MultipliersSpec
ResolutionSpec = IsometricSpec | FamilySpec | CompoundSpec
