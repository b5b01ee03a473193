"""MSNets against the same run by hand in torch, the paper's costs, and edits of the base instead."""

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from search_spaces import INPUT, Architecture, Conv, Flatten, Linear, NetworkError, count_cost
from search_spaces.build import Network
from search_spaces.edits import with_channels, with_classes, with_resolution
from search_spaces.exits import exit_costs, segments
from search_spaces.multi_scale import UPSAMPLINGS, Upsampling, multi_scale
from search_spaces.sketch import Sketch
from search_spaces.stages import find_stages
from search_spaces.torchvision_networks import trace_torchvision
from search_spaces.width_groups import find_width_groups
from search_spaces.widths import scale_widths, with_widths
from search_spaces.zoo import make_network
from tests.search_spaces.random_exits import early
from tests.search_spaces.random_stages import staged_networks
from tests.search_spaces.trained_networks import images_for, trained


def by_hand(base: Architecture, network: Network, images: Tensor, upsampling: Upsampling) -> list[Tensor]:
    """Both networks layer by layer in torch, with the modules of the MSNet; every feature is kept."""
    ends = {base.nodes[stop - 1].name for stop in find_stages(base)}
    corners = None if upsampling == "nearest" else False
    scores: list[Tensor] = []
    lows: dict[str, Tensor] = {}
    for prefix, seen in (("low", F.avg_pool2d(images, 2, ceil_mode=True)), ("high", images)):
        values = {INPUT: seen}
        for node in base.nodes:
            layer = network.get_submodule(f"{prefix}_{node.name}")
            value = layer(*(values[name] for name in base.reads(node)))
            if prefix == "low":
                lows[node.name] = value
            elif node.name in ends:
                up = F.interpolate(lows[node.name], scale_factor=2.0, mode=upsampling, align_corners=corners)
                height, width = value.shape[-2:]
                up = F.pad(up, (0, width - up.shape[-1], 0, height - up.shape[-2]))
                value = value + up
            values[node.name] = value
        scores.append(values[base.nodes[-1].name])
    return scores


def assert_as_by_hand(base: Architecture, upsampling: Upsampling) -> None:
    network = trained(multi_scale(base, upsampling=upsampling)).eval()
    images = images_for(network, 2)
    with torch.no_grad():
        for given_, expected in zip(network.exits(images), by_hand(base, network, images, upsampling), strict=True):
            assert torch.allclose(given_, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(base=staged_networks(), side=st.integers(13, 24), upsampling=st.sampled_from(UPSAMPLINGS))
def test_random_networks(base: Architecture, side: int, upsampling: Upsampling) -> None:
    """At any side: features are cropped or padded."""
    assert_as_by_hand(with_resolution(base, side), upsampling)


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("name", ["resnet18:stem=64", "mobilenet_v3_small", "vgg11", "preact_resnet18"])
def test_networks_of_the_zoo(name: str, upsampling: Upsampling) -> None:
    base = scale_widths(make_network(name, resolution=66 if name == "vgg11" else 50, classes=5), 0.125)
    assert_as_by_hand(base, upsampling)


def test_a_traced_network() -> None:
    base = scale_widths(trace_torchvision("squeezenet1_1", resolution=66, classes=5).architecture, 0.125)
    assert_as_by_hand(base, "bilinear")


def test_features_are_cropped_and_padded() -> None:
    """Of 7 px ResNet18 has 4 at half the side: 8 are cropped. DenseNet's pools round down to 3: 6 are padded."""
    for name, (less, more) in {"resnet18": (4, 7), "densenet121": (3, 7)}.items():
        network = multi_scale(make_network(name))
        shapes = network.shapes
        fits = [node for node in network.nodes if node.name.endswith("_fit")]
        assert [node.name for node in fits] == ["high_stage4_fit"]
        assert shapes["high_stage4_up"][-1] == 2 * less
        assert shapes["high_stage4_fit"][-1] == shapes["high_stage4_sum"][-1] == more


def test_an_odd_image_is_halved_with_its_last_pixels() -> None:
    network = trained(multi_scale(make_network("preact_resnet18", resolution=9)))
    image = torch.arange(81.0).reshape(1, 1, 9, 9).expand(1, 3, 9, 9)
    half = network.get_submodule("low_image")(image)
    assert half.shape == (1, 3, 5, 5)
    assert half[0, 0, 0, 0] == (0 + 1 + 9 + 10) / 4
    assert half[0, 0, 0, 4] == (8 + 17) / 2
    assert half[0, 0, 4, 4] == 80


# --- costs


@pytest.mark.parametrize(
    ("name", "side", "low", "high"),
    [  # millions of MACs in tables 1 to 3, which do not name all low networks'
        ("resnet18", 256, 597, 2386),
        ("mobilenet_v1", 256, 186, 743),
        ("mobilenet_v1:alpha=0.75", 256, None, 425),
        ("mobilenet_v1:alpha=0.5", 256, None, 195),
        ("mobilenet_v1:alpha=0.25", 256, None, 54),
        ("densenet121", 224, None, 2800),
    ],
)
def test_costs_are_the_bases_twice(name: str, side: int, low: int | None, high: int) -> None:
    base, half = (make_network(name, resolution=pixels) for pixels in (side, side // 2))
    network = multi_scale(base)
    first, second = exit_costs(network)
    assert (first.macs, second.macs) == (count_cost(half).macs, count_cost(base).macs)
    assert first.params == second.params == count_cost(base).params
    assert count_cost(network).params == 2 * count_cost(base).params
    assert (first.name, second.name) == ("low_classifier", "high_classifier")
    assert len(first.reused) == 0
    assert second.reused == tuple(f"low_{base.nodes[stop - 1].name}" for stop in find_stages(base))
    assert low is None or first.macs / 1e6 == pytest.approx(low, rel=0.01)
    assert second.macs / 1e6 == pytest.approx(high, rel=0.015)


def test_the_low_network_runs_first() -> None:
    network = multi_scale(make_network("mobilenet_v1"))
    low, high = segments(network)
    assert network.nodes == (*low, *high)
    assert all(node.name.startswith("low_") for node in low)
    assert all(node.name.startswith("high_") for node in high)
    assert sum(node.op.kind == "upsample" for node in high) == 5


# --- edits of it are those of its base


@settings(max_examples=20)
@given(base=staged_networks(), factor=st.sampled_from((0.5, 1.5, 2.0)))
def test_edits_commute(base: Architecture, factor: float) -> None:
    base = with_resolution(base, 16)
    network = multi_scale(base)
    assert scale_widths(network, factor) == multi_scale(scale_widths(base, factor))
    assert with_classes(network, 3) == multi_scale(with_classes(base, 3))
    assert with_channels(network, 1) == multi_scale(with_channels(base, 1))
    assert with_resolution(network, 32) == multi_scale(with_resolution(base, 32))
    assert Architecture.from_json(network.to_json()) == network


def test_widths_of_both_are_tied_where_they_are_added() -> None:
    network = multi_scale(make_network("mobilenet_v1:stem=32", classes=10))
    groups = find_width_groups(network).groups
    tied = [group.layers for group in groups if len(group.layers) > 1]
    assert tied == [(f"low_block{i}_pointwise", f"high_block{i}_pointwise") for i in (2, 4, 10, 12)]
    changed = with_widths(network, [8 + i for i, _ in enumerate(groups)])
    assert changed.shapes["low_block4_pointwise"][0] == changed.shapes["high_block4_pointwise"][0]
    assert changed.shapes["low_block3_pointwise"][0] != changed.shapes["high_block3_pointwise"][0]
    assert changed.exits == ("low_classifier",)


def test_a_resolution_of_other_pads_is_an_error() -> None:
    with pytest.raises(NetworkError, match="node 'high_stage4_sum': add: all shapes must be equal"):
        with_resolution(multi_scale(make_network("resnet18")), 256)


def test_names_that_are_taken() -> None:
    sketch = Sketch((1, 8, 8))
    longest = "x" * 64
    for name in ("image", "stage1_up", "stage1_sum", longest):
        sketch.add(name, Conv(out_channels=2, kernel=3, padding=1))
    sketch.add("flatten", Flatten())
    sketch.add("scores", Linear(out_features=2))
    network = multi_scale(sketch.finish())
    assert [node.name for node in network.nodes][:2] == ["low_image", "low_image_2"]
    assert network.node("high_stage1_sum_2").inputs == (f"high_{longest[:59]}", "high_stage1_up_2")


# --- what cannot be


def with_map() -> Architecture:
    sketch = Sketch((3, 8, 8))
    sketch.add("conv", Conv(out_channels=2, kernel=3, padding=1))
    return sketch.finish()


def flat() -> Architecture:
    sketch = Sketch((3, 8, 8))
    sketch.add("flatten", Flatten())
    sketch.add("scores", Linear(out_features=2))
    return sketch.finish()


@pytest.mark.parametrize(
    ("base", "upsampling", "message"),
    [
        (make_network("lenet"), "zeros", "the upsampling must be one of nearest, bilinear, but got 'zeros'"),
        (with_map(), "nearest", r"needs one with one answer, a score a class, but it is \(2, 8, 8\)"),
        (early(), "nearest", "needs one with one answer, a score a class, but it exits at early, too"),
        (multi_scale(make_network("lenet")), "nearest", "but it exits at low_classifier, too"),
        (flat(), "nearest", "a multi-scale network needs a stage: layers with weights, .* this network has none"),
        (
            make_network("vgg11"),
            "nearest",
            "needs one that can be at half its resolution, 16 px, but there: node 'pool8': pool: the kernel must fit",
        ),
        (
            make_network("isometric:depth=1,internal=14", resolution=100),
            "nearest",
            "'head_hardswish' is 14 x 14 px in the low network and 14 x 14 px in the high one; use a network whose",
        ),
    ],
)
def test_what_has_no_scales(base: Architecture, upsampling: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        multi_scale(base, upsampling=upsampling)
