"""How each function and method of torch becomes an op. Every handler takes what torch's own function takes."""

import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional as F

from search_spaces import ops
from search_spaces.errors import NetworkError
from search_spaces.ops import is_map
from search_spaces.trace.arithmetic import Handler, arithmetic
from search_spaces.trace.layers import adaptive_pool, conv_op, drop_branches, drop_elements, flatten, max_pool, resample
from search_spaces.trace.values import CHANNELS_LAST, PLAIN, OneChannel, Reading, Side, Value, Weight
from search_spaces.trace.views import (
    chunk,
    expand_as,
    getitem,
    permute,
    reshape,
    size,
    split,
    squeeze,
    transpose,
    unsqueeze,
)


def _same(reading: Reading, value: Any, *_: Any, **__: Any) -> Any:
    return value


def _activation(function: str) -> Handler:
    def handler(reading: Reading, value: Value, inplace: bool = False) -> Value:
        return reading.add_elementwise(ops.Activation(function=function), value)  # type: ignore[arg-type]

    return handler


def _leaky_relu(reading: Reading, value: Value, negative_slope: float = 0.01, inplace: bool = False) -> Value:
    return reading.add_elementwise(ops.Activation(function="leaky_relu", slope=float(negative_slope)), value)


def _gelu(reading: Reading, value: Value, approximate: str = "none") -> Value:
    return _activation("gelu_tanh" if approximate == "tanh" else "gelu")(reading, value)  # type: ignore[no-any-return]


def _softmax(function: str) -> Handler:
    def handler(reading: Reading, value: Value, dim: int, **_: Any) -> Value:
        if dim != 1 and (dim != -1 or is_map(reading.shape(value))):
            raise NetworkError(f"{function} must be over the channels (dim=1), but is over dim={dim}")
        return reading.add(ops.Activation(function=function), value)  # type: ignore[arg-type]

    return handler


def _max_pool2d(
    reading: Reading, value: Value, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Value:  # fmt: skip
    if return_indices or dilation not in (1, (1, 1)):
        raise NetworkError("a max pool must have dilation 1 and return no indices")
    if _is_whole_map(reading, value, kernel_size):
        return adaptive_pool(reading, value, 1, "max")
    return max_pool(reading, value, kernel_size, stride, padding, ceil_mode=ceil_mode)


def _avg_pool2d(
    reading: Reading, value: Value, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: Any = None,
) -> Value:  # fmt: skip
    if divisor_override is not None:
        raise NetworkError("an average pool must divide by its window, but has a divisor of its own")
    if _is_whole_map(reading, value, kernel_size):
        return adaptive_pool(reading, value, 1, "average")
    op = ops.Pool(
        function="average",
        kernel=kernel_size,
        stride=stride or kernel_size,
        padding=padding,
        ceil=ceil_mode,
        count_padding=count_include_pad,
    )
    return reading.add(op, value)


def _is_whole_map(reading: Reading, value: Value, kernel: Any) -> bool:
    """Whether a pool's kernel was read off the map, so that it pools the whole map at every resolution."""
    sides = kernel if isinstance(kernel, tuple | list) else (kernel, kernel)
    if not any(isinstance(side, Side) for side in sides):
        return False
    if tuple(sides) != tuple(reading.shape(value)[1:]):
        raise NetworkError(f"a kernel must be a constant or the whole map, but {tuple(sides)} follows the resolution")
    return True


def _adaptive_pool2d(function: str) -> Handler:
    def handler(reading: Reading, value: Value, output_size: Any, return_indices: bool = False) -> Value:
        return adaptive_pool(reading, value, output_size, function)

    return handler


def _mean(reading: Reading, value: Value, dim: Any = None, keepdim: bool = False) -> Value:
    spatial = {PLAIN: {2, 3}, CHANNELS_LAST: {1, 2}}.get(str(value.layout), set())
    dims = {d % 4 for d in dim} if isinstance(dim, tuple | list) else {dim}
    if not is_map(reading.shape(value)) or dims != spatial:
        raise NetworkError(f"mean must be over height and width, but is over dim={dim}")
    pooled = reading.add(ops.AdaptivePool(), replace(value, layout=PLAIN))
    return replace(pooled, layout=value.layout) if keepdim else reading.add(ops.Flatten(), pooled)


def _conv2d(
    reading: Reading, value: Value, weight: Weight, bias: Weight | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Value:  # fmt: skip
    _check_learned(weight, bias)
    reading.expect(value, weight.tensor.shape[1] * groups)
    op = conv_op(
        reading,
        value,
        out_channels=weight.tensor.shape[0],
        kernel=tuple(weight.tensor.shape[2:]),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=bias is not None,
    )
    return reading.add(op, value, weights=_paths(weight=weight, bias=bias))


def _linear(reading: Reading, value: Value, weight: Weight, bias: Weight | None = None) -> Value:
    _check_learned(weight, bias)
    reading.expect(value, weight.tensor.shape[1])
    op = ops.Linear(out_features=weight.tensor.shape[0], bias=bias is not None)
    return reading.add(op, value, weights=_paths(weight=weight, bias=bias))


def _layer_norm(
    reading: Reading, value: Value, normalized_shape: Sequence[int], weight: Weight | None = None,
    bias: Weight | None = None, eps: float = 1e-5,
) -> Value:  # fmt: skip
    over_channels = value.layout == CHANNELS_LAST or not is_map(reading.shape(value))
    if not over_channels or tuple(normalized_shape) != (reading.channels(value),):
        raise NetworkError(f"layer_norm must be over the channels alone, but is over {tuple(normalized_shape)}")
    if (weight is None) != (bias is None):
        raise NetworkError("layer_norm must have scale and shift or neither")
    op = ops.LayerNorm(affine=weight is not None, epsilon=float(eps))
    return reading.add_elementwise(op, value, weights=_paths(weight=weight, bias=bias))


def _check_learned(*weights: Weight | None) -> None:
    for weight in weights:
        if weight is not None and not weight.learned:
            raise NetworkError(f"weights must be parameters, but {weight.path} is a buffer")


def _paths(**weights: Weight | None) -> dict[str, str]:
    return {name: weight.path for name, weight in weights.items() if weight is not None}


def _interpolate(
    reading: Reading, value: Value, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Value:  # fmt: skip
    sides = size if isinstance(size, tuple | list) else (size,)
    if any(isinstance(side, Side) for side in sides):
        raise NetworkError("interpolation must be by a factor or to constant sides, but follows the resolution")
    if antialias:
        raise NetworkError("interpolation must not antialias")
    return resample(reading, value, size, scale_factor, mode, align_corners)


def _pad(reading: Reading, padded: Value, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Value:
    if mode != "constant" or value not in (0, None) or len(pad) not in (2, 4):
        raise NetworkError(f"pad must add zeros to height and width, but is {mode} {value} of {list(pad)}")
    left, right, top, bottom = (*pad, 0, 0)[:4]
    return reading.add(ops.Pad(left=left, right=right, top=top, bottom=bottom), padded)


def _cat(reading: Reading, tensors: Sequence[Any], dim: int = 0) -> Value:
    if tensors and all(isinstance(value, Value) and isinstance(value.layout, OneChannel) for value in tensors):
        return _cat_channels(reading, tensors)
    values = [reading.plain(value) for value in tensors]
    if dim not in ((1, -3) if is_map(reading.shape(values[0])) else (1, -1)):
        raise NetworkError(f"cat must be over the channels (dim=1), but is over dim={dim}")
    return reading.add(ops.Concat(), *values) if len(values) > 1 else values[0]


def _cat_channels(reading: Reading, values: Sequence[Value]) -> Value:
    channels = [value.layout for value in values if isinstance(value.layout, OneChannel)]
    whole = Value(name=values[0].name)
    in_order = [channel.index for channel in channels] == list(range(reading.channels(whole)))
    if len({value.name for value in values}) > 1 or not in_order or not all(channel.kept for channel in channels):
        raise NetworkError("single channels must be put together again as they were, but are not")
    op = ops.Affine(
        factors=tuple(channel.factor for channel in channels), offsets=tuple(channel.offset for channel in channels)
    )
    return reading.add(op, whole)


def _flatten(reading: Reading, value: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    if (start_dim, end_dim) not in ((1, -1), (1, 3)):
        raise NetworkError(f"flatten must begin at dim 1 and end at the last, but is {start_dim}, {end_dim}")
    return flatten(reading, reading.plain(value))


def _attribute(reading: Reading, value: Any, name: str, *default: Any) -> Any:
    if name == "shape" and isinstance(value, Value):
        return size(reading, value)
    raise NetworkError(f"the attribute {name!r} of a tensor must not be used; only its shape may be")


def _nothing(reading: Reading, *_: Any, **__: Any) -> None:
    """An assertion on shapes: the network as data checks its own."""


FUNCTIONS: dict[Any, Handler] = {
    F.adaptive_avg_pool2d: _adaptive_pool2d("average"),
    F.adaptive_max_pool2d: _adaptive_pool2d("max"),
    F.avg_pool2d: _avg_pool2d,
    F.conv2d: _conv2d,
    F.dropout: drop_elements,
    F.gelu: _gelu,
    F.hardsigmoid: _activation("hardsigmoid"),
    F.hardswish: _activation("hardswish"),
    F.interpolate: _interpolate,
    F.layer_norm: _layer_norm,
    F.leaky_relu: _leaky_relu,
    F.linear: _linear,
    F.log_softmax: _softmax("log_softmax"),
    F.max_pool2d: _max_pool2d,
    F.mish: _activation("mish"),
    F.pad: _pad,
    F.relu: _activation("relu"),
    F.relu6: _activation("relu6"),
    F.sigmoid: _activation("sigmoid"),
    F.silu: _activation("silu"),
    F.softmax: _softmax("softmax"),
    F.tanh: _activation("tanh"),
    getattr: _attribute,
    operator.add: arithmetic(operator.add),
    operator.floordiv: arithmetic(operator.floordiv),
    operator.getitem: getitem,
    operator.iadd: arithmetic(operator.add),
    operator.imul: arithmetic(operator.mul),
    operator.isub: arithmetic(operator.sub),
    operator.itruediv: arithmetic(operator.truediv),
    operator.mul: arithmetic(operator.mul),
    operator.sub: arithmetic(operator.sub),
    operator.truediv: arithmetic(operator.truediv),
    torch._assert: _nothing,
    torch.add: arithmetic(operator.add),
    torch.cat: _cat,
    torch.chunk: chunk,
    torch.concat: _cat,
    torch.flatten: _flatten,
    torch.log_softmax: _softmax("log_softmax"),
    torch.mean: _mean,
    torch.mul: arithmetic(operator.mul),
    torch.permute: permute,
    torch.relu: _activation("relu"),
    torch.reshape: reshape,
    torch.sigmoid: _activation("sigmoid"),
    torch.softmax: _softmax("softmax"),
    torch.split: split,
    torch.squeeze: squeeze,
    torch.tanh: _activation("tanh"),
    torch.transpose: transpose,
    torch.unsqueeze: unsqueeze,
}
FUNCTIONS_BY_NAME: dict[str, Handler] = {"torchvision.ops.stochastic_depth.stochastic_depth": drop_branches}
METHODS: dict[str, Handler] = {
    "add": arithmetic(operator.add),
    "add_": arithmetic(operator.add),
    "chunk": chunk,
    "clone": _same,
    "contiguous": _same,
    "expand_as": expand_as,
    "flatten": _flatten,
    "log_softmax": _softmax("log_softmax"),
    "mean": _mean,
    "mul": arithmetic(operator.mul),
    "permute": permute,
    "relu": _activation("relu"),
    "relu_": _activation("relu"),
    "reshape": reshape,
    "sigmoid": _activation("sigmoid"),
    "size": size,
    "softmax": _softmax("softmax"),
    "split": split,
    "squeeze": squeeze,
    "tanh": _activation("tanh"),
    "transpose": transpose,
    "unsqueeze": unsqueeze,
    "view": reshape,
}
