"""How each layer of torch.nn becomes an op."""

from collections.abc import Callable
from typing import Any

from torch import nn

from search_spaces import ops
from search_spaces.errors import NetworkError
from search_spaces.ops import is_map
from search_spaces.trace.values import CHANNELS_LAST, Reading, Value

Layer = Callable[[Reading, Any, Value], Value]


def conv_op(
    reading: Reading, value: Value, *, out_channels: int, kernel: Any, stride: Any, padding: Any, dilation: Any,
    groups: int, bias: bool,
) -> ops.Op:  # fmt: skip
    """A conv, or a depthwise one where every channel is a group."""
    sizes: dict[str, Any] = {
        "kernel": _size(kernel),
        "stride": _size(stride),
        "padding": _padding(padding, _size(kernel), _size(dilation)),
        "dilation": _size(dilation),
    }
    channels = reading.channels(value)
    if groups == channels > 1:
        return ops.Depthwise(multiplier=out_channels // channels, bias=bias, **sizes)
    return ops.Conv(out_channels=out_channels, groups=groups, bias=bias, **sizes)


def _size(value: Any) -> Any:
    return tuple(value) if isinstance(value, tuple | list) else value


def _padding(padding: Any, kernel: Any, dilation: Any) -> Any:
    if not isinstance(padding, str):
        return _size(padding)
    if padding == "valid":
        return 0
    total = [d * (k - 1) for k, d in zip(ops.pair(kernel), ops.pair(dilation), strict=True)]
    if any(side % 2 for side in total):
        raise NetworkError(f"padding must be the same on both sides, but 'same' with kernel {kernel} is not")
    return tuple(side // 2 for side in total)


def _conv(reading: Reading, layer: nn.Conv2d, value: Value) -> Value:
    if layer.padding_mode != "zeros":
        raise NetworkError(f"padding must be zeros, but is {layer.padding_mode}")
    reading.expect(value, layer.in_channels)
    op = conv_op(
        reading,
        value,
        out_channels=layer.out_channels,
        kernel=layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=layer.bias is not None,
    )
    return reading.add_module(op, layer, value)


def _linear(reading: Reading, layer: nn.Linear, value: Value) -> Value:
    bias = layer.bias is not None
    if is_map(reading.shape(value)) and value.layout != CHANNELS_LAST:
        raise NetworkError(f"Linear needs a vector or channels last, but gets a map {reading.shape(value)}")
    reading.expect(value, layer.in_features)
    if value.layout == CHANNELS_LAST:
        op = ops.Conv(out_channels=layer.out_features, kernel=1, bias=bias)
        return reading.add_module(op, layer, value, elementwise=True)
    return reading.add_module(ops.Linear(out_features=layer.out_features, bias=bias), layer, value)


def _batch_norm(reading: Reading, layer: nn.BatchNorm2d, value: Value) -> Value:
    if layer.momentum is None or not layer.track_running_stats:
        raise NetworkError("a batch norm must keep running statistics with a momentum")
    reading.expect(value, layer.num_features)
    op = ops.BatchNorm(affine=layer.affine, epsilon=float(layer.eps), momentum=float(layer.momentum))
    return reading.add_module(op, layer, reading.plain(value))


def _group_norm(reading: Reading, layer: nn.GroupNorm, value: Value) -> Value:
    reading.expect(value, layer.num_channels)
    op = ops.GroupNorm(groups=layer.num_groups, affine=layer.affine, epsilon=float(layer.eps))
    return reading.add_module(op, layer, value)


def _layer_norm(reading: Reading, layer: nn.LayerNorm, value: Value) -> Value:
    over_channels = value.layout == CHANNELS_LAST or not is_map(reading.shape(value))
    if not over_channels or tuple(layer.normalized_shape) != (reading.channels(value),):
        raise NetworkError(f"LayerNorm must be over the channels alone, but is over {tuple(layer.normalized_shape)}")
    if layer.elementwise_affine and layer.bias is None:
        raise NetworkError("LayerNorm must have scale and shift or neither, but has no shift")
    op = ops.LayerNorm(affine=layer.elementwise_affine, epsilon=float(layer.eps))
    return reading.add_module(op, layer, value, elementwise=True)


def _prelu(reading: Reading, layer: nn.PReLU, value: Value) -> Value:
    if layer.num_parameters > 1:
        reading.expect(value, layer.num_parameters)
    op = ops.PReLU(per_channel=layer.num_parameters > 1)
    return reading.add_module(op, layer, value)


def _activation(function: str) -> Layer:
    def handler(reading: Reading, layer: nn.Module, value: Value) -> Value:
        return reading.add_elementwise(ops.Activation(function=function), value)  # type: ignore[arg-type]

    return handler


def _leaky_relu(reading: Reading, layer: nn.LeakyReLU, value: Value) -> Value:
    return reading.add_elementwise(ops.Activation(function="leaky_relu", slope=float(layer.negative_slope)), value)


def _gelu(reading: Reading, layer: nn.GELU, value: Value) -> Value:
    function = "gelu_tanh" if layer.approximate == "tanh" else "gelu"
    return _activation(function)(reading, layer, value)


def _with_defaults(function: str, **defaults: float) -> Layer:
    def handler(reading: Reading, layer: nn.Module, value: Value) -> Value:
        for name, default in defaults.items():
            if getattr(layer, name) != default:
                raise NetworkError(f"{function}: {name} must be {default}, but is {getattr(layer, name)}")
        return _activation(function)(reading, layer, value)

    return handler


def _softmax(function: str) -> Layer:
    def handler(reading: Reading, layer: nn.Softmax, value: Value) -> Value:
        if layer.dim != 1 and (layer.dim != -1 or is_map(reading.shape(value))):
            raise NetworkError(f"{function} must be over the channels (dim=1), but is over dim={layer.dim}")
        return reading.add(ops.Activation(function=function), value)  # type: ignore[arg-type]

    return handler


def _max_pool(reading: Reading, layer: nn.MaxPool2d, value: Value) -> Value:
    if layer.return_indices or layer.dilation not in (1, (1, 1)):
        raise NetworkError("a max pool must have dilation 1 and return no indices")
    return max_pool(reading, value, layer.kernel_size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode)


def max_pool(reading: Reading, value: Value, kernel: Any, stride: Any, padding: Any, *, ceil_mode: bool) -> Value:
    """Add a max pool; stride None is the kernel."""
    sizes = {"kernel": _size(kernel), "stride": _size(stride or kernel), "padding": _size(padding)}
    return reading.add(ops.Pool(function="max", ceil=ceil_mode, **sizes), value)


def _average_pool(reading: Reading, layer: nn.AvgPool2d, value: Value) -> Value:
    if layer.divisor_override is not None:
        raise NetworkError("an average pool must divide by its window, but has a divisor of its own")
    op = ops.Pool(
        function="average",
        kernel=_size(layer.kernel_size),
        stride=_size(layer.stride),
        padding=_size(layer.padding),
        ceil=layer.ceil_mode,
        count_padding=layer.count_include_pad,
    )
    return reading.add(op, value)


def _adaptive_pool(function: str) -> Layer:
    def handler(reading: Reading, layer: nn.AdaptiveAvgPool2d, value: Value) -> Value:
        return adaptive_pool(reading, value, layer.output_size, function)

    return handler


def adaptive_pool(reading: Reading, value: Value, size: Any, function: str) -> Value:
    """Add a pool to a fixed size; None, a side that follows the input, is refused."""
    if None in (_size(size) if isinstance(size, tuple | list) else (size,)):
        raise NetworkError("an adaptive pool must have a fixed size, but None keeps the input's")
    return reading.add(ops.AdaptivePool(function=function, size=_size(size)), value)  # type: ignore[arg-type]


def _upsample(reading: Reading, layer: nn.Upsample, value: Value) -> Value:
    return resample(reading, value, layer.size, layer.scale_factor, layer.mode, layer.align_corners)


def resample(reading: Reading, value: Value, size: Any, factor: Any, mode: str, corners: bool | None) -> Value:
    """Add an interpolation by an integer factor or to a size that is a constant."""
    if mode not in ("nearest", "bilinear") or corners:
        raise NetworkError(f"interpolation must be nearest or bilinear, corners not aligned, but is {mode}, {corners}")
    if size is not None:
        return reading.add(ops.Resize(function=mode, size=_size(size)), value)  # type: ignore[arg-type]
    factors = set(factor) if isinstance(factor, tuple | list) else {factor}
    if len(factors) != 1 or float(next(iter(factors))) % 1:
        raise NetworkError(f"interpolation must be by one integer factor, but is by {factor}")
    return reading.add(ops.Upsample(function=mode, factor=int(factors.pop())), value)  # type: ignore[arg-type]


def _pad(reading: Reading, layer: nn.ZeroPad2d, value: Value) -> Value:
    left, right, top, bottom = layer.padding
    return reading.add(ops.Pad(left=left, right=right, top=top, bottom=bottom), value)


def _dropout(reading: Reading, layer: nn.Dropout, value: Value) -> Value:
    return reading.add_elementwise(ops.Dropout(share=float(layer.p)), value)


def _dropout2d(reading: Reading, layer: nn.Dropout2d, value: Value) -> Value:
    return reading.add(ops.Dropout(share=float(layer.p), channels=True), value)


def drop_elements(
    reading: Reading, value: Value, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Value:
    """Add a dropout; raises NetworkError where it would drop in evaluation too."""
    _check_evaluating("dropout", training)
    return reading.add_elementwise(ops.Dropout(share=float(p)), value)


def drop_branches(reading: Reading, value: Value, p: float, mode: str, training: bool = True) -> Value:
    """Add a stochastic depth; raises NetworkError where it would drop in evaluation too."""
    _check_evaluating("stochastic_depth", training)
    return reading.add_elementwise(ops.StochasticDepth(share=float(p), mode=mode), value)  # type: ignore[arg-type]


def _check_evaluating(name: str, training: bool) -> None:
    if training:
        raise NetworkError(f"{name} must be told training=self.training, but it drops in evaluation too")


def _flatten(reading: Reading, layer: nn.Flatten, value: Value) -> Value:
    if (layer.start_dim, layer.end_dim) not in ((1, -1), (1, 3)):
        raise NetworkError(
            f"Flatten must begin at dim 1 and end at the last, but is {layer.start_dim}, {layer.end_dim}"
        )
    return flatten(reading, value)


def flatten(reading: Reading, value: Value) -> Value:
    """A map as a vector; a vector stays."""
    return reading.add(ops.Flatten(), value) if is_map(reading.shape(value)) else value


LAYERS: dict[type[nn.Module], Layer] = {
    nn.AdaptiveAvgPool2d: _adaptive_pool("average"),
    nn.AdaptiveMaxPool2d: _adaptive_pool("max"),
    nn.AvgPool2d: _average_pool,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.ChannelShuffle: lambda reading, layer, value: reading.add(ops.ChannelShuffle(groups=layer.groups), value),
    nn.Conv2d: _conv,
    nn.Dropout: _dropout,
    nn.Dropout2d: _dropout2d,
    nn.ELU: _with_defaults("elu", alpha=1.0),
    nn.Flatten: _flatten,
    nn.GELU: _gelu,
    nn.GroupNorm: _group_norm,
    nn.Hardsigmoid: _activation("hardsigmoid"),
    nn.Hardswish: _activation("hardswish"),
    nn.Hardtanh: _with_defaults("hardtanh", min_val=-1.0, max_val=1.0),
    nn.Identity: lambda reading, layer, value: value,
    nn.LayerNorm: _layer_norm,
    nn.LeakyReLU: _leaky_relu,
    nn.Linear: _linear,
    nn.LogSoftmax: _softmax("log_softmax"),
    nn.MaxPool2d: _max_pool,
    nn.Mish: _activation("mish"),
    nn.PReLU: _prelu,
    nn.PixelUnshuffle: lambda reading, layer, value: reading.add(ops.SpaceToDepth(block=layer.downscale_factor), value),
    nn.ReLU: _activation("relu"),
    nn.ReLU6: _activation("relu6"),
    nn.SiLU: _activation("silu"),
    nn.Sigmoid: _activation("sigmoid"),
    nn.Softmax: _softmax("softmax"),
    nn.Softplus: _with_defaults("softplus", beta=1.0, threshold=20.0),
    nn.Tanh: _activation("tanh"),
    nn.Upsample: _upsample,
    nn.ZeroPad2d: _pad,
}
