"""Parallel isometric networks: the same as running the network on each part of an image by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from search_spaces import Architecture, Conv, NetworkError, count_cost
from search_spaces.build import build
from search_spaces.edits import with_resolution
from search_spaces.feeding import feed
from search_spaces.ops import BatchNorm
from search_spaces.parallel import ORDERS, Order, parallel
from search_spaces.sketch import Sketch
from search_spaces.zoo import make_network
from search_spaces.zoo.isometric import isometric


def small(**settings: int) -> Architecture:
    values: dict[str, int] = {"depth": 2, "internal": 4, "resolution": 12} | settings
    return isometric(multiplier=0.1, classes=5, **values)


def parts_of(images: Tensor, block: int, patch: int) -> list[Tensor]:
    """Sub-images by hand: every block-th patch of so many pixels, in both directions."""
    side = images.shape[-1]
    parts = []
    for row in range(block):
        for column in range(block):
            rows = [i for i in range(side) if (i // patch) % block == row]
            columns = [i for i in range(side) if (i // patch) % block == column]
            parts.append(images[:, :, rows][:, :, :, columns])
    return parts


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("block", [1, 2, 3])
@pytest.mark.parametrize("settings", [{}, {"internal": 12}, {"internal": 6}], ids=str)
def test_scores_are_the_mean_over_parts(settings: dict[str, int], block: int, order: Order) -> None:
    torch.manual_seed(0)
    network = small(**settings)
    wide = parallel(network, block, order)
    assert wide.resolution == 12 * block
    module, single = build(wide).eval(), build(network).eval()
    single.load_state_dict(module.state_dict())
    images = torch.rand(2, *wide.input)
    patch = 12 // settings.get("internal", 4) if order == "depth-first" else 1
    parts = parts_of(images, block, patch)
    assert parts[0].shape[1:] == network.input
    with torch.no_grad():
        expected = torch.stack([single(part) for part in parts]).mean(0)
        assert torch.allclose(module(images), expected, rtol=1e-5, atol=1e-7)
        if block > 1:
            assert not torch.allclose(single(parts[0]), expected, rtol=1e-5, atol=1e-7)


def test_the_orders_differ_only_where_pixels_are_folded() -> None:
    torch.manual_seed(0)
    for network, equal in ((small(internal=12), True), (small(), False)):
        one, other = (build(parallel(network, 2, order)).eval() for order in ORDERS)
        other.load_state_dict(one.state_dict())
        images = torch.rand(1, 3, 24, 24)
        with torch.no_grad():
            assert torch.equal(one(images), other(images)) == equal


@pytest.mark.parametrize("order", ORDERS)
def test_resized_images(order: Order) -> None:
    """10 px become 12 px: each part for itself, or the image as a whole before it is parted."""
    torch.manual_seed(0)
    network = small(resolution=10)
    wide = parallel(network, 2, order)
    assert wide.resolution == 20
    module, single = build(wide).eval(), build(network).eval()
    single.load_state_dict(module.state_dict())
    plain = build(small()).eval()
    plain.load_state_dict(module.state_dict())
    images = torch.rand(1, *wide.input)
    with torch.no_grad():
        if order == "batch-first":
            expected = torch.stack([single(part) for part in parts_of(images, 2, 1)]).mean(0)
        else:
            large = F.interpolate(images, 24, mode="bilinear", align_corners=False)
            expected = torch.stack([plain(part) for part in parts_of(large, 2, 3)]).mean(0)
        assert torch.allclose(module(images), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("block", [2, 4])
def test_costs(block: int, order: Order) -> None:
    """The paper's 16 replicas: 56 px for each of them, 224 px in all."""
    network = make_network("isometric:depth=8,internal=14", resolution=56)
    wide = parallel(network, block, order)
    cost, single = count_cost(wide), count_cost(network)
    assert cost.params == single.params
    assert cost.macs == block**2 * single.macs
    assert cost.activation_elements == block**2 * single.activation_elements
    assert wide.shapes["block7_add"] == (block**2, 64, 14, 14)
    assert wide.output == (1000,)
    assert Architecture.from_json(wide.to_json()) == wide


def test_upsampled_images() -> None:
    wide = parallel(feed(small(resolution=4), "upsample", 2), 3, "depth-first")
    assert [node.op.kind for node in wide.nodes[:3]] == ["upsample", "space_to_batch", "conv"]
    assert (wide.resolution, wide.shapes["space_to_batch"]) == (6, (9, 3, 4, 4))


def test_other_resolutions_of_a_parallel_network() -> None:
    wide = parallel(small(), 2, "depth-first")
    assert with_resolution(wide, 48).shapes["stem"] == (4, 6, 8, 8)
    with pytest.raises(NetworkError, match="space_to_batch: block 2 must divide the sides"):
        with_resolution(wide, 27)


def without_scores() -> Architecture:
    sketch = Sketch((3, 8, 8))
    sketch.add("conv", Conv(out_channels=2, kernel=3, padding=1))
    sketch.add("norm", BatchNorm())
    return sketch.finish()


@pytest.mark.parametrize(
    ("network", "block", "order", "message"),
    [
        (small(), 2, "depth", "the order must be one of batch-first, depth-first, but got 'depth'"),
        (small(), 0, "batch-first", "space_to_batch: block must be an integer of at least 1"),
        (small(), 2.0, "batch-first", "space_to_batch: block must be an integer of at least 1"),
        (
            make_network("resnet18"),
            2,
            "batch-first",
            "needs one internal resolution, but node 'stem' is 112 px and not",
        ),
        (parallel(small(), 2, "batch-first"), 2, "batch-first", "must not be parallel already, but node .* replicas"),
        (parallel(small(), 2, "depth-first"), 2, "depth-first", "must not be parallel already, but node .* replicas"),
        (without_scores(), 2, "batch-first", r"must give class scores, but gives \(2, 8, 8\)"),
    ],
)
def test_what_cannot_be_parallel(network: Architecture, block: Any, order: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        parallel(network, block, order)
