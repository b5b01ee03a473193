"""Where candidates come from: what the spec may say of methods and studies."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from nas.base import LARGEST_SIDE
from search_spaces import Approach
from trials.fields import Count, Real

Range = tuple[Count, Count]


def _ordered(value: Range) -> Range:
    if not value[0] <= value[1] <= LARGEST_SIDE:
        raise ValueError(f"must be [lowest, highest], at most {LARGEST_SIDE}")
    return value


def _positive(value: Range) -> Range:
    if value[0] < 1:
        raise ValueError("must begin at 1 or more")
    return value


def count_name(value: Any) -> Any:
    """The whole name of a count; activation is short for activation_elements."""
    return "activation_elements" if value == "activation" else value


Kept = Annotated[Literal["params", "macs", "flops", "activation_elements"], BeforeValidator(count_name)]
OrderedRange = Annotated[Range, AfterValidator(_ordered)]
Size = Annotated[Count, Field(ge=1, le=LARGEST_SIDE)]
PositiveRange = Annotated[OrderedRange, AfterValidator(_positive)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CompensationSpec(_Section):
    """Borji's approaches: a higher resolution at the same cost."""

    name: Literal["compensation"] = Field(description="The method.")
    approaches: tuple[Approach, ...] = Field(
        ("IV",),
        description="I: average pool before the linear layers, fewer hidden units; II: dilated conv1; III: larger "
        "kernel, fewer filters in conv1, and a pool behind it; IV: conv1 and conv2 re-balanced.",
    )
    keep: tuple[Kept, ...] = Field(
        (),
        description="What candidates cost as much of as the base, or as the budget allows: params, macs, flops "
        "(multiply-adds and biases), activation_elements; by default those of params and macs that the budget bounds.",
    )
    scope: Literal["network", "layer"] = Field(
        "network",
        description="Of which costs are kept: network counts the whole of it; layer the edited layers alone, as the "
        "paper's equations do. The budget always binds the whole network.",
    )
    tolerance: Real = Field(0.05, ge=0, lt=1, description="How far below a kept cost may lie, as a share; 0: exact.")
    two_sided: Annotated[bool, Field(strict=True)] = Field(
        False, description="As far above, too, where the budget allows it."
    )
    resolutions: OrderedRange | None = Field(
        None,
        description="Lowest and highest; by default from base + 1 to twice the base, at most the native one.",
    )
    kernel: PositiveRange = Field((3, 8), description="Kernel sides tried, inclusive; conv1's must exceed the base's.")
    stride: PositiveRange = Field((1, 5), description="Strides tried, inclusive.")
    padding: OrderedRange = Field((1, 5), description="Paddings tried, inclusive.")
    dilation: PositiveRange = Field((2, 4), description="Dilations of conv1 tried by II, inclusive.")
    filters2: PositiveRange | None = Field(
        None, description="Filters of conv2 tried by IV, inclusive; by default it keeps the base's."
    )
    overlap: Real = Field(
        0.5,
        ge=0,
        lt=1,
        description="Networks of III and IV are chosen among those in which neighbouring windows of the edited convs "
        "share at least this part of the kernel, as long as there are enough of them.",
    )
    coverage: Real = Field(
        0.9,
        ge=0,
        le=1,
        description="And among those that look at this share of an image's columns and rows, as II skips pixels.",
    )

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        if not self.approaches:
            raise ValueError("approaches must name one or more of I, II, III and IV")
        for key in ("approaches", "keep"):
            if len(set(getattr(self, key))) != len(getattr(self, key)):
                raise ValueError(f"{key} must name each one once")
        return self


class StudySpec(_Section):
    """Borji's experiment (section 4): LeNets drawn at some resolutions, and solutions of each at higher ones."""

    resolutions: tuple[Size, ...] = Field(min_length=1, description="Sides in pixels of the originals.")
    originals: Count = Field(10, ge=1, le=1000, description="LeNets drawn at each resolution.")
    solutions: Count = Field(4, ge=1, le=1000, description="Networks of each approach for every original.")
    filters: PositiveRange = Field((10, 30), description="Of the originals' convs, inclusive.")
    kernels: tuple[Size, ...] = Field((3, 5), min_length=1, description="Kernel sides of the originals' convs.")
    strides: tuple[Size, ...] = Field((1,), min_length=1, description="Strides of the originals' convs.")
    paddings: tuple[Annotated[Count, Field(ge=0, le=LARGEST_SIDE)], ...] = Field(
        (0,), min_length=1, description="Paddings of the originals' convs."
    )
    pool: Literal["paper", "always", "never"] = Field(
        "paper",
        description="A 2x2/2 max pool after each conv of the originals: paper has them for I to III and not for IV.",
    )
