"""Shapes and costs of layers: the only place where a formula stands.

Every function is elementwise: it takes Python integers, int64 arrays [T] for T candidates at once, or polynomials in
the widths (`search_spaces.polynomial`), and is exact on all three. Sides are in pixels, `window` is the number of
elements of a kernel, `area` the number of positions of a map. One MAC is one multiply-add; bias, normalisation,
activation and pooling are free.
"""

from typing import Any, TypeAlias

Integers: TypeAlias = Any  # int, NDArray[np.int64] or Polynomial; a union would lose the exactness of `int` in callers


def output_side(
    side: Integers,
    *,
    kernel: Integers,
    stride: Integers = 1,
    padding: Integers = 0,
    dilation: Integers = 1,
    ceil: bool = False,
) -> Integers:
    """Side of the output of a conv or pool: floor((N + 2P - D(C-1) - 1) / S) + 1 (Borji eq. 4).

    With `ceil` the quotient is rounded up, but no window begins in the padding behind the map (as torch). Below 1
    where the dilated kernel is larger than the padded input.
    """
    free = side + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil:
        return free // stride + 1
    out = -(-free // stride) + 1
    return out - ((out - 1) * stride >= side + padding)


def conv_params(
    in_channels: Integers, out_channels: Integers, *, window: Integers, groups: int = 1, bias: bool = True
) -> Integers:
    """Parameters of a conv: K C^2 D/groups, plus K with bias (Borji eq. 2)."""
    return out_channels * window * (in_channels // groups) + (out_channels if bias else 0)


def conv_macs(
    in_channels: Integers, out_channels: Integers, *, window: Integers, area: Integers, groups: int = 1
) -> Integers:
    """Multiply-adds of a conv: M^2 C^2 D/groups K."""
    return area * window * (in_channels // groups) * out_channels


def bias_additions(out_elements: Integers, *, bias: bool) -> Integers:
    """Additions of a bias, one an output element: what Borji's FLOPs (eq. 5) count beside the MACs."""
    return out_elements if bias else 0


def linear_params(in_features: Integers, out_features: Integers, *, bias: bool = True) -> Integers:
    """Parameters of a fully connected layer: I O, plus O with bias (Borji eq. 3)."""
    return in_features * out_features + (out_features if bias else 0)


def linear_macs(in_features: Integers, out_features: Integers) -> Integers:
    """Multiply-adds of a fully connected layer: I O."""
    return in_features * out_features


def norm_params(channels: Integers, *, affine: bool = True) -> Integers:
    """Scale and shift of a normalisation, one of each a channel."""
    return 2 * channels if affine else 0


def map_elements(channels: Integers, area: Integers) -> Integers:
    """Elements of a feature map: K M^2."""
    return channels * area


def unequal(one: Integers, other: Integers) -> Integers:
    """1 where two widths differ, else 0."""
    differ = one != other
    return int(differ) if isinstance(differ, bool) else differ
