"""Layers that keep the shape: normalisation, activation, dropout, sums and products. They work in place."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from search_spaces import formulas
from search_spaces.errors import NetworkError
from search_spaces.formulas import Integers
from search_spaces.ops.base import (
    OPTIONAL,
    Op,
    Shape,
    channels_of,
    check_choice,
    check_flags,
    check_integers,
    check_numbers,
    check_share,
    is_map,
)

Function = Literal[
    "relu", "relu6", "leaky_relu", "elu", "silu", "mish", "gelu", "gelu_tanh", "hardswish", "hardsigmoid", "hardtanh",
    "sigmoid", "tanh", "softplus", "softmax", "log_softmax",
]  # fmt: skip
FUNCTIONS: tuple[str, ...] = get_args(Function)


@dataclass(frozen=True, kw_only=True)
class _SameShape(Op):
    in_place: ClassVar = True

    def shape(self, *sources: Shape) -> Shape:
        """The input's own shape."""
        return sources[0]


@dataclass(frozen=True, kw_only=True)
class Activation(_SameShape):
    """Elementwise non-linearity; softmax and log_softmax are over the channels. `slope` is leaky_relu's."""

    kind: ClassVar = "activation"
    function: Function
    slope: float = field(default=0.01, metadata=OPTIONAL)

    def __post_init__(self) -> None:
        check_choice(self, "function", FUNCTIONS)
        check_numbers(self, "slope")


@dataclass(frozen=True, kw_only=True)
class PReLU(_SameShape):
    """ReLU with a learned slope below zero: one for all channels, or one each."""

    kind: ClassVar = "prelu"
    per_channel: bool

    def __post_init__(self) -> None:
        check_flags(self, "per_channel")

    def params(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """The slopes."""
        return channels_of(out) if self.per_channel else 1


@dataclass(frozen=True, kw_only=True)
class Dropout(_SameShape):
    """Sets a share of the elements, or of the channels, to zero while training."""

    kind: ClassVar = "dropout"
    share: float
    channels: bool = field(default=False, metadata=OPTIONAL)

    def __post_init__(self) -> None:
        check_share(self, "share")
        check_flags(self, "channels")


@dataclass(frozen=True, kw_only=True)
class StochasticDepth(_SameShape):
    """Sets a branch to zero with this probability while training: for each image (row) or for the batch."""

    kind: ClassVar = "stochastic_depth"
    share: float
    mode: Literal["row", "batch"] = "row"

    def __post_init__(self) -> None:
        check_share(self, "share")
        check_choice(self, "mode", ("row", "batch"))


@dataclass(frozen=True, kw_only=True)
class BatchNorm(_SameShape):
    """Batch normalisation."""

    kind: ClassVar = "batch_norm"
    affine: bool = True
    epsilon: float = 1e-5
    momentum: float = 0.1

    def __post_init__(self) -> None:
        check_flags(self, "affine")
        check_numbers(self, "epsilon", "momentum")

    def params(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Scales and shifts."""
        return formulas.norm_params(channels_of(out), affine=self.affine)


@dataclass(frozen=True, kw_only=True)
class GroupNorm(_SameShape):
    """Group normalisation."""

    kind: ClassVar = "group_norm"
    groups: int
    affine: bool = True
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        check_integers(self, groups=1)
        check_flags(self, "affine")
        check_numbers(self, "epsilon")

    def shape(self, *sources: Shape) -> Shape:
        """The input's own shape; raises NetworkError where groups do not divide the channels."""
        if channels_of(sources[0]) % self.groups:
            raise NetworkError(
                f"group_norm: groups must divide the channels, but groups={self.groups}, "
                f"channels {channels_of(sources[0])}"
            )
        return sources[0]

    def params(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Scales and shifts."""
        return formulas.norm_params(channels_of(out), affine=self.affine)


@dataclass(frozen=True, kw_only=True)
class LayerNorm(_SameShape):
    """Layer normalisation over the channels of each position, or over the features of a vector."""

    kind: ClassVar = "layer_norm"
    affine: bool = True
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        check_flags(self, "affine")
        check_numbers(self, "epsilon")

    def params(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """Scales and shifts."""
        return formulas.norm_params(channels_of(out), affine=self.affine)


@dataclass(frozen=True, kw_only=True)
class LayerScale(_SameShape):
    """A learned factor a channel."""

    kind: ClassVar = "layer_scale"
    initial: float = 1e-6

    def __post_init__(self) -> None:
        check_numbers(self, "initial")

    def params(self, sources: tuple[Shape, ...], out: Shape) -> Integers:
        """The factors."""
        return channels_of(out)


@dataclass(frozen=True, kw_only=True)
class Affine(_SameShape):
    """Fixed factors and offsets, not learned: one for all channels, or one each. Input normalisation, for one."""

    kind: ClassVar = "affine"
    factors: tuple[float, ...]
    offsets: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("factors", "offsets"):
            values = getattr(self, name)
            if not isinstance(values, tuple | list) or not all(
                type(value) is float and abs(value) < float("inf") for value in values
            ):
                raise NetworkError(f"affine: {name} must be finite floats, but got {values!r}")
            object.__setattr__(self, name, tuple(values))

    def shape(self, *sources: Shape) -> Shape:
        """The input's own shape; raises NetworkError where there is neither one number nor one a channel."""
        channels = channels_of(sources[0])
        if any(len(values) not in (1, channels) for values in (self.factors, self.offsets)):
            raise NetworkError(
                f"affine: there must be one factor and offset, or one for each of {channels} channels, but got "
                f"{len(self.factors)} and {len(self.offsets)}"
            )
        return sources[0]


@dataclass(frozen=True, kw_only=True)
class Add(_SameShape):
    """Sum of equal shapes."""

    kind: ClassVar = "add"
    inputs: ClassVar = (2, 64)

    def shape(self, *sources: Shape) -> Shape:
        """The common shape; raises NetworkError where they differ."""
        if len(set(sources)) > 1:
            raise NetworkError(f"add: all shapes must be equal, but are {', '.join(map(str, sources))}")
        return sources[0]


@dataclass(frozen=True, kw_only=True)
class Multiply(_SameShape):
    """Product of a map with an equal one, or with one factor a channel (channels, 1, 1)."""

    kind: ClassVar = "multiply"
    inputs: ClassVar = (2, 2)

    def shape(self, *sources: Shape) -> Shape:
        """The first shape; raises NetworkError where the second fits neither way."""
        first, second = sources
        if second != first and not (is_map(first) and second == (*first[:-2], 1, 1)):
            raise NetworkError(
                f"multiply: the second must have the first one's shape or be (channels, 1, 1), but {first} and {second}"
            )
        return first
