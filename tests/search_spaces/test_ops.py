"""Every kind of layer: shapes, parameters and MACs are torch's own on random settings; JSON both ways; errors."""

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from search_spaces import NetworkError, build, ops
from search_spaces.ops import OPS, Conv, Op, Pool, Shape, is_map, op_from_json, op_to_json
from tests.search_spaces.random_ops import CASES

IMAGES = 2


def module_of(op: Op, sources: tuple[Shape, ...], out: Shape) -> nn.Module:
    """The module that `build` makes of a layer."""
    return build.MODULES[type(op)](op, build.Place.of(op, sources, out)).eval()


def batch(shape: Shape) -> torch.Tensor:
    """Random values of a shape for all images; replicas stand in the batch."""
    inner = 3 if is_map(shape) else 1
    return torch.rand(IMAGES * prod(shape[:-inner]), *shape[-inner:])


MAKES_CHANNELS = ("conv", "depthwise", "expand", "linear")  # `build` takes their width from the shape


def wanted_width(op: Any, source: Shape) -> int:
    """The width that the fields of a layer ask for."""
    channels = int(source[-3] if is_map(source) else source[-1])
    times = {"depthwise": "multiplier", "expand": "factor"}.get(op.kind)
    return channels * int(getattr(op, times)) if times else int(op.out_channels if is_map(source) else op.out_features)


@pytest.mark.parametrize("kind", OPS)
@settings(max_examples=40)
@given(data=st.data())
def test_counts_are_torchs(kind: str, data: st.DataObject) -> None:
    op, sources = data.draw(CASES[kind])
    values = [batch(source) for source in sources]
    try:
        out = op.shape(*sources)
    except NetworkError:
        assert op.kind in ("conv", "depthwise", "pool")  # only sliding windows are drawn that may not fit
        with pytest.raises(RuntimeError):
            module_of(op, sources, (getattr(op, "out_channels", sources[0][-3]), 1, 1))(*values)
        return
    assert op.kind not in MAKES_CHANNELS or out[-3 if is_map(out) else -1] == wanted_width(op, sources[0])
    module = module_of(op, sources, out)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        result = module(*(values[i] for i in op.reads(sources)))
    assert result.shape == batch(out).shape
    assert op.params(sources, out) == sum(parameter.numel() for parameter in module.parameters())
    assert 2 * IMAGES * op.macs(sources, out) == counter.get_total_flops()  # torch counts 2 per multiply-add
    biases = sum(len(bias) * result[:, 0].numel() for name, bias in module.named_parameters() if name == "bias")
    added = biases // IMAGES if op.kind in ("conv", "depthwise", "expand", "linear") else 0
    assert op.flops(sources, out) == op.macs(sources, out) + added  # Borji eq. 5
    if op.takes_over(sources):
        assert prod(out) == prod(sources[op.reads(sources)[0]])


@pytest.mark.parametrize("kind", OPS)
@settings(max_examples=10)
@given(data=st.data())
def test_json_both_ways(kind: str, data: st.DataObject) -> None:
    op, _ = data.draw(CASES[kind])
    assert op_from_json(json.loads(json.dumps(op_to_json(op)))) == op


def test_optional_fields_are_left_out_at_their_default() -> None:
    assert op_to_json(Pool(function="max", kernel=2, stride=2)) == {
        "op": "pool", "function": "max", "kernel": 2, "stride": 2, "padding": 0,
    }  # fmt: skip
    changed = op_to_json(Pool(function="average", kernel=(2, 3), stride=2, ceil=True, count_padding=False))
    assert changed == {
        "op": "pool", "function": "average", "kernel": [2, 3], "stride": 2, "padding": 0, "ceil": True,
        "count_padding": False,
    }  # fmt: skip
    optional = {f"{kind}.{field.name}" for kind, op in OPS.items() for field in fields(op) if field.metadata}
    assert optional == {"activation.slope", "dropout.channels", "pool.ceil", "pool.count_padding"}  # else ids change


def concrete(op: type[Any]) -> Iterator[type[Op]]:
    for child in op.__subclasses__():
        yield from concrete(child)
        if "kind" in vars(child) and child.__module__.startswith("search_spaces."):  # other tests make their own
            yield child


def test_every_kind_can_be_written_and_built() -> None:
    assert set(OPS.values()) == set(concrete(Op)) == set(build.MODULES)
    assert set(OPS) == set(CASES)
    assert set(build.FUNCTIONS) == set(ops.FUNCTIONS)


# --- errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv(out_channels=1, kernel=(1, 2, 3)), r"kernel must be .* or two .*got \(1, 2, 3\)"),  # type: ignore[arg-type]
        (lambda: Conv(out_channels=1, kernel=1, stride=0), "conv: stride must be an integer of at least 1"),
        (lambda: Conv(out_channels=1, kernel=1, dilation=(1, 0)), "conv: dilation must be"),
        (lambda: Conv(out_channels=1, kernel=1, groups=0), "conv: groups must be an integer of at least 1"),
        (lambda: Conv(out_channels=1, kernel=1, bias=1), "conv: bias must be true or false, but got 1"),  # type: ignore[arg-type]
        (lambda: Conv(out_channels=2**24 + 1, kernel=1), "conv: out_channels must be .* at most 2\\^24"),
        (lambda: ops.Depthwise(kernel=3, multiplier=0), "depthwise: multiplier must be"),
        (lambda: ops.Expand(factor=0), "expand: factor must be"),
        (lambda: ops.Linear(out_features=1.0), "linear: out_features must be an integer"),  # type: ignore[arg-type]
        (lambda: ops.Shortcut(stride=0), "shortcut: stride must be"),
        (lambda: ops.Shortcut(norm=None), "shortcut: norm must be true or false"),  # type: ignore[arg-type]
        (lambda: ops.Activation(function="swish"), "activation: function must be relu, .* or log_softmax"),  # type: ignore[arg-type]
        (lambda: ops.Activation(function="relu", slope=-0.1), "activation: slope must be a float of at least 0"),
        (lambda: ops.PReLU(per_channel=2), "prelu: per_channel must be true or false"),  # type: ignore[arg-type]
        (lambda: ops.Dropout(share=1), "dropout: share must be a float from 0 to below 1"),
        (lambda: ops.StochasticDepth(share=0.1, mode="col"), "mode must be row or batch, but got 'col'"),  # type: ignore[arg-type]
        (lambda: ops.BatchNorm(epsilon=float("nan")), "batch_norm: epsilon must be a float of at least 0"),
        (lambda: ops.GroupNorm(groups=0), "group_norm: groups must be"),
        (lambda: ops.LayerScale(initial=float("inf")), "layer_scale: initial must be"),
        (lambda: ops.Affine(factors=(1,), offsets=(0.0,)), "affine: factors must be finite floats"),
        (lambda: ops.Affine(factors=(1.0,), offsets=(float("nan"),)), "affine: offsets must be finite floats"),
        (lambda: ops.Chunk(parts=2, index=2), "chunk: index must be below parts=2, but got 2"),
        (lambda: ops.ChannelShuffle(groups=0), "channel_shuffle: groups must be"),
        (lambda: ops.Select(indices=()), "select: indices must be integers of at least -1"),
        (lambda: ops.Select(indices=(1, -2)), "select: indices must be integers of at least -1"),
        (lambda: Pool(function="max", kernel=(3, 1), stride=1, padding=1), "padding must be at most half the kernel"),
        (lambda: Pool(function="max", kernel=2, stride=2, ceil=0), "pool: ceil must be true or false"),  # type: ignore[arg-type]
        (lambda: ops.AdaptivePool(size=0), "adaptive_pool: size must be"),
        (lambda: ops.Upsample(function="cubic", factor=2), "bilinear, nearest or zeros, but got 'cubic'"),  # type: ignore[arg-type]
        (lambda: ops.Upsample(function="zeros", factor=0), "upsample: factor must be"),
        (lambda: ops.Resize(function="zeros", size=3), "resize: function must be bilinear or nearest"),  # type: ignore[arg-type]
        (lambda: ops.Pad(left=0.5), "pad: left must be an integer"),  # type: ignore[arg-type]
        (lambda: ops.SpaceToDepth(block=0), "space_to_depth: block must be"),
        (lambda: op_from_json({"op": "attention"}), "op must be one of activation, .*upsample, but got 'attention'"),
        (lambda: op_from_json({"op": "chunk", "parts": 2}), "chunk: fields must be parts, index, but got parts"),
        (lambda: op_from_json({"op": "add", "x": 1}), "add: fields must be none, but got x"),
    ],
)  # fmt: skip
def test_wrong_fields(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        make()


MAP = (6, 5, 5)


@pytest.mark.parametrize(
    ("op", "sources", "message"),
    [
        (Conv(out_channels=4, kernel=6), [MAP], "the kernel must fit .* kernel 6 with padding 0 gets 5 px"),
        (Conv(out_channels=4, kernel=(1, 6)), [(6, 7, 5)], "gets 7 x 5 px; use a smaller kernel"),
        (Conv(out_channels=4, kernel=1, groups=4), [MAP], "groups must divide .* groups=4, channels 6 to 4"),
        (Conv(out_channels=4, kernel=1), [(6,)], r"conv needs a map \(channels, height, width\), but gets \(6,\)"),
        (ops.Linear(out_features=3), [MAP], "linear needs a vector .*; flatten it first"),
        (ops.Unflatten(), [MAP], "unflatten needs a vector"),
        (ops.Shortcut(), [MAP, (3, 5, 5), MAP], "shortcut: the first two nodes must have one shape"),
        (ops.Shortcut(stride=2), [MAP, MAP, MAP], r"shortcut: stride 2 of \(6, 5, 5\) must give the sides of"),
        (ops.GroupNorm(groups=4), [MAP], "group_norm: groups must divide the channels, but groups=4, channels 6"),
        (ops.Affine(factors=(1.0, 1.0), offsets=(0.0,)), [MAP], "one for each of 6 channels, but got 2 and 1"),
        (ops.Add(), [MAP, (6, 1, 1)], "add: all shapes must be equal"),
        (ops.Multiply(), [MAP, (1, 5, 5)], "multiply: the second must have the first one's shape"),
        (ops.Multiply(), [(6,), (1,)], "multiply: the second must have the first one's shape"),
        (ops.Concat(), [MAP, (6, 5, 4)], "concat: all sides must be equal"),
        (ops.Concat(), [MAP, (6,)], "concat: all sides must be equal"),
        (ops.Chunk(parts=4, index=0), [MAP], "chunk: 4 parts must divide the channels, but there are 6"),
        (ops.ChannelShuffle(groups=4), [MAP], "channel_shuffle: 4 groups must divide the channels, but got 6"),
        (ops.Select(indices=(6,)), [MAP], "select: indices must be below the 6 channels, but got 6"),
        (ops.SpaceToDepth(block=2), [MAP], r"block 2 must divide the sides, but they are \(5, 5\)"),
        (ops.SpaceToBatch(block=5), [(6, 5, 4)], "space_to_batch: block 5 must divide"),
        (ops.BatchToSpace(block=2), [(2, *MAP)], "batch_to_space: block 2 needs 4 replicas, but gets 2"),
        (ops.BatchToSpace(block=2), [MAP], "needs 4 replicas, but gets 1"),
        (ops.MeanReplicas(), [MAP], "mean_replicas needs replicas, .* put a space_to_batch before it"),
        (ops.Pad(left=-5), [MAP], "at least one pixel must be left"),
        (ops.Pad(left=-6, right=3), [MAP], "at least one pixel must be left"),
    ],
)
def test_impossible_shapes(op: Op, sources: list[Shape], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        op.shape(*sources)
