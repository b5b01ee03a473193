"""Depth and compound scaling: known networks, table 1 of Sandler et al. as properties, and budgets that are kept."""

from fractions import Fraction
from math import floor
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Architecture, BudgetError, Conv, NetworkError, count_cost, layer_costs
from search_spaces.build import build
from search_spaces.compound import compound, compound_within, with_depth
from search_spaces.edits import with_resolution
from search_spaces.ops import Linear, channels_of
from search_spaces.sketch import Sketch
from search_spaces.widths import scale_widths
from search_spaces.zoo import make_network
from search_spaces.zoo.resnet import _basic, _bottleneck, _resnet
from search_spaces.zoo.stems import stem_sketch
from tests.search_spaces.random_stages import staged_networks
from tests.search_spaces.test_repeats import structure

FACTORS: dict[str, Any] = {"alpha": 1.2, "beta": 1.1, "gamma": 1.15}  # EfficientNet's


# --- depth


@pytest.mark.parametrize(("multiplier", "depth"), [(2, 16), (0.5, 4), (1.5, 12), (0.01, 1), (1.06, 8), (1.07, 9)])
def test_depth_of_isometric_networks(multiplier: float, depth: int) -> None:
    """8.48 and 8.56 blocks are 8 and 9; there is always one."""
    changed = with_depth(make_network("isometric:depth=8"), multiplier)
    wanted = make_network(f"isometric:depth={depth}")
    assert count_cost(changed) == count_cost(wanted)
    assert structure(changed) == structure(wanted)


@pytest.mark.parametrize(
    ("name", "branch", "multiplier", "depths"),
    [
        ("resnet18", _basic, 2, (4, 3, 3, 3)),
        ("resnet34", _basic, 0.5, (2, 3, 4, 2)),  # half of 3 and of 5 is rounded up
        ("resnet50", _bottleneck, 3, (7, 10, 16, 7)),
        ("resnet50", _bottleneck, 0.1, (2, 2, 2, 2)),
    ],
)
def test_depth_of_resnets(name: str, branch: Any, multiplier: float, depths: tuple[int, int, int, int]) -> None:
    """Blocks that change the shape stay alone."""
    wanted = _resnet(stem_sketch(224, None, 3), 224, depths, branch, 1000)
    assert structure(with_depth(make_network(name), multiplier)) == structure(wanted)


def test_depth_of_mobilenet_v2() -> None:
    network = make_network("mobilenet_v2", resolution=64, classes=3)
    deeper = with_depth(network, 2)
    assert sum(node.op.kind == "add" for node in deeper.nodes) == 2 * 10
    assert with_depth(network, 1) == network
    with torch.no_grad():
        assert build(deeper).eval()(torch.rand(1, *deeper.input)).shape == (1, 3)


@pytest.mark.parametrize("name", ["lenet", "densenet121"])
def test_nothing_repeats(name: str) -> None:
    """A dense block's layers all have other widths."""
    with pytest.raises(NetworkError, match=r"needs blocks that repeat, or residual ones, .* but the network has none"):
        with_depth(make_network(name), 2)
    with pytest.raises(NetworkError, match="needs blocks that repeat"):
        compound(make_network(name), 1, **FACTORS)


@pytest.mark.parametrize("multiplier", [0, -1, float("nan"), float("inf"), True, "2"])
def test_wrong_multipliers(multiplier: Any) -> None:
    with pytest.raises(NetworkError, match="a depth multiplier must be a positive number, but got"):
        with_depth(make_network("resnet18"), multiplier)


# --- table 1 of Sandler et al.


def is_on_maps(network: Architecture, name: str) -> bool:
    """Whether a layer reads and writes maps that scale with the image."""
    node = network.node(name)
    return all(len(shape) == 3 and shape[-1] > 1 for shape in (network.shapes[name], *network.source_shapes(node)))


@given(network=staged_networks(), alpha=st.integers(2, 4))
def test_resolution(network: Architecture, alpha: int) -> None:
    """Params exactly 1; MACs and activation elements exactly alpha^2, but for what stands behind the pooling."""
    large = with_resolution(network, alpha * network.resolution)
    before, after = layer_costs(network), layer_costs(large)
    assert count_cost(large).params == count_cost(network).params
    for one, other in zip(before, after, strict=True):
        behind = isinstance(network.node(one.name).op, Linear)
        assert other.macs == one.macs * (1 if behind else alpha**2)
        if is_on_maps(network, one.name):
            assert other.activation_elements == alpha**2 * one.activation_elements
    linear = sum(layer.macs for layer in before if layer.kind == "linear")
    assert count_cost(large).macs - linear == alpha**2 * (count_cost(network).macs - linear)


@given(network=staged_networks(), alpha=st.integers(2, 4))
def test_channels(network: Architecture, alpha: int) -> None:
    """Params and MACs exactly alpha^2 of convs between free widths, alpha where one is fixed or follows; so in all
    between the two. Activation exactly alpha, but for the image."""
    wide = scale_widths(network, alpha)
    for one, other in zip(layer_costs(network), layer_costs(wide), strict=True):
        node = network.node(one.name)
        free = isinstance(node.op, Conv) and one.name != "stem"
        times = alpha**2 if free else alpha
        biases = 0
        if isinstance(node.op, Conv | Linear) and node.op.bias:
            biases = network.shapes[one.name][0]
        wider = biases if isinstance(node.op, Linear) else alpha * biases  # classes stay
        assert other.params - wider == times * (one.params - biases)
        assert other.macs == times * one.macs
        image = 3 * network.resolution**2 if one.name == "stem" else 0
        if one.kind not in ("linear", "flatten"):
            assert other.activation_elements - image == alpha * (one.activation_elements - image)
    for name in ("params", "macs"):
        ratio = getattr(count_cost(wide), name) / getattr(count_cost(network), name)
        assert alpha < ratio < alpha**2


@given(network=staged_networks(), alpha=st.fractions(Fraction(3, 10), 3, max_denominator=20))
def test_channels_where_widths_are_rounded(network: Architecture, alpha: Fraction) -> None:
    """A width is at most half a channel from alpha times the old one, which bounds MACs on both sides of a conv."""
    wide = scale_widths(network, float(alpha))
    after = {layer.name: layer.macs for layer in layer_costs(wide)}
    for layer in layer_costs(network):
        if layer.kind not in ("conv", "depthwise", "linear"):
            continue
        node = network.node(layer.name)
        low = high = Fraction(1)
        free = [channels_of(network.shapes[layer.name])] if layer.kind != "linear" else []
        if layer.kind != "depthwise" and layer.name != "stem":
            free.append(channels_of(network.source_shapes(node)[0]))
        for width in free:
            low, high = low * (alpha - Fraction(1, 2 * width)), high * (alpha + Fraction(1, 2 * width))
        assert low <= Fraction(after[layer.name], layer.macs) <= high


@settings(max_examples=50)
@given(network=staged_networks(), alpha=st.integers(2, 4))
def test_layers(network: Architecture, alpha: int) -> None:
    """Activation exactly 1; params and MACs grow by as much with each repetition, so in proportion to the blocks."""
    costs = [count_cost(with_depth(network, times)) for times in (1, 2, alpha)]
    assert costs[0] == count_cost(network)
    for name in ("params", "macs", "flops"):
        once, twice, often = (getattr(cost, name) for cost in costs)
        assert twice > once
        assert often - once == (alpha - 1) * (twice - once)
    assert len({cost.activation_elements for cost in costs}) == 1


# --- compound scaling


def test_compound_is_its_parts() -> None:
    network = make_network("resnet34", resolution=64)
    scaled = compound(network, 2, **FACTORS)
    # 1.44 times 3, 3, 5, 2 blocks, rounded up; 1.21 times the widths; 1.3225 times 64 px
    depths = _resnet(stem_sketch(224, 64, 3), 224, (5, 6, 9, 4), _basic, 1000)
    wanted = with_resolution(scale_widths(depths, 1.21), 85)
    assert structure(scaled) == structure(wanted)
    assert compound(network, 0, **FACTORS) == network
    assert compound(network, 3, alpha=1, beta=1, gamma=1) == network
    small = compound(network, -2, **FACTORS)
    assert (small.resolution, small.shapes["stem"][0]) == (floor(64 / 1.3225 + 0.5), 53)


def test_powers_of_whole_blocks_are_not_rounded_up() -> None:
    """1.1^2 times 100 is 121.00000000000001."""
    scaled = compound(make_network("isometric:depth=100"), 2, alpha=1.1, beta=1, gamma=1)
    assert structure(scaled) == structure(make_network("isometric:depth=121"))


def test_isometric_resolutions_are_those_that_can_be() -> None:
    """16 px are folded at each position: 1.15 times 224 is 258, next to which stands 256; half way the larger one."""
    network = make_network("isometric:depth=1")
    assert compound(network, 1, alpha=1, beta=1, gamma=1.15).shapes["block0_add"] == (64, 16, 16)
    assert compound(network, 1, alpha=1, beta=1, gamma=232 / 224).resolution == 240
    sketch = Sketch((3, 300, 300))
    sketch.add("conv", Conv(out_channels=2, kernel=300))
    with pytest.raises(
        NetworkError, match="a side near 1 px must be possible, but is not: node 'conv': conv: the kernel"
    ):
        compound(sketch.finish(), -10, alpha=1, beta=1, gamma=2)


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("resnet18", {"macs": 3e9}),
        ("resnet18", {"macs": 1e9}),  # less than its own 1.8e9
        ("mobilenet_v2", {"params": 6e6, "macs": 5e8}),
        ("isometric:depth=8", {"activation_elements": 300_000, "params": 1e8}),
    ],
)
def test_budgets_are_kept_and_used(name: str, bounds: dict[str, float]) -> None:
    network = make_network(name)
    found = compound_within(network, bounds, **FACTORS)
    assert found.architecture == compound(network, found.phi, **FACTORS)
    assert found.costs == count_cost(found.architecture).bounded()
    assert all(found.costs[one] <= bound for one, bound in bounds.items())
    next_one = count_cost(compound(network, found.phi + 2**-19, **FACTORS)).bounded()
    assert any(next_one[one] > bound for one, bound in bounds.items())


@pytest.mark.parametrize("share", [1.0, 0.999999])
def test_the_bound_itself_is_allowed(share: float) -> None:
    network = make_network("resnet18:stem=32")
    macs = count_cost(compound(network, 1, **FACTORS)).macs
    found = compound_within(network, {"macs": share * macs}, **FACTORS)
    assert (found.phi >= 1) == (share == 1)
    assert (found.costs["macs"] == macs) == (share == 1)


@pytest.mark.parametrize(
    ("bounds", "factors", "kind", "message"),
    [
        ({}, {}, BudgetError, "a budget must bound one or more of params"),
        ({"flops": 1}, {}, BudgetError, "a budget must bound .*, but names 'flops'"),
        ({"macs": -1}, {}, BudgetError, "macs must be a positive number, but the bound is -1"),
        ({"params": 1}, {}, BudgetError, r"some phi must keep the bounds, .* params 11,689,512 \(bound 1\)"),
        ({"params": 2e7}, {"alpha": 1, "beta": 1}, BudgetError, "must end the growth, but phi=32 keeps them"),
        ({"macs": 1e9}, {"alpha": 1, "beta": 1, "gamma": 1}, NetworkError, "must be above 1 for anything to change"),
        ({"macs": 1e9}, {"alpha": 0.9}, NetworkError, "alpha must be a number of at least 1, but got alpha=0.9"),
        ({"macs": 1e9}, {"gamma": float("nan")}, NetworkError, "gamma must be a number of at least 1"),
    ],
)
def test_wrong_budgets(bounds: dict[str, float], factors: dict[str, Any], kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        compound_within(make_network("resnet18"), bounds, **(FACTORS | factors))


def test_images_no_larger_than_there_are() -> None:
    """The images stay while depth and width grow on, to the bounds."""
    network = make_network("resnet18", resolution=64)
    found = compound_within(network, {"macs": 1e11}, **FACTORS, largest=96)
    assert found.held
    assert found.architecture.resolution == 96
    assert found.architecture == compound(network, found.phi, **FACTORS, largest=96)
    assert found.architecture == with_resolution(compound(network, found.phi, **FACTORS | {"gamma": 1}), 96)
    assert count_cost(compound(network, found.phi + 2**-18, **FACTORS, largest=96)).macs > 1e11
    free = compound_within(network, {"macs": 1e9}, **FACTORS)
    assert compound_within(network, {"macs": 1e9}, **FACTORS, largest=10_000) == free
    assert not free.held


@pytest.mark.parametrize(("largest", "side", "held"), [(96, 96, True), (64, 64, True), (1000, 241, False)])
def test_where_images_alone_grow(largest: int, side: int, held: bool) -> None:
    """The growth ends at the next pixel, whatever the bounds still allow: 1e10 MACs at 241 px."""
    network = make_network("resnet18:stem=32", resolution=64)
    bound = count_cost(with_resolution(network, 241)).macs
    found = compound_within(network, {"macs": bound, "params": 1e9}, alpha=1, beta=1, gamma=1.15, largest=largest)
    assert (found.architecture.resolution, found.held) == (side, held)


def test_isometric_images_end_below_the_largest_that_there_are() -> None:
    """Folded by two they have an even side."""
    network = make_network("isometric:depth=2,internal=7", resolution=14)
    scaled = compound(network, 20, alpha=1, beta=1, gamma=1.15, largest=31)
    assert scaled.resolution == 30


def test_the_largest_phi_of_all() -> None:
    network = make_network("isometric:depth=2,multiplier=0.1,internal=4", resolution=8)
    found = compound_within(network, {"macs": 1e12}, alpha=1.1, beta=1, gamma=1, capped=True)
    assert found.phi == 32
    assert found.architecture == compound(network, 32, alpha=1.1, beta=1, gamma=1)


def test_maps_that_do_not_grow_with_the_image() -> None:
    """13 px are resized to 14, and so would all others be."""
    network = make_network("isometric:depth=2,internal=7", resolution=13)
    with pytest.raises(
        NetworkError,
        match=r"^the maps must follow the image, but node 'resize' brings every image to 14 px",
    ):
        compound(network, 1, **FACTORS)
    assert compound(network, 1, **FACTORS | {"gamma": 1}).resolution == 13


@pytest.mark.parametrize("phi", [33, -33, float("nan"), True, "1"])
def test_wrong_phis(phi: Any) -> None:
    with pytest.raises(NetworkError, match="phi must be a number from -32 to 32, but got"):
        compound(make_network("resnet18"), phi, **FACTORS)
