"""Edits: shapes that they keep, outputs where a theorem says which, and errors."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from search_spaces import INPUT, Activation, Architecture, Conv, Flatten, Linear, NetworkError, Pool, count_cost
from search_spaces.build import build
from search_spaces.edits import (
    classifier,
    dilate,
    feed_by_space_to_depth,
    insert,
    replace_stem,
    skip_strides,
    stem,
    with_classes,
    with_resolution,
)
from search_spaces.ops import AdaptivePool, Add, BatchNorm, Chunk, Depthwise, Multiply, Op
from search_spaces.sketch import Sketch
from search_spaces.torchvision_networks import trace_torchvision
from search_spaces.zoo import make_network


def network_of(*layers: Op, side: int = 16) -> Architecture:
    """A chain of layers n0, n1, ... on three channels."""
    sketch = Sketch((3, side, side))
    for i, layer in enumerate(layers):
        sketch.add(f"n{i}", layer)
    return sketch.finish()


def sides(network: Architecture) -> dict[str, int]:
    return {name: shape[-1] for name, shape in network.shapes.items() if len(shape) >= 3 and name != INPUT}


# --- resolution, classes


def test_resolution() -> None:
    network = make_network("resnet18")
    small = with_resolution(network, 96)
    assert (small.resolution, small.output) == (96, (1000,))
    assert small.nodes == network.nodes
    with pytest.raises(NetworkError, match="node 'features_12': pool: the kernel must fit into the padded input"):
        with_resolution(trace_torchvision("alexnet").architecture, 32)
    with pytest.raises(NetworkError, match="input must be three positive integers"):
        with_resolution(network, 0)


@pytest.mark.parametrize(
    "name", ["resnet18", "squeezenet1_0", "densenet121", "vgg11", "googlenet", "mobilenet_v3_small"]
)
def test_classes_are_torchvisions(name: str) -> None:
    network = trace_torchvision(name).architecture
    changed = with_classes(network, 7)
    assert changed == trace_torchvision(name, classes=7).architecture
    assert changed.output == (7,)
    assert with_classes(changed, 1000) == network


@pytest.mark.parametrize(
    ("tail", "classes"),
    [
        ((Conv(out_channels=5, kernel=1), BatchNorm(), AdaptivePool(), Flatten()), 3),
        ((Conv(out_channels=5, kernel=16), Flatten(), Activation(function="log_softmax")), 4),
        ((Flatten(), Linear(out_features=5)), 2),
    ],
)
def test_classes_behind_other_layers(tail: tuple[Op, ...], classes: int) -> None:
    assert with_classes(network_of(*tail), classes).output == (classes,)


def gated_head() -> Architecture:
    sketch = Sketch((3, 4, 4))
    sketch.add("flatten", Flatten())
    whole = sketch.add("linear", Linear(out_features=6))
    gate = sketch.add("gate", Chunk(parts=2, index=0), whole)
    sketch.add("scores", Multiply(), sketch.add("other", Chunk(parts=2, index=1), whole), gate)
    return sketch.finish()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (gated_head(), r"must come from a linear layer or a conv .* but 'scores' \(multiply\) makes them"),
        (network_of(Conv(out_channels=5, kernel=1), Flatten()), r"but 'n1' \(flatten\) makes them"),
        (network_of(Depthwise(kernel=16), Flatten()), r"but 'n0' \(depthwise\) makes them"),
        (network_of(Activation(function="relu")), r"but 'n0' \(activation\) makes them"),
    ],
)
def test_no_classifier(network: Architecture, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        with_classes(network, 3)


def test_impossible_classes() -> None:
    network = make_network("resnet18")
    assert classifier(network).name == "classifier"
    with pytest.raises(NetworkError, match="linear: out_features must be an integer of at least 1"):
        with_classes(network, 0)


# --- insert, stem


def test_insert() -> None:
    network = network_of(Conv(out_channels=4, kernel=3, padding=1), Activation(function="relu"))
    pool = Pool(function="max", kernel=2, stride=2)
    assert sides(insert(network, "pool", pool, after="n0")) == {"n0": 16, "pool": 8, "n1": 8}
    assert sides(insert(network, "pool", pool, after=INPUT)) == {"pool": 8, "n0": 8, "n1": 8}
    behind = insert(network, "pool", pool, after="n1")
    assert behind.output == (4, 8, 8)
    assert behind.nodes[:-1] == network.nodes
    skip = Sketch((3, 8, 8))
    skip.add("a", Conv(out_channels=3, kernel=1))
    skip.add("add", Add(), "a", INPUT)
    inserted = insert(skip.finish(), "norm", BatchNorm(), after=INPUT)
    assert [node.inputs for node in inserted.nodes] == [(INPUT,), ("norm",), ("a", "norm")]  # all readers


@pytest.mark.parametrize(
    ("name", "op", "after", "message"),
    [
        ("new", BatchNorm(), "n9", "the network must have a node 'n9'"),
        ("n1", BatchNorm(), "n0", "node names must be letters, digits and _ and differ, but got 'n1'"),
        ("new", Linear(out_features=3), "n0", "node 'new': linear needs a vector"),
    ],
)
def test_wrong_insertions(name: str, op: Op, after: str, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        insert(network_of(Conv(out_channels=4, kernel=3), BatchNorm()), name, op, after=after)


def test_replaced_stem() -> None:
    network = make_network("resnet18", resolution=64)
    changed = replace_stem(network, kernel=3, stride=1, padding=1)
    assert stem(changed).op == Conv(out_channels=64, kernel=3, padding=1, bias=False)
    assert changed.shapes["stem"] == (64, 64, 64)
    assert changed.nodes[1:] == network.nodes[1:]
    with pytest.raises(NetworkError, match="a conv has no field of these: size, stride"):
        replace_stem(network, size=3, stride=1)
    with pytest.raises(NetworkError, match="conv: kernel must be an integer of at least 1"):
        replace_stem(network, kernel=0)
    two = Sketch((3, 8, 8))
    two.add("a", Conv(out_channels=3, kernel=1), INPUT)
    two.add("add", Add(), "a", INPUT)
    with pytest.raises(NetworkError, match=r"one conv must read the image, but a, add do\(es\)"):
        replace_stem(two.finish(), stride=1)
    with pytest.raises(NetworkError, match=r"one conv must read the image, but n0 do\(es\)"):
        stem(network_of(BatchNorm(), Conv(out_channels=4, kernel=3)))


# --- space to depth, dilation, strides


@settings(max_examples=30)
@given(block=st.integers(1, 4), kernel=st.integers(1, 3), stride=st.integers(1, 2), side=st.integers(3, 6))
def test_space_to_depth_is_one_large_conv(block: int, kernel: int, stride: int, side: int) -> None:
    """Section 3 of Sandler et al.: a conv C x C behind it is one of kC x kC with k times the stride and padding."""
    conv = Conv(out_channels=4, kernel=kernel, stride=stride, padding=kernel // 2)
    head = (conv, Activation(function="relu"), AdaptivePool(), Flatten())
    network = replace_stem(network_of(*head, side=side), out_channels=5)
    fed = feed_by_space_to_depth(network, block)
    assert fed.input == (3, side * block, side * block)
    assert fed.shapes["space_to_depth"] == (3 * block**2, side, side)
    assert {name: fed.shapes[name] for name in sides(network)} == {
        name: network.shapes[name] for name in sides(network)
    }
    module = build(fed).double()
    weight, bias = module.get_parameter("n0.weight"), module.get_parameter("n0.bias")
    blocks = weight.reshape(5, 3, block, block, kernel, kernel)
    large = blocks.permute(0, 1, 4, 2, 5, 3).reshape(5, 3, block * kernel, block * kernel)
    images = torch.rand(2, *fed.input, dtype=torch.float64)
    expected = F.conv2d(images, large, bias, stride=block * stride, padding=block * (kernel // 2))
    assert torch.allclose(module(images), expected.relu().mean((2, 3)), rtol=1e-5)


def test_space_to_depth_of_impossible_blocks() -> None:
    with pytest.raises(NetworkError, match="space_to_depth: block must be an integer of at least 1"):
        feed_by_space_to_depth(make_network("lenet"), 0)


@given(
    kernel=st.sampled_from((1, 3, 5, (3, 5), (1, 3))),
    dilation=st.integers(1, 2),
    padding=st.integers(0, 3),
    rate=st.integers(1, 4),
    is_depthwise=st.booleans(),
)
def test_dilated_convs_keep_their_sides(
    kernel: Any, dilation: int, padding: int, rate: int, is_depthwise: bool
) -> None:
    settings_: dict[str, Any] = {"kernel": kernel, "dilation": dilation, "padding": padding}
    conv = Depthwise(**settings_) if is_depthwise else Conv(out_channels=4, **settings_)
    network = network_of(BatchNorm(), conv, BatchNorm())
    dilated = dilate(network, {"n1": rate})
    assert dilated.shapes == network.shapes
    assert count_cost(dilated) == count_cost(network)
    op = dilated.node("n1").op
    assert isinstance(op, Conv | Depthwise)
    assert op.dilation == dilation * rate
    with torch.no_grad():
        assert build(dilated).eval()(torch.rand(1, 3, 16, 16)).shape[1:] == network.output


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"n0": 2}, "node 'n0' must be a conv of stride 1 to be dilated, but is not"),
        ({"n1": 2}, "node 'n1' must be a conv of stride 1"),
        ({"n2": 2}, "node 'n2': a dilation by 2 must pad by whole pixels, but kernel 2 is even"),
        ({"n3": 0}, "node 'n3': a rate of dilation must be an integer of at least 1, but got 0"),
        ({"n9": 2}, "the network must have a node 'n9'"),
    ],
)
def test_what_cannot_be_dilated(names: dict[str, int], message: str) -> None:
    layers = [Conv(out_channels=4, kernel=kernel, stride=stride) for kernel, stride in ((3, 2), (2, 1), (3, 1))]
    with pytest.raises(NetworkError, match=message):
        dilate(network_of(layers[0], BatchNorm(), *layers[1:]), names)


def test_even_kernels_are_dilated_where_padding_is_whole() -> None:
    network = network_of(Conv(out_channels=4, kernel=2))
    assert dilate(network, {"n0": 3}).shapes == network.shapes


@pytest.mark.parametrize("factor", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "vgg11", "densenet121", "mobilenet_v3_small"])
def test_skipped_strides_keep_later_sides(name: str, factor: int) -> None:
    network = trace_torchvision(name).architecture
    skipped = skip_strides(network, factor)
    side = 224 // factor
    assert skipped.resolution == side
    kept = {name: (shape[0], *(min(n, side) for n in shape[1:])) for name, shape in network.shapes.items()}
    assert skipped.shapes == kept
    assert count_cost(skipped).params == count_cost(network).params


def test_pools_without_overlap_become_the_identity() -> None:
    pool = Pool(function="max", kernel=2, stride=2)
    skipped = skip_strides(network_of(pool, Pool(function="max", kernel=3, stride=2, padding=1)), 2)
    assert skipped.node("n0").op == Pool(function="max", kernel=1, stride=1)
    assert skipped.node("n1").op == Pool(function="max", kernel=3, stride=2, padding=1)
    overlapping = skip_strides(network_of(Pool(function="max", kernel=3, stride=2, padding=1)), 2)
    assert overlapping.node("n0").op == Pool(function="max", kernel=3, stride=1, padding=1)


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (3, "the factor must divide the resolution 16, but is 3"),
        (0, "the factor must divide the resolution 16, but is 0"),
        (-2, "the factor must divide the resolution 16, but is -2"),
        (2.0, "the factor must divide the resolution 16, but is 2.0"),
        (2, "the early strides must multiply to 2, but node 'n0' of stride 4 comes where the image is 1 times smaller"),
        (8, "the early strides must multiply to 8, but all strides multiply to 4"),
    ],
)
def test_strides_that_cannot_be_skipped(factor: Any, message: str) -> None:
    network = network_of(Conv(out_channels=4, kernel=4, stride=4), Conv(out_channels=4, kernel=3, padding=1))
    with pytest.raises(NetworkError, match=message):
        skip_strides(network, factor)
