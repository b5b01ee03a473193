"""Totals against the counters themselves, layer by layer and on whole networks; by hand; every layer has a rule."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, get_args, get_type_hints

import pytest
import torch
import torchinfo
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from search_spaces import INPUT, Architecture, NetworkError, Node, count_cost, ops
from search_spaces.build import build
from search_spaces.conventions import CONVENTIONS, TABLES, count_total
from search_spaces.sketch import Sketch
from search_spaces.zoo import make_network

with warnings.catch_warnings():  # deprecated modules, and escapes that are none
    warnings.simplefilter("ignore")
    import ptflops
    import thop
    from fvcore.nn import FlopCountAnalysis


Tool = Callable[[nn.Module, Tensor], Any]


def _fvcore(module: nn.Module, images: Tensor) -> Any:
    analysis = FlopCountAnalysis(module, images)
    return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()


def _ptflops(module: nn.Module, images: Tensor, **options: str) -> Any:
    shape = tuple(images.shape[1:])
    return ptflops.get_model_complexity_info(module, shape, as_strings=False, print_per_layer_stat=False, **options)[0]


def _torch(module: nn.Module, images: Tensor) -> Any:
    with FlopCounterMode(display=False) as counter:
        module(images)
    return counter.get_total_flops()


TOOLS: dict[str, Tool] = {
    "fvcore": _fvcore,
    "ptflops": _ptflops,
    "thop": lambda module, images: thop.profile(module, inputs=(images,), verbose=False)[0],
    "torchinfo": lambda module, images: torchinfo.summary(module, input_data=images, verbose=0).total_mult_adds,
    "torch": _torch,
}


def report(tool: Tool, architecture: Architecture) -> Any:
    """What the tool says of the built module."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tools call what torch and they themselves deprecate
        return tool(build(architecture).eval(), torch.zeros(1, *architecture.input))


# --- one layer at a time

ON_MAPS: list[ops.Op] = [
    *(ops.Activation(function=function) for function in get_args(get_type_hints(ops.Activation)["function"])),
    *(ops.AdaptivePool(function=f, size=size) for f in ("average", "max") for size in (1, 4, (3, 5), 7)),
    ops.Affine(factors=(2.0,) * 4, offsets=(0.5,) * 4),
    *(ops.BatchNorm(affine=affine) for affine in (True, False)),
    ops.ChannelShuffle(groups=2),
    ops.Chunk(parts=2, index=1),
    ops.Conv(out_channels=6, kernel=(3, 2), stride=(1, 2), padding=1, bias=True),
    ops.Conv(out_channels=6, kernel=3, dilation=2, groups=2, bias=False),
    ops.Depthwise(kernel=3, multiplier=2, bias=True),
    ops.Depthwise(kernel=(1, 5), padding=(0, 2), bias=False),
    *(ops.Dropout(share=0.5, channels=channels) for channels in (True, False)),
    *(ops.Expand(factor=3, bias=bias) for bias in (True, False)),
    ops.Flatten(),
    *(ops.GroupNorm(groups=2, affine=affine) for affine in (True, False)),
    *(ops.LayerNorm(affine=affine) for affine in (True, False)),
    ops.LayerScale(),
    *(ops.PReLU(per_channel=per_channel) for per_channel in (True, False)),
    ops.Pad(left=2, right=-1, top=1),
    *(ops.Pool(function=f, kernel=3, stride=2, padding=1, ceil=c) for f in ("average", "max") for c in (True, False)),
    *(ops.Resize(function=function, size=(5, 9)) for function in ("nearest", "bilinear")),
    ops.Select(indices=(3, 0, 0)),
    ops.SpaceToDepth(block=2),
    ops.StochasticDepth(share=0.2),
    *(ops.Upsample(function=function, factor=3) for function in ("nearest", "bilinear", "zeros")),
]
ON_VECTORS: list[ops.Op] = [
    *(ops.Activation(function=function) for function in ("relu", "softmax", "log_softmax", "gelu")),
    *(ops.BatchNorm(affine=affine) for affine in (True, False)),
    ops.GroupNorm(groups=2),
    *(ops.LayerNorm(affine=affine) for affine in (True, False)),
    ops.LayerScale(),
    *(ops.Linear(out_features=7, bias=bias) for bias in (True, False)),
    *(ops.PReLU(per_channel=per_channel) for per_channel in (True, False)),
    ops.Unflatten(),
]


def chain(sketch: Sketch, name: str, *layers: ops.Op) -> str:
    """Layers one after the other, named name0, name1, ...; the name of the last."""
    for i, layer in enumerate(layers):
        sketch.add(f"{name}{i}", layer)
    return sketch.last


def one_layer(*layers: ops.Op) -> Architecture:
    """A layer after those before it."""
    sketch = Sketch((4, 16, 16))
    chain(sketch, "layer", *layers)
    return sketch.finish()


REPLICAS = ops.SpaceToBatch(block=2)
SINGLE = [
    *(one_layer(*before, op) for op in ON_MAPS for before in ((), (REPLICAS,))),
    *(one_layer(*before, ops.Flatten(), op) for op in ON_VECTORS for before in ((), (REPLICAS,))),
]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("network", SINGLE, ids=lambda network: "-".join(node.op.kind for node in network.nodes))
def test_one_layer(network: Architecture, tool: str) -> None:
    assert count_total(network, tool) == report(TOOLS[tool], network)


# --- whole networks


def dense(side: int) -> Architecture:
    """Layers that read all before them and are summed, then channels shuffled and swapped, each by a factor."""
    sketch = Sketch((3, side, side))
    resize = ops.Resize(function="bilinear", size=12)
    names = [chain(sketch, "image", ops.Affine(factors=(2.0,), offsets=(-1.0,)), resize)]
    for i in range(3):
        sketch.add(f"read{i}", ops.Concat(), *names)
        conv = ops.Conv(out_channels=4, kernel=3, padding=1)
        names.append(chain(sketch, f"layer{i}_", ops.LayerNorm(), ops.PReLU(per_channel=True), conv))
    sketch.add("all", ops.Concat(), *names[2:], sketch.add("sum", ops.Add(), *names[1:]))
    shuffled = sketch.add("shuffle", ops.ChannelShuffle(groups=3))
    halves = [sketch.add(f"half{i}", ops.Chunk(parts=2, index=i), shuffled) for i in (1, 0)]
    swapped = sketch.add("swapped", ops.Concat(), *halves)
    gate = chain(sketch, "gate", ops.AdaptivePool(), ops.Activation(function="sigmoid"))
    sketch.add("squared", ops.Multiply(), *[sketch.add("gated", ops.Multiply(), swapped, gate)] * 2)
    chain(sketch, "depth", ops.Select(indices=(0, 2, 4, 6)), ops.GroupNorm(groups=2), ops.SpaceToDepth(block=2))
    chain(sketch, "wider", ops.Pad(left=1, bottom=2), ops.Upsample(function="bilinear", factor=2))
    return sketch.finish()


def replicas(side: int) -> Architecture:
    """Four small images of each one, put together again, taken apart, and their scores averaged."""
    sketch = Sketch((3, 4 * side, 4 * side))
    chain(sketch, "four", REPLICAS, ops.Conv(out_channels=6, kernel=3), ops.BatchNorm(), ops.BatchToSpace(block=2))
    skip = chain(sketch, "again", REPLICAS, ops.LayerNorm())
    block = sketch.add("block", ops.Conv(out_channels=5, kernel=1))
    sketch.add("short", ops.Shortcut(norm=True), skip, skip, block)
    chain(sketch, "scores", ops.AdaptivePool(size=3), ops.Flatten(), ops.Linear(out_features=4), ops.MeanReplicas())
    sketch.add("map", ops.Unflatten())
    return sketch.finish()


def unused(side: int) -> Architecture:
    """Shortcuts that read what they do not use: a trace leaves it out, tools without one see it run."""
    sketch = Sketch((3, side, side))
    start = sketch.add("start", ops.Conv(out_channels=4, kernel=3))
    other = sketch.add("other", ops.BatchNorm(), start)
    block = sketch.add("block", ops.Conv(out_channels=4, kernel=3, padding=1), start)
    same = sketch.add("same", ops.Shortcut(), start, other, block)
    left = sketch.add("left", ops.GroupNorm(groups=2), same)
    wider = sketch.add("wider", ops.Conv(out_channels=6, kernel=1), same)
    sketch.add("projected", ops.Shortcut(norm=True), left, same, wider)
    return sketch.finish()


NETWORKS = (dense, replicas, unused)
ZOO = ("vgg11", "preact_resnet18", "resnet18", "mobilenet_v2", "mobilenet_v3_small", "densenet121")


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("name", ZOO)
def test_zoo(name: str, tool: str) -> None:
    network = make_network(name, resolution=64)
    assert count_total(network, tool) == report(TOOLS[tool], network)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("side", [8, 13, 32])
@pytest.mark.parametrize("make", NETWORKS)
def test_networks(make: Callable[[int], Architecture], side: int, tool: str) -> None:
    network = make(side)
    assert count_total(network, tool) == report(TOOLS[tool], network)


@pytest.mark.parametrize("make", NETWORKS)
def test_our_own_counts(make: Callable[[int], Architecture]) -> None:
    network = make(16)
    assert count_total(network, "nas") == count_cost(network).macs
    assert count_cost(network).flops == report(lambda module, x: _ptflops(module, x, backend="aten"), network)


pools = st.builds(
    ops.Pool,
    function=st.sampled_from(["max", "average"]),
    kernel=st.integers(2, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 1),
    ceil=st.booleans(),
)
adaptive_pools = st.builds(
    ops.AdaptivePool,
    function=st.sampled_from(["max", "average"]),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
)


@settings(max_examples=60)
@given(pool=pools | adaptive_pools, height=st.integers(4, 40), width=st.integers(4, 40), channels=st.integers(1, 9))
def test_pools(pool: ops.Op, height: int, width: int, channels: int) -> None:
    sketch = Sketch((channels, 40, 40))
    chain(sketch, "layer", ops.Pad(right=width - 40, bottom=height - 40), pool)
    network = sketch.finish()
    for name, tool in TOOLS.items():
        assert count_total(network, name) == report(tool, network), name


def test_thop_loses_one_where_floats_do() -> None:
    network = Architecture(input=(1, 8, 8), nodes=(Node(name="a", op=ops.AdaptivePool(size=7), inputs=(INPUT,)),))
    assert count_total(network, "thop") == report(TOOLS["thop"], network) == 8 * 8 + 7 * 7 - 1


# --- by hand


def small() -> Architecture:
    sketch = Sketch((3, 10, 10))
    chain(sketch, "conv", ops.Conv(out_channels=5, kernel=3), ops.BatchNorm(), ops.Activation(function="relu"))
    chain(sketch, "head", ops.AdaptivePool(), ops.Flatten(), ops.Linear(out_features=2))
    return sketch.finish()


MACS, MAP = 64 * 9 * 3 * 5 + 5 * 2, 64 * 5  # side 8 after the conv


@pytest.mark.parametrize(
    ("convention", "total"),
    [
        ("nas", MACS),
        ("fvcore", MACS + 2 * MAP + MAP),  # norm, pool
        ("ptflops", MACS + (MAP + 2) + 2 * MAP + 2 * MAP + 2 * MAP),  # biases, norm, relu, pool
        ("thop", MACS + 4 * MAP + (64 + 1) * 5),  # norm, pool
        ("torchinfo", MACS + (MAP + 2) + 2 * 5),  # biases, the norm's parameters
        ("torch", 2 * MACS),
    ],
)
def test_by_hand(convention: str, total: int) -> None:
    assert count_total(small(), convention) == total


# --- every layer has a rule, and is compared


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_kind_has_a_rule(convention: str) -> None:
    table = TABLES[convention]
    assert set(table) == set(ops.OPS)
    for kind, rules in table.items():
        if isinstance(rules, Mapping):
            assert set(rules) == set(get_args(get_type_hints(ops.OPS[kind])["function"])), kind


def test_every_kind_is_compared() -> None:
    assert ("nas", *TOOLS) == CONVENTIONS
    networks = [*SINGLE, *(make(16) for make in NETWORKS)]
    assert {node.op.kind for network in networks for node in network.nodes} == set(ops.OPS)


class Novel(ops.Flatten):
    kind: ClassVar = "novel"


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_layer_without_a_rule_is_an_error(convention: str) -> None:
    network = Architecture(input=(1, 2, 2), nodes=(Node(name="new", op=Novel(), inputs=(INPUT,)),))
    with pytest.raises(NetworkError, match=rf"node 'new': {convention} must have a rule .* none for 'novel'"):
        count_total(network, convention)


def test_a_function_without_a_rule_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search_spaces.conventions.TABLES", {"thop": {"adaptive_pool": {}}})
    with pytest.raises(NetworkError, match=r"thop must have a rule .* none for 'adaptive_pool average'"):
        count_total(one_layer(ops.AdaptivePool()), "thop")


def test_unknown_convention() -> None:
    with pytest.raises(NetworkError, match=r"convention must be one of nas, fvcore, .*, but got 'flops'"):
        count_total(small(), "flops")
