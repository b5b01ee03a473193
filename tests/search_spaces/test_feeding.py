"""Ways to feed an image, and the dilated network: sides, costs, and what torch computes."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from search_spaces import INPUT, Architecture, Conv, NetworkError, Pool, count_cost
from search_spaces.build import build
from search_spaces.edits import dilate, skip_strides, stem
from search_spaces.feeding import WAYS, Way, dilated, feed
from search_spaces.ops import BatchToSpace, Depthwise, Op, Pad, SpaceToBatch, Upsample, is_map, pair
from search_spaces.sketch import Sketch
from search_spaces.torchvision_networks import trace_torchvision
from search_spaces.zoo import ZOO, make_network

STRIDED = sorted(set(ZOO) - {"isometric", "lenet"})
TRACED = ("resnet18", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "googlenet", "shufflenet_v2_x1_0")


def network_of(name: str) -> Architecture:
    if name.startswith("torchvision:"):
        return trace_torchvision(name.partition(":")[2], resolution=224).architecture
    return make_network(name, resolution=224)


def map_sides(network: Architecture) -> dict[str, int]:
    return {name: shape[-1] for name, shape in network.shapes.items() if is_map(shape) and name != INPUT}


# --- skipped strides


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("name", [*STRIDED, *(f"torchvision:{name}" for name in TRACED)])
def test_skipped_strides_keep_every_side_behind_them(name: str, factor: int) -> None:
    network = network_of(name)
    skipped = feed(network, "skip-stride", factor)
    assert skipped.resolution == 224 // factor
    assert map_sides(skipped) == {name: min(side, 224 // factor) for name, side in map_sides(network).items()}
    assert skipped.output == network.output
    assert count_cost(skipped).params == count_cost(network).params


@pytest.mark.parametrize(
    ("name", "factor", "padded"),
    [
        ("squeezenet1_0", 2, {"features_0_pad": Pad(left=1, top=1, right=2, bottom=2)}),
        ("alexnet", 4, {"features_0_pad": Pad(left=4, top=4, right=5, bottom=5)}),
        ("convnext_tiny", 8, {f"features_{i}_pad": Pad(left=n - 1, top=n - 1, right=n, bottom=n)
                              for i, n in (("0_0", 2), ("2_1", 1))}),
    ],
)  # fmt: skip
def test_odd_paddings(name: str, factor: int, padded: dict[str, Op]) -> None:
    network = network_of(f"torchvision:{name}")
    skipped = feed(network, "skip-stride", factor)
    sides = map_sides(skipped)
    added = {node.name: node.op for node in skipped.nodes if node.name not in network.shapes}
    assert added == padded
    assert {one: side for one, side in sides.items() if one not in added} == {
        one: min(side, 224 // factor) for one, side in map_sides(network).items()
    }
    assert count_cost(skipped).params == count_cost(network).params


@pytest.mark.parametrize("resolution", [72, 100, 104])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_large", "densenet121", "vgg11"])
def test_skipped_strides_where_halves_are_rounded(name: str, resolution: int) -> None:
    network = make_network(name, resolution=resolution)
    skipped = feed(network, "skip-stride", 4)
    expected = {name: min(side, resolution // 4) for name, side in map_sides(network).items()}
    assert map_sides(skipped) == expected


def chain(side: int, *layers: Op) -> Architecture:
    sketch = Sketch((3, side, side))
    for i, layer in enumerate(layers):
        sketch.add(f"n{i}", layer)
    return sketch.finish()


@given(
    kernel=st.integers(1, 7),
    stride=st.integers(2, 4),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 2),
    blocks=st.integers(3, 9),
    kind=st.sampled_from((Conv, Depthwise, Pool)),
)
def test_one_layers_side_is_kept_or_refused(
    kernel: int, stride: int, padding: int, dilation: int, blocks: int, kind: Any
) -> None:
    """Refused exactly where it is a pool's and no padding by whole pixels on both sides keeps it."""
    fields: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": min(padding, kernel // 2)}
    extra = {Conv: {"out_channels": 2, "dilation": dilation}, Depthwise: {"dilation": dilation}}
    op = kind(**fields, **extra.get(kind, {"function": "max"}))
    span = (dilation if kind is not Pool else 1) * (kernel - 1)
    try:
        network = chain(stride * blocks, op)
    except NetworkError:
        return
    wanted = network.shapes["n0"][-1]
    twice = wanted - blocks + span
    possible = kind is not Pool or (twice >= 0 and twice % 2 == 0 and twice <= kernel)
    if possible or (kernel == stride and wanted == blocks):
        skipped = skip_strides(network, stride)
        assert skipped.shapes["n0"] == network.shapes["n0"]
        assert skipped.resolution == blocks
        assert count_cost(skipped).params == count_cost(network).params
        assert count_cost(skipped).macs == count_cost(network).macs
    else:
        with pytest.raises(NetworkError, match=r"node 'n0': (without early strides its map must stay|pool: )"):
            skip_strides(network, stride)


def test_a_side_that_cannot_be_kept_is_an_error() -> None:
    """A maximum is not padded with zeros."""
    with pytest.raises(NetworkError, match="node 'features_6': without early strides its map must stay 27 px, but"):
        feed(network_of("torchvision:squeezenet1_0"), "skip-stride", 8)
    padded = feed(network_of("torchvision:googlenet"), "skip-stride", 4).node("maxpool1").op
    assert isinstance(padded, Pool)
    assert (padded.stride, padded.padding) == (1, 1)  # the pool had none


# --- the other ways


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["mobilenet_v3_large", "resnet18", "torchvision:mobilenet_v2"])
def test_ways_of_one_network(name: str, way: Way) -> None:
    network = network_of(name)
    fed = feed(network, way, 2)
    assert fed.resolution == (224 if way == "space-to-depth" else 112)
    behind = {name: shape for name, shape in network.shapes.items() if is_map(shape) and shape[-1] <= 112}
    behind.pop(INPUT, None)
    kept = all(fed.shapes[name] == shape for name, shape in behind.items())
    assert kept == (way != "resolution")
    cost, before = count_cost(fed), count_cost(network)
    if way == "space-to-depth":  # the first conv reads four times the channels
        first = stem(network).op
        assert isinstance(first, Conv)
        added = 3 * 3 * first.out_channels * pair(first.kernel)[0] ** 2
        assert cost.params == before.params + added
        assert cost.macs == before.macs + added * 112**2
    else:
        assert cost.params == before.params
    if way in ("upsample", "upsample-zeros", "skip-stride"):
        assert cost.macs == before.macs
    if way == "resolution":
        assert cost.macs < 0.3 * before.macs
    with torch.no_grad():
        small = feed(make_network("mobilenet_v3_small:alpha=0.25", resolution=64, classes=3), way, 2)
        assert build(small).eval()(torch.rand(1, *small.input)).shape == (1, 3)


def folded_kernel(weight: Tensor, block: int) -> Tensor:
    """A conv's weights [O, block^2 I, C, C] behind a space-to-depth as those [O, I, block C, block C] of one conv.

    Channel i block^2 + y block + x of the folded image is pixel (y, x) of each block of channel i.
    """
    out, channels, height, width = weight.shape
    parts = weight.reshape(out, channels // block**2, block, block, height, width)
    return parts.permute(0, 1, 4, 2, 5, 3).reshape(out, -1, height * block, width * block)


@pytest.mark.parametrize("factor", [2, 4])
def test_space_to_depth_is_one_conv_of_a_larger_kernel(factor: int) -> None:
    """Figure 1c on MobileNetV3: the 3 x 3 conv becomes one of 3k x 3k and stride k."""
    network = make_network("mobilenet_v3_small", resolution=32 * factor, classes=3)
    fed = feed(network, "space-to-depth", factor)
    module = build(fed).eval()
    seen: dict[str, Tensor] = {}
    module.get_submodule("stem").register_forward_hook(lambda _, __, out: seen.update(stem=out))
    images = torch.rand(2, *fed.input)
    with torch.no_grad():
        module(images)
        weight = folded_kernel(module.get_parameter("stem.weight"), factor)
        expected = F.conv2d(images, weight, stride=factor, padding=factor)
    assert weight.shape == (16, 3, 3 * factor, 3 * factor)
    assert torch.allclose(seen["stem"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", ["upsample", "upsample-zeros"])
def test_upsampled_images_reach_the_same_network(way: Way) -> None:
    network = make_network("lenet", resolution=16, classes=3)
    fed = feed(network, way, 2)
    module, original = build(fed).eval(), build(network).eval()
    original.load_state_dict(module.state_dict())
    images = torch.rand(2, *fed.input)
    if way == "upsample":
        large = F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)
    else:
        large = torch.zeros(2, *network.input)
        large[:, :, ::2, ::2] = images
    with torch.no_grad():
        assert torch.equal(module(images), original(large))


def test_a_second_upsampling_has_a_name_of_its_own() -> None:
    twice = feed(feed(make_network("lenet", resolution=16), "upsample", 2), "upsample-zeros", 4)
    assert [node.name for node in twice.nodes[:2]] == ["upsample_2", "upsample"]
    assert twice.nodes[0].op == Upsample(function="zeros", factor=4)
    assert (twice.resolution, twice.shapes["upsample"][-1]) == (2, 16)


@pytest.mark.parametrize(
    ("way", "factor", "message"),
    [
        ("stretch", 2, "the way must be one of skip-stride, upsample, .*resolution, but got 'stretch'"),
        ("upsample", 3, "the factor must divide the resolution 64, but is 3; use one of 2, 4, 8, 16, 32, 64"),
        ("resolution", 0, "but is 0"),
        ("resolution", -2, "but is -2"),
        ("upsample", 2.0, "but is 2.0"),
        ("skip-stride", 64, "multiply to 64, but all strides multiply to 16; use the way upsample or"),
        ("space-to-depth", 32, "the early strides must multiply to 32, but all strides multiply to 16"),
    ],
)
def test_wrong_ways(way: Any, factor: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        feed(make_network("mobilenet_v3_small:stem=64"), way, factor)


# --- dilation


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "torchvision:mobilenet_v3_large", "mobilenet_v1"])
def test_the_dilated_network(name: str) -> None:
    network = network_of(name)
    changed = dilated(network)
    assert changed.shapes == network.shapes
    kernels = {(3, 1): (3, 2), (5, 1): (5, 2), (3, 2): (5, 1), (5, 2): (5, 1)}  # kernel and stride; kernel and dilation
    grown = 0
    for node, after in zip(network.nodes, changed.nodes, strict=True):
        if isinstance(node.op, Depthwise) and isinstance(after.op, Depthwise):
            assert (after.op.kernel, after.op.dilation) == kernels[node.op.kernel, node.op.stride]  # type: ignore[index]
            assert after.op.stride == node.op.stride
            if (node.op.kernel, node.op.stride) == (3, 2):
                grown += (25 - 9) * network.shapes[node.name][0]
        else:
            assert after == node
    assert grown > 0
    assert count_cost(changed).params == count_cost(network).params + grown


def test_dilated_rectangles() -> None:
    network = chain(
        16,
        Depthwise(kernel=(3, 7), stride=2, padding=(1, 3)),
        Depthwise(kernel=(1, 3), padding=(0, 1)),
        Depthwise(kernel=3, stride=2, padding=3, dilation=(3, 2)),
    )
    changed = dilated(network)
    assert changed.shapes == network.shapes
    assert changed.node("n0").op == Depthwise(kernel=(5, 7), stride=2, padding=(2, 3))
    assert changed.node("n1").op == Depthwise(kernel=(1, 3), padding=(0, 2), dilation=2)
    assert changed.node("n2").op == Depthwise(kernel=5, stride=2, padding=(6, 5), dilation=(3, 2))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (make_network("resnet18"), "a dilated network needs depthwise convs, but this one has none"),
        (chain(8, Depthwise(kernel=1)), "needs depthwise convs"),
        (chain(8, Depthwise(kernel=2, stride=2)), "node 'n0': a kernel must be odd to become 5 x 5, but is 2"),
        (chain(8, Depthwise(kernel=(2, 3))), "node 'n0': a dilation by 2 must pad by whole pixels, but kernel"),
    ],
)
def test_what_cannot_be_dilated(network: Architecture, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        dilated(network)


@given(
    kernel=st.sampled_from((1, 3, 5)),
    half=st.integers(2, 6),
    channels=st.integers(1, 3),
    is_depthwise=st.booleans(),
    rate=st.integers(1, 3),
)
def test_dilation_is_the_conv_between_space_to_batch_and_back(
    kernel: int, half: int, channels: int, is_depthwise: bool, rate: int
) -> None:
    """Section 2 names it, section 7.5 builds on it."""
    fields: dict[str, Any] = {"kernel": kernel, "padding": kernel // 2}
    conv: Op = Depthwise(**fields) if is_depthwise else Conv(out_channels=2, **fields)
    side = half * rate
    sketch = Sketch((channels, side, side))
    sketch.add("conv", conv)
    replicas = Sketch((channels, side, side))
    replicas.add("space_to_batch", SpaceToBatch(block=rate))
    replicas.add("conv", conv)
    replicas.add("batch_to_space", BatchToSpace(block=rate))
    one, other = build(dilate(sketch.finish(), {"conv": rate})).double(), build(replicas.finish()).double()
    other.load_state_dict(one.state_dict())
    images = torch.rand(2, channels, side, side, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(one(images), other(images), rtol=1e-12, atol=1e-12)


@given(block=st.integers(1, 4), height=st.integers(1, 3), channels=st.integers(1, 3))
def test_space_to_batch_and_back(block: int, height: int, channels: int) -> None:
    side = block * height
    network = chain(side, SpaceToBatch(block=block), BatchToSpace(block=block))
    images = torch.rand(2, 3, side, side)
    module = build(network)
    assert torch.equal(module(images), images)
    replicas = module.get_submodule("n0")(images)
    assert replicas.shape == (2 * block**2, 3, height, height)
    for row in range(block):  # replica by replica, the image's first
        for column in range(block):
            assert torch.equal(replicas[row * block + column], images[0, :, row::block, column::block])


def test_dilated_networks_run() -> None:
    network = dilated(make_network("mobilenet_v3_small:alpha=0.25,stem=32", classes=3))
    with torch.no_grad():
        assert build(network).eval()(torch.rand(1, 3, 32, 32)).shape == (1, 3)
