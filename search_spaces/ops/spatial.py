"""Layers that change sides or positions and hold no weights: pools, resampling, space to depth or batch."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from search_spaces.errors import NetworkError
from search_spaces.ops.base import (
    LARGEST,
    OPTIONAL,
    Op,
    Shape,
    Size,
    check_choice,
    check_flags,
    check_integers,
    check_sizes,
    map_shape,
    pair,
    window_sides,
)


@dataclass(frozen=True, kw_only=True)
class Pool(Op):
    """Maximum or average over a window. `ceil` rounds sides up; `count_padding` lets an average count the padding."""

    kind: ClassVar = "pool"
    function: Literal["max", "average"]
    kernel: Size
    stride: Size
    padding: Size = 0
    ceil: bool = field(default=False, metadata=OPTIONAL)
    count_padding: bool = field(default=True, metadata=OPTIONAL)

    def __post_init__(self) -> None:
        check_choice(self, "function", ("max", "average"))
        check_sizes(self, kernel=1, stride=1, padding=0)
        check_flags(self, "ceil", "count_padding")
        if any(2 * padding > kernel for padding, kernel in zip(pair(self.padding), pair(self.kernel), strict=True)):
            raise NetworkError(f"pool: padding must be at most half the kernel {self.kernel}, but got {self.padding}")

    def shape(self, *sources: Shape) -> Shape:
        """(channels, height, width); raises NetworkError where the window does not fit."""
        lead, channels, height, width = map_shape(self, sources[0])
        sides = window_sides(
            self, (height, width), kernel=self.kernel, stride=self.stride, padding=self.padding, ceil=self.ceil
        )
        return (*lead, channels, *sides)


@dataclass(frozen=True, kw_only=True)
class AdaptivePool(Op):
    """Maximum or average over as many windows as the output has positions; `size` 1 pools the whole map."""

    kind: ClassVar = "adaptive_pool"
    function: Literal["max", "average"] = "average"
    size: Size = 1

    def __post_init__(self) -> None:
        check_choice(self, "function", ("max", "average"))
        check_sizes(self, size=1)

    def shape(self, *sources: Shape) -> Shape:
        """(channels, *size)."""
        lead, channels, _, _ = map_shape(self, sources[0])
        return (*lead, channels, *pair(self.size))


@dataclass(frozen=True, kw_only=True)
class Upsample(Op):
    """Sides times `factor`: bilinear, nearest, or the pixels with zeros between them."""

    kind: ClassVar = "upsample"
    function: Literal["bilinear", "nearest", "zeros"]
    factor: int

    def __post_init__(self) -> None:
        check_choice(self, "function", ("bilinear", "nearest", "zeros"))
        check_integers(self, factor=1)

    def shape(self, *sources: Shape) -> Shape:
        """(channels, factor * height, factor * width)."""
        lead, channels, height, width = map_shape(self, sources[0])
        return (*lead, channels, height * self.factor, width * self.factor)


@dataclass(frozen=True, kw_only=True)
class Resize(Op):
    """To the same sides at every resolution of the input: bilinear or nearest."""

    kind: ClassVar = "resize"
    function: Literal["bilinear", "nearest"]
    size: Size

    def __post_init__(self) -> None:
        check_choice(self, "function", ("bilinear", "nearest"))
        check_sizes(self, size=1)

    def shape(self, *sources: Shape) -> Shape:
        """(channels, *size)."""
        lead, channels, _, _ = map_shape(self, sources[0])
        return (*lead, channels, *pair(self.size))


@dataclass(frozen=True, kw_only=True)
class Pad(Op):
    """Zeros around a map; a negative number crops."""

    kind: ClassVar = "pad"
    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0

    def __post_init__(self) -> None:
        check_integers(self, left=-LARGEST, right=-LARGEST, top=-LARGEST, bottom=-LARGEST)

    def shape(self, *sources: Shape) -> Shape:
        """(channels, height, width); raises NetworkError where nothing is left."""
        lead, channels, height, width = map_shape(self, sources[0])
        sides = (height + self.top + self.bottom, width + self.left + self.right)
        cropped = (height + min(self.top, 0) + min(self.bottom, 0), width + min(self.left, 0) + min(self.right, 0))
        if min(cropped) < 1:
            raise NetworkError(f"pad: at least one pixel must be left, but {height} x {width} px become {sides}")
        return (*lead, channels, *sides)


@dataclass(frozen=True, kw_only=True)
class _Blocks(Op):
    in_place: ClassVar = True
    block: int

    def __post_init__(self) -> None:
        check_integers(self, block=1)

    def _divided(self, sides: tuple[int, int]) -> tuple[int, int]:
        if sides[0] % self.block or sides[1] % self.block:
            raise NetworkError(f"{self.kind}: block {self.block} must divide the sides, but they are {sides}")
        return sides[0] // self.block, sides[1] // self.block


@dataclass(frozen=True, kw_only=True)
class SpaceToDepth(_Blocks):
    """Every block of pixels becomes channels at one position, channel by channel."""

    kind: ClassVar = "space_to_depth"

    def shape(self, *sources: Shape) -> Shape:
        """(block^2 * channels, height / block, width / block)."""
        lead, channels, height, width = map_shape(self, sources[0])
        return (*lead, channels * self.block**2, *self._divided((height, width)))


@dataclass(frozen=True, kw_only=True)
class SpaceToBatch(_Blocks):
    """Pixels at the same place of every block make an image of their own: block^2 replicas in one batch."""

    kind: ClassVar = "space_to_batch"

    def shape(self, *sources: Shape) -> Shape:
        """(block^2, channels, height / block, width / block); replicas multiply."""
        lead, channels, height, width = map_shape(self, sources[0])
        replicas = self.block**2 * (lead[0] if lead else 1)
        return (replicas, channels, *self._divided((height, width)))


@dataclass(frozen=True, kw_only=True)
class BatchToSpace(_Blocks):
    """The inverse of SpaceToBatch."""

    kind: ClassVar = "batch_to_space"

    def shape(self, *sources: Shape) -> Shape:
        """(channels, height * block, width * block); raises NetworkError where the replicas are not as many."""
        lead, channels, height, width = map_shape(self, sources[0])
        replicas = lead[0] if lead else 1
        if replicas % self.block**2:
            raise NetworkError(
                f"batch_to_space: block {self.block} needs {self.block**2} replicas, but gets {replicas}"
            )
        left = replicas // self.block**2
        return (*((left,) if left > 1 else ()), channels, height * self.block, width * self.block)


@dataclass(frozen=True, kw_only=True)
class MeanReplicas(Op):
    """The mean over the replicas of an image."""

    kind: ClassVar = "mean_replicas"

    def shape(self, *sources: Shape) -> Shape:
        """The shape without replicas."""
        if len(sources[0]) not in (2, 4):
            raise NetworkError(f"mean_replicas needs replicas, but gets {sources[0]}; put a space_to_batch before it")
        return sources[0][1:]
