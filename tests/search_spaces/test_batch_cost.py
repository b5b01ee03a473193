"""Costs of many widths at once equal counting one network at a time."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search_spaces import COSTS, INPUT, Architecture, NetworkError, count_cost
from search_spaces.batch_cost import CHUNK, BatchCost
from search_spaces.edits import with_resolution
from search_spaces.ops import AdaptivePool, Concat, Conv, Pool, Shortcut, Upsample
from search_spaces.sketch import Sketch
from search_spaces.torchvision_networks import PREFIX, trace_torchvision
from search_spaces.width_groups import WidthGroups
from search_spaces.widths import with_widths
from search_spaces.zoo import make_network
from tests.search_spaces.random_networks import networks
from tests.search_spaces.test_widths import grouped

NETWORKS = (
    "grouped", "lenet:pool=true", "vgg11", "preact_resnet18", "neuralscale_mobilenetv2", "resnet18:stem=32",
    "mobilenet_v3_small:stem=64", "isometric:depth=2,internal=8", "torchvision:shufflenet_v2_x0_5",
    "torchvision:squeezenet1_1",
)  # fmt: skip


def network_of(name: str) -> Architecture:
    if name == "grouped":
        return grouped()
    if name.startswith(PREFIX):
        return trace_torchvision(name.removeprefix(PREFIX), resolution=64).architecture
    return make_network(name, resolution=64)


def draw_widths(groups: WidthGroups, count: int, seed: int) -> NDArray[np.int64]:
    """Widths [T, G] of which many are equal: shortcuts are the identity there."""
    rng = np.random.default_rng(seed)
    own = np.array([group.divisor for group in groups.groups])
    return np.asarray(own * rng.choice([1, 2, 2, 2, 5, 40, 333], (count, len(own))), np.int64)


def one_by_one(network: Architecture, widths: NDArray[np.int64], resolution: int) -> list[list[int]]:
    """Costs [T, 3] of each network made and counted."""
    network = with_resolution(network, resolution)
    return [list(count_cost(with_widths(network, row.tolist())).bounded().values()) for row in widths]


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), larger=st.sampled_from((0, 8, 32)))
def test_equals_counting_one_by_one(name: str, seed: int, larger: int) -> None:
    network = network_of(name)
    batch = BatchCost(network)
    widths = draw_widths(batch.groups, 5, seed)
    side = network.resolution + larger
    assert batch.costs(widths, side).tolist() == one_by_one(network, widths, side)
    assert tuple(count_cost(network).bounded()) == COSTS
    assert batch.costs([batch.groups.widths]).tolist() == [list(count_cost(network).bounded().values())]


@given(network=networks(), seed=st.integers(0, 2**32 - 1))
def test_random_networks_equal_counting_one_by_one(network: Architecture, seed: int) -> None:
    batch = BatchCost(network)
    widths = draw_widths(batch.groups, 3, seed)
    assert batch.costs(widths).tolist() == one_by_one(network, widths, network.resolution)


def test_more_rows_than_are_counted_at_a_time() -> None:
    batch = BatchCost(grouped())
    few = draw_widths(batch.groups, 7, 0)
    rows = np.arange(2 * CHUNK + 5) % 7
    assert np.array_equal(batch.costs(few[rows]), batch.costs(few)[rows])
    assert batch.costs(few[:0]).shape == (0, 3)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.int32, np.uint64, np.int64])
def test_every_kind_of_integer(kind: type[np.integer[Any]]) -> None:
    widths = [[102, 99, 100], [3, 9, 4]]
    counted = BatchCost(grouped()).costs(np.array(widths, kind))
    assert counted.tolist() == one_by_one(grouped(), np.array(widths), 4)
    assert counted.dtype == np.int64


def test_small_integers_and_large_divisors() -> None:
    sketch = Sketch((3, 4, 4))
    sketch.add("wide", Conv(out_channels=400, kernel=1))
    sketch.add("grouped", Conv(out_channels=200, kernel=1, groups=200))
    with pytest.raises(NetworkError, match=r"width of wide must be a multiple of 200, .* but row 0 has 100"):
        BatchCost(sketch.finish()).costs(np.array([[100]], np.int8))


def test_network_without_free_widths() -> None:
    sketch = Sketch((3, 8, 8))
    sketch.add("conv", Conv(out_channels=5, kernel=3), INPUT)
    network = sketch.finish()
    batch = BatchCost(network)
    assert batch.groups.groups == ()
    assert batch.costs(np.empty((2, 0), np.int64)).tolist() == [list(count_cost(network).bounded().values())] * 2


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ([12, 9, 4], r"widths must be integers \[T, 3\], but are int64 \[3\]"),
        ([[12, 9]], r"widths must be integers \[T, 3\], but are int64 \[1, 2\]"),
        ([[12.0, 9, 4]], r"widths must be integers \[T, 3\], but are float64 \[1, 3\]"),
        ([[True, True, True]], r"widths must be integers \[T, 3\], but are bool \[1, 3\]"),
        ([["12", "9", "4"]], r"widths must be integers \[T, 3\], but are <U2 \[1, 3\]"),
        ([[12, 9, 0]], "widths must be at least 1 and at most 2\\^24, but are 0 to 12"),
        ([[12, -9, 4]], "widths must be at least 1 and at most 2\\^24, but are -9 to 12"),
        ([[3 * 2**24, 9, 4]], "but are 4 to 50331648"),
        (np.array([[2**63, 9, 4]], np.uint64), "but are 4 to 9223372036854775808"),
        ([[12, 9, 4], [12, 9, 6]], "width of c must be a multiple of 4, as its layers part it .* but row 1 has 6$"),
        ([[3 * 2**22, 9 * 2**20, 4 * 2**22]], r"costs must stay below 2\^53 .* but widths up to 16777216"),
    ],
)  # fmt: skip
def test_wrong_widths(widths: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message) as caught:
        BatchCost(grouped()).costs(widths)
    assert "\n" not in str(caught.value)


def test_largest_exact_widths() -> None:
    """Just below the bound every digit is still right; a bias makes the count odd."""
    sketch = Sketch((1, 64, 64))
    sketch.add("a", Conv(out_channels=1, kernel=1))
    sketch.add("b", Conv(out_channels=3, kernel=1))
    sketch.add("c", Conv(out_channels=1, kernel=1))
    network = sketch.finish()
    widths = np.array([[2**20 - 1, 2**20 - 3]])
    assert BatchCost(network).costs(widths).tolist() == one_by_one(network, widths, 64)
    with pytest.raises(NetworkError, match="costs must stay below 2\\^53"):
        BatchCost(network).costs(widths * 2)


def test_largest_exact_activation() -> None:
    sketch = Sketch((1, 4, 4))
    sketch.add("a", Conv(out_channels=1, kernel=1))
    sketch.add("upsample", Upsample(function="zeros", factor=2**23))
    sketch.add("pool", AdaptivePool())
    sketch.add("b", Conv(out_channels=1, kernel=1))
    network = sketch.finish()
    assert BatchCost(network).costs([[3]]).tolist() == one_by_one(network, np.array([[3]]), 4)
    with pytest.raises(NetworkError, match="costs must stay below 2\\^53"):
        BatchCost(network).costs([[16]])


def test_impossible_resolutions() -> None:
    batch = BatchCost(make_network("lenet"))
    with pytest.raises(NetworkError, match="node 'conv2': conv: the kernel must fit"):
        batch.costs([batch.groups.widths], 3)
    with pytest.raises(NetworkError, match="input must be three positive integers"):
        batch.costs([batch.groups.widths], 0)


def test_shortcut_that_holds_most() -> None:
    """It reads and writes a map where it projects, and only reads one where it is the identity."""
    sketch = Sketch((1, 8, 8))
    sketch.add("stem", Conv(out_channels=9, kernel=1))
    sketch.add("narrow", Conv(out_channels=1, kernel=1))
    sketch.add("block", Conv(out_channels=9, kernel=1))
    sketch.add("skip", Shortcut(), "stem", "stem", "block")
    sketch.add("pool", AdaptivePool())
    sketch.add("head", Conv(out_channels=2, kernel=1))
    network = sketch.finish()
    widths = np.array([[9, 1, 9], [9, 1, 8], [8, 1, 9]])
    counted = BatchCost(network).costs(widths)
    assert counted[:, 2].tolist() == [10 * 64, 17 * 64, 17 * 64]
    assert counted.tolist() == one_by_one(network, widths, 8)


def test_largest_of_many_layers() -> None:
    """Which layer holds most changes with the widths: each is the largest somewhere."""
    sketch = Sketch((3, 8, 8))
    sketch.add("a", Conv(out_channels=4, kernel=3, padding=1), INPUT)
    sketch.add("pool", Pool(function="max", kernel=2, stride=2))
    sketch.add("b", Conv(out_channels=4, kernel=1))
    sketch.add("c", Conv(out_channels=4, kernel=1))
    sketch.add("cat", Concat(), "b", "c")
    sketch.add("head", Conv(out_channels=2, kernel=1))
    network = sketch.finish()
    widths = np.array([[1, 1, 1], [9, 1, 1], [1, 90, 1], [1, 1, 90], [1, 20, 20]])
    counted = BatchCost(network).costs(widths)[:, 2]
    assert counted.tolist() == [4 * 64, 12 * 64, 91 * 2 * 16, 91 * 2 * 16, 80 * 16]


def test_projections_are_counted() -> None:
    batch = BatchCost(make_network("preact_resnet18"))
    own = np.array(batch.groups.widths)
    first, inner = own.copy(), own.copy()
    first[0] += 1  # the stem's, which the first block's shortcut reads
    inner[1] += 1  # between the convs of a block, where no shortcut is
    assert batch.count_projections([own, first, inner, np.full_like(own, 7)]).tolist() == [0, 1, 0, 0]
    assert BatchCost(make_network("vgg11")).count_projections([[8] * 8, [9] * 8]).tolist() == [0, 0]
