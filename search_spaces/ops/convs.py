"""Layers with weights over the channels they read: convs, linear layers, shortcuts that project."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from search_spaces import formulas
from search_spaces.errors import NetworkError
from search_spaces.formulas import Integers
from search_spaces.ops.base import (
    Op,
    Shape,
    Size,
    area_of,
    channels_of,
    check_flags,
    check_integers,
    check_sizes,
    is_map,
    map_shape,
    pair,
    window_sides,
)


@dataclass(frozen=True, kw_only=True)
class _Weighted(Op):
    """A layer with weights over channels, and a bias or none."""

    bias: bool = True

    def flops(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Multiply-adds and bias additions."""
        return self.macs(sources, out) + formulas.bias_additions(prod(out), bias=self.bias)


@dataclass(frozen=True, kw_only=True)
class _Window(_Weighted):
    """A conv of any kind: a kernel that slides over a map."""

    kernel: Size
    stride: Size = 1
    padding: Size = 0
    dilation: Size = 1

    def __post_init__(self) -> None:
        check_sizes(self, kernel=1, stride=1, padding=0, dilation=1)

    @property
    def window(self) -> int:
        """Elements of the kernel."""
        return prod(pair(self.kernel))

    def _sides(self, height: int, width: int) -> tuple[int, int]:
        return window_sides(
            self,
            (height, width),
            kernel=self.kernel,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )


@dataclass(frozen=True, kw_only=True)
class Conv(_Window):
    """Two-dimensional convolution; `groups` is a constant, so widths must be divisible by it."""

    kind: ClassVar = "conv"
    out_channels: int
    groups: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integers(self, out_channels=1, groups=1)
        check_flags(self, "bias")

    def shape(self, *sources: Shape) -> Shape:
        """(out_channels, height, width); raises NetworkError where groups do not divide or the kernel does not fit."""
        lead, channels, height, width = map_shape(self, sources[0])
        if channels % self.groups or self.out_channels % self.groups:
            raise NetworkError(
                f"conv: groups must divide the channels in and out, but groups={self.groups}, "
                f"channels {channels} to {self.out_channels}"
            )
        return (*lead, self.out_channels, *self._sides(height, width))

    def params(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Weights and biases."""
        return formulas.conv_params(
            channels_of(sources[0]), channels_of(out), window=self.window, groups=self.groups, bias=self.bias
        )

    def macs(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Multiply-adds."""
        return formulas.conv_macs(
            channels_of(sources[0]), channels_of(out), window=self.window, area=area_of(out), groups=self.groups
        )


@dataclass(frozen=True, kw_only=True)
class Depthwise(_Window):
    """Each channel by kernels of its own, `multiplier` of them: the width follows the input's."""

    kind: ClassVar = "depthwise"
    multiplier: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integers(self, multiplier=1)
        check_flags(self, "bias")

    def shape(self, *sources: Shape) -> Shape:
        """(multiplier * channels, height, width)."""
        lead, channels, height, width = map_shape(self, sources[0])
        return (*lead, channels * self.multiplier, *self._sides(height, width))

    def params(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Weights and biases: every output channel reads one channel."""
        return formulas.conv_params(1, channels_of(out), window=self.window, bias=self.bias)

    def macs(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Multiply-adds."""
        return formulas.conv_macs(1, channels_of(out), window=self.window, area=area_of(out))


@dataclass(frozen=True, kw_only=True)
class Expand(_Weighted):
    """1x1 conv to `factor` times the channels that it reads: its width is no choice of its own."""

    kind: ClassVar = "expand"
    factor: int
    bias: bool = False

    def __post_init__(self) -> None:
        check_integers(self, factor=1)
        check_flags(self, "bias")

    def shape(self, *sources: Shape) -> Shape:
        """(factor * channels, height, width)."""
        lead, channels, height, width = map_shape(self, sources[0])
        return (*lead, channels * self.factor, height, width)

    def params(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Weights and biases."""
        return formulas.conv_params(channels_of(sources[0]), channels_of(out), window=1, bias=self.bias)

    def macs(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Multiply-adds."""
        return formulas.conv_macs(channels_of(sources[0]), channels_of(out), window=1, area=area_of(out))


@dataclass(frozen=True, kw_only=True)
class Linear(_Weighted):
    """Fully connected layer."""

    kind: ClassVar = "linear"
    out_features: int
    bias: bool = True

    def __post_init__(self) -> None:
        check_integers(self, out_features=1)
        check_flags(self, "bias")

    def shape(self, *sources: Shape) -> Shape:
        """(out_features,)."""
        if is_map(sources[0]):
            raise NetworkError(f"linear needs a vector (features,), but gets {sources[0]}; flatten it first")
        return (*sources[0][:-1], self.out_features)

    def params(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Weights and biases."""
        return formulas.linear_params(channels_of(sources[0]), channels_of(out), bias=self.bias)

    def macs(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Multiply-adds."""
        return formulas.linear_macs(channels_of(sources[0]), prod(out))


@dataclass(frozen=True, kw_only=True)
class Shortcut(Op):
    """A residual shortcut: the identity where it can be, else a 1x1 conv without bias (and, if asked, a batch norm).

    Reads three nodes: the block's input, what a conv would read (the same shape; pre-activation networks project the
    activated input), and the block's output, to whose shape it brings the first.
    """

    kind: ClassVar = "shortcut"
    inputs: ClassVar = (3, 3)
    stride: int = 1
    norm: bool = False

    def __post_init__(self) -> None:
        check_integers(self, stride=1)
        check_flags(self, "norm")

    def shape(self, *sources: Shape) -> Shape:
        """The third node's shape; raises NetworkError where a conv of this stride cannot reach it."""
        skip, projected, block = sources
        if skip != projected:
            raise NetworkError(f"shortcut: the first two nodes must have one shape, but have {skip} and {projected}")
        lead, _, *sides = map_shape(self, skip)
        height, width = window_sides(self, (sides[0], sides[1]), kernel=1, stride=self.stride, padding=0)
        if block != (*lead, channels_of(block), height, width):
            raise NetworkError(f"shortcut: stride {self.stride} of {skip} must give the sides of {block}")
        return block

    def projects(self, sources: tuple[Shape, ...]) -> Integers:
        """1 where a conv is needed, 0 where the identity serves."""
        return 1 if self.stride > 1 else formulas.unequal(channels_of(sources[0]), channels_of(sources[2]))

    def reads(self, sources: tuple[Shape, ...]) -> tuple[int, ...]:
        """The second where a conv is needed, else the first."""
        return (1,) if self.projects(sources) else (0,)

    def takes_over(self, sources: tuple[Shape, ...]) -> bool:
        """The identity is its input."""
        return not self.projects(sources)

    def params(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Weights of the conv and its norm, where there is one."""
        conv = formulas.conv_params(channels_of(sources[0]), channels_of(out), window=1, bias=False)
        return self.projects(sources) * (conv + formulas.norm_params(channels_of(out), affine=self.norm))

    def macs(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Multiply-adds of the conv, where there is one."""
        macs = formulas.conv_macs(channels_of(sources[0]), channels_of(out), window=1, area=area_of(out))
        return self.projects(sources) * macs

    def activation(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Elements of the input, and of the conv's output where there is one."""
        return prod(sources[0]) + self.projects(sources) * prod(out)
