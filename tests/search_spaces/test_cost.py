"""Counted by hand, by torch's own counter, and by the parameters of the built module."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from search_spaces import Architecture, Budget, Conv, Cost, LeNet, count_cost
from search_spaces.build import build
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
    assert Budget(bounds={"params": 100, "macs": 2001}).slack(cost) == {"params": 0, "macs": -1}
    assert Budget(bounds={"params": 99}).slack(cost) == {"params": 1}
    assert Budget(bounds={}).slack(cost) == {}
