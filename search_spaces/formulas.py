"""Shapes and costs of layers: the only place where a formula stands.

Every function is elementwise: it takes Python integers, or int64 arrays [T] for T candidates at once, and
is exact on both. Sides are in pixels. One MAC is one multiply-add; bias, activation and pooling are free.
"""

from typing import Any, TypeAlias

Integers: TypeAlias = Any  # int or NDArray[np.int64]; a union would lose the exactness of `int` in callers


def output_side(
    side: Integers,
    *,
    kernel: Integers,
    stride: Integers = 1,
    padding: Integers = 0,
    dilation: Integers = 1,
) -> Integers:
    """Side of the output of a conv or pool: floor((N + 2P - D(C-1) - 1) / S) + 1 (Borji eq. 4).

    Below 1 where the dilated kernel is larger than the padded input.
    """
    return (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def conv_params(
    in_channels: Integers, out_channels: Integers, *, kernel: Integers, groups: int = 1, bias: bool = True
) -> Integers:
    """Parameters of a conv with square kernels: K C^2 D/groups, plus K with bias (Borji eq. 2)."""
    return out_channels * kernel**2 * (in_channels // groups) + (out_channels if bias else 0)


def conv_macs(
    in_channels: Integers, out_channels: Integers, *, kernel: Integers, out_side: Integers, groups: int = 1
) -> Integers:
    """Multiply-adds of a conv with a square output: M^2 C^2 D/groups K."""
    return out_side**2 * kernel**2 * (in_channels // groups) * out_channels


def linear_params(in_features: Integers, out_features: Integers, *, bias: bool = True) -> Integers:
    """Parameters of a fully connected layer: I O, plus O with bias (Borji eq. 3)."""
    return in_features * out_features + (out_features if bias else 0)


def linear_macs(in_features: Integers, out_features: Integers) -> Integers:
    """Multiply-adds of a fully connected layer: I O."""
    return in_features * out_features


def map_elements(channels: Integers, side: Integers) -> Integers:
    """Elements of a square feature map: K M^2."""
    return channels * side**2
