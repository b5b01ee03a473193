"""Layers as lines of Python: what `build` makes of an op, as a person would have written it.

A layer with weights, or that behaves otherwise while training, is a module of torch.nn (or of `search_spaces.modules`,
whose source is copied); all others are calls. Nothing of an architecture but numbers and checked words gets into them.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from search_spaces import modules, ops
from search_spaces.build import Place
from search_spaces.ops import Size

Value = str | int | float | bool | tuple[Any, ...]  # of an argument; a text stands in quotes


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call to be written: what is called, and its arguments, each as `5` or `stride=2`."""

    function: str
    arguments: tuple[str, ...]
    brackets: tuple[str, str] = ("(", ")")
    copied: type | None = None  # the class of `search_spaces.modules` that it needs

    def __str__(self) -> str:
        return f"{self.function}{self.brackets[0]}{', '.join(self.arguments)}{self.brackets[1]}"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """How a node is written: a module that is made once, or what is computed of the names of what it reads.

    One with neither is the value that it reads.
    """

    made: Call | None = None
    computed: Callable[[Sequence[str]], str | Call] | None = None


def _call(function: str, *values: Value, **named: Value | None) -> Call:
    """Of arguments by place and by name; those named None are left out."""
    given = [*map(_literal, values), *(f"{name}={_literal(v)}" for name, v in named.items() if v is not None)]
    return Call(function=function, arguments=tuple(given))


def _literal(value: Value) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value).replace("e+", "e")


def _made(function: str, *values: Value, **named: Value | None) -> Layer:
    return Layer(made=_call(f"nn.{function}", *values, **named))


def _own(kind: type, *values: Value, **named: Value | None) -> Layer:
    """A module of ours, without weights or with."""
    return Layer(made=replace(_call(kind.__name__, *values, **named), copied=kind))


def _applied(function: str, *values: Value, **named: Value | None) -> Layer:
    """A function of one value."""

    def computed(reads: Sequence[str]) -> Call:
        call = _call(function, *values, **named)
        return Call(function=function, arguments=(reads[0], *call.arguments))

    return Layer(computed=computed)


def _text(template: str) -> Layer:
    """An expression of one value, `{}`, or of two."""
    return Layer(computed=lambda reads: template.format(*reads))


def _unless(value: Value, default: Value) -> Value | None:
    return None if value == default else value


def _conv(op: ops.Conv | ops.Depthwise, place: Place) -> Layer:
    groups = op.groups if isinstance(op, ops.Conv) else place.channels
    return _made(
        "Conv2d",
        place.channels,
        place.width,
        op.kernel,
        stride=_unless(op.stride, 1),
        padding=_unless(op.padding, 0),
        dilation=_unless(op.dilation, 1),
        groups=_unless(groups, 1),
        bias=_unless(op.bias, True),
    )


def _batch_norm(op: ops.BatchNorm, place: Place) -> Layer:
    return _made(
        "BatchNorm2d" if place.is_map else "BatchNorm1d",
        place.channels,
        eps=_unless(op.epsilon, 1e-5),
        momentum=_unless(op.momentum, 0.1),
        affine=_unless(op.affine, True),
    )


def _shortcut(op: ops.Shortcut, place: Place) -> Layer:
    if not place.projects:
        return Layer()
    conv = _call("nn.Conv2d", place.channels, place.width, 1, stride=_unless(op.stride, 1), bias=False)
    if not op.norm:
        return Layer(made=conv)
    return Layer(made=Call(function="nn.Sequential", arguments=(str(conv), f"nn.BatchNorm2d({place.width})")))


def _pool(op: ops.Pool, _: Place) -> Layer:
    padding = _unless(op.padding, 0)
    stride = _unless(op.stride, op.kernel)
    ceil = _unless(op.ceil, False)
    if op.function == "max":
        return _applied("F.max_pool2d", op.kernel, stride=stride, padding=padding, ceil_mode=ceil)
    counts = _unless(op.count_padding, True)
    return _applied("F.avg_pool2d", op.kernel, stride=stride, padding=padding, ceil_mode=ceil, count_include_pad=counts)


def _resample(function: str, *, size: Size | None = None, factor: int | None = None) -> Layer:
    corners = None if function == "nearest" else False
    pair = None if size is None else ops.pair(size)
    return _applied("F.interpolate", size=pair, scale_factor=factor, mode=function, align_corners=corners)


def _upsample(op: ops.Upsample, _: Place) -> Layer:
    if op.function == "zeros":
        return _own(modules.UpsampleZeros, op.factor)
    return _resample(op.function, factor=op.factor)


def _activation(op: ops.Activation, _: Place) -> Layer:
    if op.function in ("sigmoid", "tanh"):
        return _text(f"{{}}.{op.function}()")
    if op.function in ("softmax", "log_softmax"):
        return _text(f"{{}}.{op.function}(1)")
    if op.function == "gelu_tanh":
        return _applied("F.gelu", approximate="tanh")
    if op.function == "leaky_relu":
        return _applied("F.leaky_relu", negative_slope=_unless(op.slope, 0.01))
    return _applied(f"F.{op.function}")


LAYERS: dict[type[ops.Op], Callable[[Any, Place], Layer]] = {  # as MODULES of `search_spaces.build`
    ops.Activation: _activation,
    ops.AdaptivePool: lambda op, place: _applied(
        "F.adaptive_max_pool2d" if op.function == "max" else "F.adaptive_avg_pool2d", op.size
    ),
    ops.Add: lambda op, place: Layer(computed=" + ".join),
    ops.Affine: lambda op, place: _own(modules.Affine, op.factors, op.offsets),
    ops.BatchNorm: _batch_norm,
    ops.BatchToSpace: lambda op, place: _own(modules.BatchToSpace, op.block),
    ops.ChannelShuffle: lambda op, place: _applied("F.channel_shuffle", op.groups),
    ops.Chunk: lambda op, place: _text(f"{{}}.chunk({op.parts}, dim=1)[{op.index}]"),
    ops.Concat: lambda op, place: Layer(
        computed=lambda reads: Call(function="torch.cat", arguments=(f"[{', '.join(reads)}]", "dim=1"))
    ),
    ops.Conv: _conv,
    ops.Depthwise: _conv,
    ops.Dropout: lambda op, place: _made("Dropout2d" if op.channels and place.is_map else "Dropout", op.share),
    ops.Expand: lambda op, place: _made("Conv2d", place.channels, place.width, 1, bias=_unless(op.bias, True)),
    ops.Flatten: lambda op, place: _text("{}.flatten(1)"),
    ops.GroupNorm: lambda op, place: _made(
        "GroupNorm", op.groups, place.channels, eps=_unless(op.epsilon, 1e-5), affine=_unless(op.affine, True)
    ),
    ops.LayerNorm: lambda op, place: _own(
        modules.ChannelNorm,
        place.channels,
        eps=_unless(op.epsilon, 1e-5),
        elementwise_affine=_unless(op.affine, True),
    ),
    ops.LayerScale: lambda op, place: _own(modules.LayerScale, place.channels, op.initial),
    ops.Linear: lambda op, place: _made("Linear", place.channels, place.width, bias=_unless(op.bias, True)),
    ops.MeanReplicas: lambda op, place: _own(modules.MeanReplicas, place.replicas),
    ops.Multiply: lambda op, place: _text("{} * {}"),
    ops.PReLU: lambda op, place: _made("PReLU", *((place.channels,) if op.per_channel else ())),
    ops.Pad: lambda op, place: _applied("F.pad", (op.left, op.right, op.top, op.bottom)),
    ops.Pool: _pool,
    ops.Resize: lambda op, place: _resample(op.function, size=op.size),
    ops.Select: lambda op, place: _own(modules.Select, op.indices),
    ops.Shortcut: _shortcut,
    ops.SpaceToBatch: lambda op, place: _own(modules.SpaceToBatch, op.block),
    ops.SpaceToDepth: lambda op, place: _applied("F.pixel_unshuffle", op.block),
    ops.StochasticDepth: lambda op, place: _own(modules.StochasticDepth, op.share, op.mode),
    ops.Unflatten: lambda op, place: _text("{}[:, :, None, None]"),
    ops.Upsample: _upsample,
}


def layer_code(op: ops.Op, place: Place) -> Layer:
    """How a node's op is written where it stands."""
    return LAYERS[type(op)](op, place)
