"""Counted by hand, by torch's own counter, and by the parameters of the built module."""

from math import prod

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from search_spaces import INPUT, Architecture, Budget, Conv, Cost, LeNet, count_cost, layer_costs
from search_spaces.build import build
from search_spaces.cost import count_peak
from search_spaces.ops import Activation, Add, Concat, Op, Pool, Shortcut
from search_spaces.sketch import Sketch
from tests.search_spaces.random_networks import networks
from tests.search_spaces.test_architecture import lenet


def test_lenet_by_hand() -> None:
    # conv1 30 x 3x3 on 14 px: side 12; conv2 30 x 5x5: side 8; hidden 50 on 30 * 8 * 8; classifier 10
    assert count_cost(lenet()) == Cost(
        params=(30 * 9 + 30) + (30 * 30 * 25 + 30) + (1920 * 50 + 50) + (50 * 10 + 10),
        macs=144 * 9 * 30 + 64 * 25 * 30 * 30 + 1920 * 50 + 500,
        activation_elements=12 * 12 * 30 + 8 * 8 * 30,  # conv2 reads and writes most
        flops=144 * (9 + 1) * 30 + 64 * (25 * 30 + 1) * 30 + 1921 * 50 + 51 * 10,  # Borji eq. 5
        peak_activation_elements=12 * 12 * 30 + 8 * 8 * 30,
    )


convs = st.builds(
    Conv,
    out_channels=st.integers(1, 9),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
)


@settings(max_examples=60)
@given(conv1=convs, conv2=convs, pool=st.booleans(), side=st.integers(24, 32), channels=st.integers(1, 3))
def test_counts_are_torchs(conv1: Conv, conv2: Conv, pool: bool, side: int, channels: int) -> None:
    try:
        network = LeNet(conv1=conv1, conv2=conv2, hidden=5, pool=pool).architecture((channels, side, side), 4)
    except ValueError:  # the maps became too small
        return
    cost = count_cost(network)
    module = build(network).eval()
    assert cost.params == sum(parameter.numel() for parameter in module.parameters())
    counter = FlopCounterMode(display=False)
    with counter:
        scores = module(torch.zeros(1, channels, side, side))
    assert 2 * cost.macs == counter.get_total_flops()  # torch counts 2 per multiply-add
    assert tuple(scores.shape[1:]) == network.output


@given(side=st.integers(14, 28))
def test_shapes_are_torchs(side: int) -> None:
    network: Architecture = lenet(3, resolution=side)
    values = torch.zeros(1, *network.input)
    module = build(network).eval()
    for node in network.nodes:
        values = module.get_submodule(node.name)(values)
        assert tuple(values.shape[1:]) == network.shapes[node.name]


def test_budget_is_an_upper_bound() -> None:
    cost = Cost(params=100, macs=2000, activation_elements=30, flops=2100, peak_activation_elements=40)
    assert Budget(bounds={"params": 100, "macs": 2001}).slack(cost.bounded()) == {"params": 0, "macs": -1}
    assert Budget(bounds={"params": 99}).slack(cost.bounded()) == {"params": 1}
    assert Budget(bounds={}).slack(cost.bounded()) == {}


# --- peak memory


def simulated_peak(network: Architecture) -> int:
    """Every value as an interval of steps at which it takes memory; the peak is the fullest step.

    A value is there from the step that makes it to the last that reads it, but only up to the step before where a
    layer that works in place puts its output there.
    """
    born, dies = {INPUT: 0}, {INPUT: 0}
    for step, node in enumerate(network.nodes):
        born[node.name] = dies[node.name] = step
        dies |= dict.fromkeys(network.reads(node), step)
    for step, node in enumerate(network.nodes):
        first = network.reads(node)[0]
        if dies[first] == step and node.op.takes_over(network.source_shapes(node)):
            dies[first] = step - 1
    return max(
        sum(prod(shape) for name, shape in network.shapes.items() if born[name] <= step <= dies[name])
        for step in range(len(network.nodes))
    )


@given(network=networks())
def test_peak_is_that_of_a_simulation(network: Architecture) -> None:
    cost = count_cost(network)
    assert cost.peak_activation_elements == simulated_peak(network)
    if all(len(set(node.inputs)) == len(node.inputs) for node in network.nodes):  # a layer's own elements count twice
        assert cost.peak_activation_elements >= cost.activation_elements


def graph(*nodes: tuple[str, Op, str]) -> Architecture:
    """Of nodes with their inputs in one text, on an image of 2 x 4 x 4 = 32 elements."""
    sketch = Sketch((2, 4, 4))
    for name, op, inputs in nodes:
        sketch.add(name, op, *inputs.split())
    return sketch.finish()


def test_peak_by_hand() -> None:
    wide, relu = Conv(out_channels=8, kernel=1), Activation(function="relu")
    half = Pool(function="max", kernel=2, stride=2)
    chain = graph(("a", wide, INPUT), ("b", relu, "a"), ("c", half, "b"))
    assert count_peak(chain) == 128 + 32  # a beside the image, c beside b
    residual = graph(("a", wide, INPUT), ("b", wide, "a"), ("c", relu, "b"), ("d", Add(), "c a"))
    assert count_peak(residual) == 2 * 128  # d takes the place of c
    read_again = graph(("a", wide, INPUT), ("b", relu, "a"), ("c", Add(), "b a"))
    assert count_peak(read_again) == 2 * 128  # b must not take the place of a
    joined = graph(("a", wide, INPUT), ("b", wide, INPUT), ("c", Concat(), "a b"))
    assert count_peak(joined) == 4 * 128
    first_alone = graph(("a", wide, INPUT), ("b", wide, "a"), ("c", Add(), "a b"), ("d", Add(), "c b"))
    assert count_peak(first_alone) == 2 * 128  # c takes the place of a, which nobody reads again, and d that of c


def test_a_shape_alone_needs_no_memory() -> None:
    narrow, wide = Conv(out_channels=2, kernel=1), Conv(out_channels=8, kernel=1)
    block = ("block", wide, INPUT), ("relu", Activation(function="relu"), INPUT)
    last = ("last", Shortcut(stride=1), f"{INPUT} relu block")
    assert count_peak(graph(*block, last)) == simulated_peak(graph(*block, last)) == 32 + 128
    same = ("block", narrow, INPUT), ("relu", Activation(function="relu"), INPUT)
    assert count_peak(graph(*same, last)) == simulated_peak(graph(*same, last)) == 2 * 32


@given(network=networks())
def test_layers_add_up(network: Architecture) -> None:
    layers, cost = layer_costs(network), count_cost(network)
    assert [layer.name for layer in layers] == [node.name for node in network.nodes]
    assert sum(layer.params for layer in layers) == cost.params
    assert sum(layer.macs for layer in layers) == cost.macs
    assert sum(layer.flops for layer in layers) == cost.flops
    assert max(layer.activation_elements for layer in layers) == cost.activation_elements
    assert all(layer.shape == network.shapes[layer.name] for layer in layers)
    assert layers[-1].to_json()["shape"] == [3]


@settings(max_examples=40)
@given(network=networks())
def test_random_networks_run_at_what_they_cost(network: Architecture) -> None:
    with torch.device("meta"):
        module = build(network).eval()
        with FlopCounterMode(display=False) as counter:
            scores = module(torch.zeros(1, *network.input))
    assert scores.shape == (1, *network.output)
    assert counter.get_total_flops() == 2 * count_cost(network).macs
    assert Architecture.from_json(network.to_json()) == network
