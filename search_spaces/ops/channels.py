"""Layers that move channels about and hold no weights."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from search_spaces.errors import NetworkError
from search_spaces.ops.base import Op, Shape, channels_of, check_integers, is_map, map_shape


@dataclass(frozen=True, kw_only=True)
class Flatten(Op):
    """A map as one vector, channels first."""

    kind: ClassVar = "flatten"
    in_place: ClassVar = True

    def shape(self, *sources: Shape) -> Shape:
        """(features,) with all elements."""
        source = sources[0]
        return (*source[:-3], prod(source[-3:])) if is_map(source) else source


@dataclass(frozen=True, kw_only=True)
class Unflatten(Op):
    """A vector as a map of one pixel: the inverse of Flatten there."""

    kind: ClassVar = "unflatten"
    in_place: ClassVar = True

    def shape(self, *sources: Shape) -> Shape:
        """(features, 1, 1)."""
        if is_map(sources[0]):
            raise NetworkError(f"unflatten needs a vector (features,), but gets {sources[0]}")
        return (*sources[0], 1, 1)


def _with_channels(shape: Shape, channels: int) -> Shape:
    return (*shape[:-3], channels, *shape[-2:]) if is_map(shape) else (*shape[:-1], channels)


@dataclass(frozen=True, kw_only=True)
class Concat(Op):
    """Channels of several maps, or features of several vectors, one after the other."""

    kind: ClassVar = "concat"
    inputs: ClassVar = (1, 256)

    def shape(self, *sources: Shape) -> Shape:
        """The sum of the channels; raises NetworkError where anything else differs."""
        if len({_with_channels(source, 0) for source in sources}) > 1:
            raise NetworkError(f"concat: all sides must be equal, but shapes are {', '.join(map(str, sources))}")
        return _with_channels(sources[0], sum(channels_of(source) for source in sources))


@dataclass(frozen=True, kw_only=True)
class Chunk(Op):
    """One of `parts` equal parts of the channels."""

    kind: ClassVar = "chunk"
    parts: int
    index: int

    def __post_init__(self) -> None:
        check_integers(self, parts=1, index=0)
        if self.index >= self.parts:
            raise NetworkError(f"chunk: index must be below parts={self.parts}, but got {self.index}")

    def shape(self, *sources: Shape) -> Shape:
        """The part's shape; raises NetworkError where the channels cannot be parted equally."""
        channels = channels_of(sources[0])
        if channels % self.parts:
            raise NetworkError(f"chunk: {self.parts} parts must divide the channels, but there are {channels}")
        return _with_channels(sources[0], channels // self.parts)


@dataclass(frozen=True, kw_only=True)
class ChannelShuffle(Op):
    """Channels seen as [groups, n] are transposed to [n, groups] (ShuffleNet)."""

    kind: ClassVar = "channel_shuffle"
    groups: int

    def __post_init__(self) -> None:
        check_integers(self, groups=1)

    def shape(self, *sources: Shape) -> Shape:
        """The input's own shape; raises NetworkError where groups do not divide the channels."""
        _, channels, _, _ = map_shape(self, sources[0])
        if channels % self.groups:
            raise NetworkError(f"channel_shuffle: {self.groups} groups must divide the channels, but got {channels}")
        return sources[0]


@dataclass(frozen=True, kw_only=True)
class Select(Op):
    """The channels at these indices, in this order: what a shuffle becomes once channels are removed.

    Index -1 gives a channel of zeros, fixed: what a sum adds where one of its sources lost a channel.
    """

    kind: ClassVar = "select"
    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        if (
            not isinstance(self.indices, tuple | list)
            or not self.indices
            or any(type(i) is not int or i < -1 for i in self.indices)
        ):
            raise NetworkError(f"select: indices must be integers of at least -1 (zeros), but got {self.indices!r}")
        object.__setattr__(self, "indices", tuple(self.indices))

    def shape(self, *sources: Shape) -> Shape:
        """As many channels as indices; raises NetworkError where one is beyond the channels."""
        if max(self.indices) >= channels_of(sources[0]):
            raise NetworkError(
                f"select: indices must be below the {channels_of(sources[0])} channels, but got {max(self.indices)}"
            )
        return _with_channels(sources[0], len(self.indices))
