"""Methods whose networks answer at several exits: what the spec may say of MSNet and of cascades."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from nas.resolution_spec import Factors, Side
from nas.width_spec import Share
from trials.fields import Count, once_each


class DynamicMethod(BaseModel):
    """What these methods have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    shares: Annotated[tuple[Share, ...], Field(max_length=100), AfterValidator(once_each)] = Field(
        (1.0,),
        description="An operating point for each of these shares of budget.macs: the most accurate on validation whose "
        "expected MACs are at most that.",
    )


class MSNetSpec(DynamicMethod):
    """MSNet of the base (Cheng et al. 2019): both resolutions in one network, the low one's features added."""

    name: Literal["msnet"] = Field(
        description="MSNet of the base: it runs at half the resolution first, and at the whole one only where that is "
        "not sure, with the features of the former added."
    )
    width: Factors = Field((1.0,), description="What the base's widths are multiplied by, a network for each.")
    upsampling: Literal["nearest", "bilinear"] = Field(
        "nearest", description="Of the low-resolution features that are added."
    )


class CascadeSpec(DynamicMethod):
    """Networks at rising resolutions, each for the images that those before are not sure of."""

    name: Literal["cascade"] = Field(
        description="The best cascades of the networks that the search trains, found on their validation scores: each "
        "network sees only what those before are not sure of."
    )
    stages: Count = Field(3, ge=2, le=8, description="Networks in a cascade, at most.")
    resolutions: Annotated[tuple[Side, ...], Field(max_length=1000)] = Field(
        (), description="The base at these resolutions is trained for it, also above budget.macs."
    )
    considered: Count = Field(
        20, ge=2, le=1000, description="Networks among which cascades of three and more are looked for; of two, all."
    )


DynamicSpec = MSNetSpec | CascadeSpec
DYNAMIC_METHODS = (MSNetSpec, CascadeSpec)
