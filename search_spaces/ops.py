"""Layers as frozen values: each knows its output shape, parameters, MACs and activation memory.

A shape is (channels, height, width) with height = width, or (features,). Counts are exact integers; the
formulas themselves stand in `search_spaces.formulas`.
"""

from dataclasses import dataclass, fields
from math import prod
from typing import ClassVar, Literal, TypeAlias, get_args

from search_spaces import formulas
from search_spaces.errors import NetworkError

Shape: TypeAlias = tuple[int, ...]
LARGEST = 2**24  # of any single number of a layer: no real one comes near, and torch's own limits are far


def _check_integers(op: "Op", **lowest: int) -> None:
    for name, low in lowest.items():
        value = getattr(op, name)
        if type(value) is not int or not low <= value <= LARGEST:
            raise NetworkError(
                f"{op.kind}: {name} must be an integer of at least {low}, at most 2^24, but got {value!r}"
            )


def _map_shape(op: "Op", shape: Shape) -> tuple[int, int]:
    """Channels and side of a feature map."""
    if len(shape) != 3:
        raise NetworkError(f"{op.kind} needs a map (channels, height, width), but gets {shape}")
    return shape[0], shape[1]


def _window_side(op: "Conv | Pool", side: int) -> int:
    """Side of the output of a sliding window; raises NetworkError where the window does not fit."""
    out: int = op.side(side)
    if out < 1:
        raise NetworkError(
            f"{op.kind}: the kernel must fit into the padded input, but kernel {op.kernel} with padding "
            f"{op.padding} gets {side} px; use a smaller kernel, more padding or a higher resolution"
        )
    return out


@dataclass(frozen=True, kw_only=True)
class Conv:
    """Two-dimensional convolution with a square kernel."""

    kind: ClassVar = "conv"
    out_channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        _check_integers(self, out_channels=1, kernel=1, stride=1, padding=0, dilation=1, groups=1)
        if type(self.bias) is not bool:
            raise NetworkError(f"conv: bias must be true or false, but got {self.bias!r}")

    def side(self, side: formulas.Integers) -> formulas.Integers:
        """Output side for an input side, elementwise."""
        return formulas.output_side(
            side, kernel=self.kernel, stride=self.stride, padding=self.padding, dilation=self.dilation
        )

    def shape(self, source: Shape) -> Shape:
        """(channels, height, width) of the output; raises NetworkError where there is none."""
        channels, side = _map_shape(self, source)
        if channels % self.groups or self.out_channels % self.groups:
            raise NetworkError(
                f"conv: groups must divide the channels in and out, but groups={self.groups}, "
                f"channels {channels} to {self.out_channels}"
            )
        out = _window_side(self, side)
        return (self.out_channels, out, out)

    def params(self, source: Shape) -> int:
        """Number of weights and biases."""
        count: int = formulas.conv_params(
            source[0], self.out_channels, kernel=self.kernel, groups=self.groups, bias=self.bias
        )
        return count

    def macs(self, source: Shape) -> int:
        """Multiply-adds for one image."""
        count: int = formulas.conv_macs(
            source[0],
            self.out_channels,
            kernel=self.kernel,
            out_side=self.side(source[1]),
            groups=self.groups,
        )
        return count

    def activation(self, source: Shape) -> int:
        """Elements read and written for one image."""
        return prod(source) + prod(self.shape(source))


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Fully connected layer."""

    kind: ClassVar = "linear"
    out_features: int
    bias: bool = True

    def __post_init__(self) -> None:
        _check_integers(self, out_features=1)
        if type(self.bias) is not bool:
            raise NetworkError(f"linear: bias must be true or false, but got {self.bias!r}")

    def shape(self, source: Shape) -> Shape:
        """(features,) of the output."""
        if len(source) != 1:
            raise NetworkError(f"linear needs a vector (features,), but gets {source}; flatten it first")
        return (self.out_features,)

    def params(self, source: Shape) -> int:
        """Number of weights and biases."""
        count: int = formulas.linear_params(source[0], self.out_features, bias=self.bias)
        return count

    def macs(self, source: Shape) -> int:
        """Multiply-adds for one image."""
        count: int = formulas.linear_macs(source[0], self.out_features)
        return count

    def activation(self, source: Shape) -> int:
        """Elements read and written for one image."""
        return source[0] + self.out_features


class _WithoutWeights:
    """No parameters, and no multiply-adds by the convention of this project."""

    def params(self, source: Shape) -> int:
        """No parameters."""
        return 0

    def macs(self, source: Shape) -> int:
        """No multiply-adds."""
        return 0


class _InPlace(_WithoutWeights):
    """Elementwise: the output takes the input's place in memory."""

    def shape(self, source: Shape) -> Shape:
        """The input's own shape."""
        return source

    def activation(self, source: Shape) -> int:
        """Elements held; nothing is written beside them."""
        return prod(source)


@dataclass(frozen=True, kw_only=True)
class Pool(_WithoutWeights):
    """Maximum or average over a square window."""

    kind: ClassVar = "pool"
    function: Literal["max", "average"]
    kernel: int
    stride: int
    padding: int = 0

    def __post_init__(self) -> None:
        _check_integers(self, kernel=1, stride=1, padding=0)
        if self.function not in ("max", "average"):
            raise NetworkError(f"pool: function must be max or average, but got {self.function!r}")
        if 2 * self.padding > self.kernel:
            raise NetworkError(f"pool: padding must be at most half the kernel {self.kernel}, but got {self.padding}")

    def side(self, side: formulas.Integers) -> formulas.Integers:
        """Output side for an input side, elementwise."""
        return formulas.output_side(side, kernel=self.kernel, stride=self.stride, padding=self.padding)

    def shape(self, source: Shape) -> Shape:
        """(channels, height, width) of the output; raises NetworkError where there is none."""
        channels, side = _map_shape(self, source)
        out = _window_side(self, side)
        return (channels, out, out)

    def activation(self, source: Shape) -> int:
        """Elements read and written for one image."""
        return prod(source) + prod(self.shape(source))


@dataclass(frozen=True, kw_only=True)
class Activation(_InPlace):
    """Elementwise non-linearity."""

    kind: ClassVar = "activation"
    function: Literal["relu"]

    def __post_init__(self) -> None:
        if self.function != "relu":
            raise NetworkError(f"activation: function must be relu, but got {self.function!r}")


@dataclass(frozen=True, kw_only=True)
class Dropout(_InPlace):
    """Sets a share of the elements to zero while training."""

    kind: ClassVar = "dropout"
    share: float

    def __post_init__(self) -> None:
        if not isinstance(self.share, float) or not 0 <= self.share < 1:
            raise NetworkError(f"dropout: share must be a float from 0 to below 1, but got {self.share!r}")


@dataclass(frozen=True, kw_only=True)
class Flatten(_InPlace):
    """A map as one vector, channels first."""

    kind: ClassVar = "flatten"

    def shape(self, source: Shape) -> Shape:
        """(features,) with all elements."""
        return (prod(source),)


Op: TypeAlias = Conv | Linear | Pool | Activation | Dropout | Flatten
OPS: dict[str, type[Op]] = {op.kind: op for op in get_args(Op)}


def op_to_json(op: Op) -> dict[str, object]:
    """The op as plain data: its kind and every field."""
    return {"op": op.kind} | {field.name: getattr(op, field.name) for field in fields(op)}


def op_from_json(data: dict[str, object]) -> Op:
    """The op that `op_to_json` wrote; raises NetworkError for an unknown kind or field."""
    values = dict(data)
    kind = values.pop("op", None)
    if not isinstance(kind, str) or kind not in OPS:
        raise NetworkError(f"op must be one of {', '.join(sorted(OPS))}, but got {kind!r}")
    known = [field.name for field in fields(OPS[kind])]
    try:
        return OPS[kind](**values)  # type: ignore[arg-type]
    except TypeError as error:
        raise NetworkError(
            f"{kind}: fields must be {', '.join(known) or 'none'}, but got {', '.join(values)}"
        ) from error
