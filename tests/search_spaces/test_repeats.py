"""Repeated blocks: found where they were put, and repeated to the network that one would have written."""

from collections.abc import Hashable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Activation, Architecture, Conv, Dropout, Linear, NetworkError, count_cost
from search_spaces.build import build
from search_spaces.ops import Add, BatchNorm, StochasticDepth
from search_spaces.repeats import find_repeats, with_counts
from search_spaces.sketch import Sketch
from search_spaces.torchvision_networks import trace_torchvision
from search_spaces.zoo import make_network
from tests.search_spaces.random_networks import networks
from tests.search_spaces.random_stages import STAGES, staged


def structure(network: Architecture) -> Hashable:
    """All but the names."""
    places = {node.name: i for i, node in enumerate(network.nodes)}
    return network.input, tuple(
        (node.op, tuple(places.get(name, -1) for name in node.inputs)) for node in network.nodes
    )


@settings(max_examples=60)
@given(stages=STAGES, data=st.data(), pooled=st.booleans())
def test_known_runs_are_found_and_repeated(
    stages: list[tuple[str, int, int, int, int]], data: st.DataObject, pooled: bool
) -> None:
    before = [data.draw(st.integers(2, 4)) for _ in stages]
    after = [data.draw(st.integers(1, 5)) for _ in stages]
    network = staged(stages, before, side=16, pooled=pooled)
    repeats = find_repeats(network)
    assert [repeat.count for repeat in repeats] == before
    assert all(network.nodes[repeat.start].name.endswith("_block0_first") for repeat in repeats)
    changed = with_counts(network, repeats, after)
    assert structure(changed) == structure(staged(stages, after, side=16, pooled=pooled))
    assert changed.output == network.output


@given(network=networks(10))
def test_any_network_stays_itself(network: Architecture) -> None:
    repeats = find_repeats(network)
    assert with_counts(network, repeats, [repeat.count for repeat in repeats]) == network
    doubled = with_counts(network, repeats, [2 * repeat.count for repeat in repeats])
    assert len(doubled.nodes) == len(network.nodes) + sum(repeat.length * repeat.count for repeat in repeats)
    assert doubled.output == network.output
    assert doubled.shapes.items() >= network.shapes.items()
    assert count_cost(doubled).activation_elements == count_cost(network).activation_elements


def runs(network: Architecture) -> list[tuple[str, int, int]]:
    return [(network.nodes[repeat.start].name, repeat.length, repeat.count) for repeat in find_repeats(network)]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("lenet", []),
        ("densenet121", []),
        ("isometric:depth=8", [("block0_expand", 15, 8)]),
        ("isometric:depth=1", [("block0_expand", 15, 1)]),
        ("vgg11", [("conv7", 3, 2)]),
        ("mobilenet_v1", [("block6_depthwise", 6, 5)]),
        ("resnet18", [("stage1_block0_conv1", 7, 2), *((f"stage{i}_block1_conv1", 7, 1) for i in (2, 3, 4))]),
        ("resnet50", [(f"stage{i}_block1_conv1", 10, n) for i, n in ((1, 2), (2, 3), (3, 5), (4, 2))]),
        ("mobilenet_v2", [(f"stage{i}_block1_expand", 9, n) for i, n in ((2, 1), (3, 2), (4, 3), (5, 2), (6, 2))]),
        # its last norm and ReLU stand behind the last block and belong to none
        ("preact_resnet18", [("stage1_block0_norm1", 8, 2), *((f"stage{i}_block1_norm1", 8, 1) for i in (2, 3, 4))]),
    ],
)
def test_runs_of_the_zoo(name: str, found: list[tuple[str, int, int]]) -> None:
    assert runs(make_network(name)) == found


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("resnext50_32x4d", [2, 3, 5, 2]),
        ("efficientnet_b0", [1, 1, 2, 2, 3]),  # its stochastic depth grows from block to block
        ("convnext_tiny", [3, 3, 9, 3]),
        ("shufflenet_v2_x1_0", [3, 7, 3]),
        ("alexnet", []),
    ],
)
def test_runs_of_torchvision(name: str, counts: list[int]) -> None:
    assert [repeat.count for repeat in find_repeats(trace_torchvision(name).architecture)] == counts


def test_the_largest_run_counts() -> None:
    """Kernels 3, 3 are a run, too, but 3, 5, 3, 5 and 5, 3, 5, 3 are larger ones, and the former comes first."""

    def block(sketch: Sketch, name: str, kernel: int) -> None:
        sketch.add(name, Conv(out_channels=4, kernel=kernel, padding=kernel // 2))
        sketch.add(f"{name}_relu", Activation(function="relu"))

    sketch = Sketch((4, 8, 8))
    for i, kernel in enumerate((3, 3, 5, 3, 5, 3, 1)):
        block(sketch, f"conv{i}", kernel)
    assert runs(sketch.finish()) == [("conv1", 4, 2)]


def test_shares_of_stochastic_depth_may_differ() -> None:
    sketch = Sketch((4, 8, 8))
    for i, share in enumerate((0.1, 0.2, 0.3)):
        source = sketch.last
        sketch.add(f"conv{i}", Conv(out_channels=4, kernel=3, padding=1))
        sketch.add(f"drop{i}", StochasticDepth(share=share))
        sketch.add(f"add{i}", Add(), f"drop{i}", source)
    network = sketch.finish()
    assert runs(network) == [("conv0", 3, 3)]
    deeper = with_counts(network, find_repeats(network), [4])
    assert deeper.nodes[-2].op == StochasticDepth(share=0.3)
    other = replace(network.nodes[1], op=Dropout(share=0.1))
    mixed = Architecture(input=network.input, nodes=(network.nodes[0], other, *network.nodes[2:]))
    assert runs(mixed) == [("conv0", 3, 1), ("conv1", 3, 2)]


def test_layers_without_weights_are_no_blocks() -> None:
    sketch = Sketch((4, 1, 1))
    for i in range(4):
        sketch.add(f"norm{i}", BatchNorm())
        sketch.add(f"relu{i}", Activation(function="relu"))
    assert runs(sketch.finish()) == []


def test_vectors_repeat_too() -> None:
    sketch = Sketch((6, 1, 1))
    sketch.add("flatten", make_network("lenet").node("flatten").op)
    for i in range(3):
        sketch.add(f"hidden{i}", Linear(out_features=6))
        sketch.add(f"relu{i}", Activation(function="relu"))
    assert runs(sketch.finish()) == [("hidden0", 2, 3)]


def test_copies_have_names_of_their_own_and_run() -> None:
    network = make_network("resnet18:stem=32", classes=3)
    deeper = with_counts(network, find_repeats(network), [3, 1, 2, 1])
    assert deeper.node("stage1_block1_conv1_2").inputs == ("stage1_block1_relu",)
    assert deeper.node("stage2_block0_conv1").inputs == ("stage1_block1_relu_2",)
    assert [node for node in deeper.nodes if node.name in network.shapes] != list(network.nodes)
    with torch.no_grad():
        assert build(deeper).eval()(torch.rand(1, *deeper.input)).shape == (1, 3)
    assert find_repeats(deeper)[0].count == 3


def test_too_many_nodes() -> None:
    network = make_network("isometric:depth=1")
    with pytest.raises(NetworkError, match="at most 100,000 nodes, but would have 150,"):
        with_counts(network, find_repeats(network), [10_000])
