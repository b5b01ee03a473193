"""Methods about depth, width, internal and input resolution: what the spec may say of isometric networks."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from nas.base import LARGEST_SIDE
from trials.fields import Count, Real, once_each

Side = Annotated[Count, Field(ge=1, le=LARGEST_SIDE)]


Sides = Annotated[tuple[Side, ...], AfterValidator(once_each)]


class IsometricSpec(BaseModel):
    """Isometric networks (Sandler et al. 2019): one internal resolution from the first layer to the last."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["isometric"] = Field(
        description="Isometric networks: every combination of the following lists that keeps the budget, or as many of "
        "these as search.max_candidates."
    )
    depth: Annotated[tuple[Annotated[Count, Field(ge=1, le=1024)], ...], AfterValidator(once_each)] = Field(
        (8, 16, 32), description="Numbers of blocks."
    )
    multiplier: Annotated[tuple[Annotated[Real, Field(gt=0, le=1024)], ...], AfterValidator(once_each)] = Field(
        (0.5, 1.0, 2.0), description="What the widths of 64, 384 and 768 are multiplied by."
    )
    internal: Sides = Field((7, 14, 28), description="Internal resolutions: sides of all maps.")
    resolution: Sides | None = Field(None, description="Sides of the images; by default the data's own alone.")
