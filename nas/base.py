"""The network that a person has: what the spec may say of it, and the network itself."""

import os
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nas.networks import MODULE, load_network
from nas.spec_errors import SpecError
from search_spaces import Architecture, Conv, LeNet, NetworkError
from search_spaces.widths import scale_widths, with_widths
from trials.data import SourceFacts
from trials.fields import Count, Real

LARGEST_SIDE = 4096
_LENET = ("conv1", "conv2", "hidden", "pool")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConvSpec(_Section):
    """One conv of a LeNet."""

    channels: Count = Field(ge=1, le=4096, description="Filters.")
    kernel: Count = Field(ge=1, le=LARGEST_SIDE, description="Side of the square kernel.")
    stride: Count = Field(1, ge=1, le=LARGEST_SIDE, description="Stride.")
    padding: Count = Field(0, ge=0, le=LARGEST_SIDE, description="Zeros added on each side.")

    def op(self) -> Conv:
        """The layer."""
        return Conv(out_channels=self.channels, kernel=self.kernel, stride=self.stride, padding=self.padding)


class BaseSpec(_Section):
    """The small network that the person has."""

    network: str | None = Field(
        None,
        description="lenet with the keys below, another network of the zoo (resnet18:stem=32), torchvision:resnet18, "
        "or a .json file.",
    )
    module: str | None = Field(
        None, description="A module of your own, package.file:make_model; its code runs only with --allow-code."
    )
    resolution: Count = Field(ge=1, description="Input side in pixels.")
    width: Real | None = Field(None, gt=0, le=1024, description="Multiplier of all widths.")
    widths: tuple[Count, ...] | None = Field(
        None, min_length=1, description="One width a group, in the order of nas cost."
    )
    weights: str | None = Field(
        None,
        description="Where its training starts: torchvision (pretrained, downloaded) or a file of a state_dict.",
    )
    conv1: ConvSpec | None = Field(None, description="First conv of lenet.")
    conv2: ConvSpec | None = Field(None, description="Second conv of lenet.")
    hidden: Count = Field(50, ge=1, le=65536, description="Units of lenet's hidden layer.")
    pool: Annotated[bool, Field(strict=True)] = Field(False, description="A 2x2/2 max pool after each conv of lenet.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.network is None) == (self.module is None):
            raise ValueError("must name either network or module")
        given = [key for key in _LENET if getattr(self, key) != type(self).model_fields[key].default]
        if self.network == "lenet":
            for key in ("conv1", "conv2"):
                if getattr(self, key) is None:
                    raise ValueError(f"must say {key} for network lenet")
        elif given:
            raise ValueError(f"must say {', '.join(given)} for network lenet alone, not for {self.text}")
        if self.width is not None and self.widths is not None:
            raise ValueError("must have only one of width and widths")
        return self

    @property
    def text(self) -> str:
        """The network as `load_network` takes it."""
        return self.network or f"{MODULE}{self.module}"


def base_network(base: BaseSpec, source: SourceFacts, *, allow_code: bool) -> Architecture:
    """The base on the images of a source; raises SpecError where it cannot be."""
    if base.weights not in (None, "torchvision") and not os.path.isfile(str(base.weights)):
        raise SpecError(f"base.weights must be torchvision or a file that exists, but is {base.weights!r}")
    try:
        network = _unscaled(base, source, allow_code=allow_code)
        if base.width is not None:
            network = scale_widths(network, base.width)
        if base.widths is not None:
            network = with_widths(network, base.widths)
    except NetworkError as error:
        raise SpecError(f"base: {error}") from error
    if network.output != (source.classes,):
        raise SpecError(f"base must give one score for each of {source.classes} classes, but gives {network.output}")
    return network


def _unscaled(base: BaseSpec, source: SourceFacts, *, allow_code: bool) -> Architecture:
    if base.network == "lenet":
        assert base.conv1 is not None
        assert base.conv2 is not None
        lenet = LeNet(conv1=base.conv1.op(), conv2=base.conv2.op(), hidden=base.hidden, pool=base.pool)
        return lenet.architecture((source.channels, base.resolution, base.resolution), source.classes)
    return load_network(
        base.text,
        resolution=base.resolution,
        classes=source.classes,
        channels=source.channels,
        allow_code=allow_code,
    ).architecture
