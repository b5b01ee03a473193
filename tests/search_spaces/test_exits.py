"""Networks with several exits: their segments against brute force, and what every edit makes of them."""

import ast
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces import INPUT, Architecture, Dropout, NetworkError, apply_solution, base_row, count_cost, solve
from search_spaces.batch_cost import BatchCost
from search_spaces.build import Network, build
from search_spaces.compound import with_depth
from search_spaces.conv_shortcuts import with_conv_shortcuts
from search_spaces.conventions import count_total
from search_spaces.coverage import count_coverage
from search_spaces.edits import (
    classifier,
    feed_by_space_to_depth,
    feed_through,
    insert,
    replace_stem,
    skip_strides,
    with_channels,
    with_classes,
    with_resolution,
)
from search_spaces.exits import exit_costs, in_segments, segments, up_to_exit
from search_spaces.feeding import dilated
from search_spaces.fuse import fuse, pack
from search_spaces.multi_scale import multi_scale
from search_spaces.narrowing import narrowed, with_free_expansions
from search_spaces.ops import Activation, Conv, Flatten, Linear, Multiply, Upsample
from search_spaces.parallel import parallel
from search_spaces.removal import remove_channels
from search_spaces.repeats import find_repeats, with_counts
from search_spaces.shrink import mask, shrink
from search_spaces.sketch import Sketch
from search_spaces.width_groups import find_width_groups
from search_spaces.widths import scale_widths, with_widths
from search_spaces.zoo import make_network
from tests.search_spaces.random_exits import early, networks_with_exits
from tests.search_spaces.random_masks import random_keep
from tests.search_spaces.test_cost import simulated_peak
from tests.search_spaces.trained_networks import images_for, trained

ROOT = Path(__file__).parents[2]
SLOW_DATA = [HealthCheck.too_slow]


# --- segments


def needed(network: Architecture, answer: str) -> set[str]:
    """A node and all from which it is computed, by a walk up the graph."""
    inputs = {node.name: node.inputs for node in network.nodes}
    found, waiting = set[str](), [answer]
    while waiting:
        name = waiting.pop()
        if name != INPUT and name not in found:
            found.add(name)
            waiting += inputs[name]
    return found


@settings(max_examples=60, suppress_health_check=SLOW_DATA)
@given(network=networks_with_exits())
def test_segments_and_costs_are_those_of_sets(network: Architecture) -> None:
    parts, costs = segments(network), exit_costs(network)
    order = [node.name for node in network.nodes]
    layers = {node.name: (node, network.source_shapes(node), network.shapes[node.name]) for node in network.nodes}
    earlier: set[str] = set()
    for answer, part, cost in zip(network.answers, parts, costs, strict=True):
        own = needed(network, answer) - earlier
        assert [node.name for node in part] == sorted(own, key=order.index)
        assert cost.name == answer
        assert cost.macs == sum(node.op.macs(sources, out) for node, sources, out in map(layers.get, own))  # type: ignore[misc]
        assert cost.params == sum(node.op.params(sources, out) for node, sources, out in map(layers.get, own))  # type: ignore[misc]
        assert set(cost.reused) == {name for node in part for name in network.reads(node)} & earlier
        assert list(cost.reused) == sorted(cost.reused, key=order.index)
        earlier |= own
    whole = count_cost(network)
    assert (sum(cost.macs for cost in costs), sum(cost.params for cost in costs)) == (whole.macs, whole.params)


def test_a_network_without_exits_is_one_segment() -> None:
    network = make_network("resnet18")
    assert segments(network) == (network.nodes,)
    (cost,) = exit_costs(network)
    assert (cost.name, cost.macs, cost.reused) == ("classifier", count_cost(network).macs, ())
    assert in_segments(network) == network


def test_segments_by_hand() -> None:
    first, second = exit_costs(early())
    assert segments(early())[1][0].name == "down"
    assert (first.name, second.name, second.reused) == ("early", "late", ("block_add",))
    assert first.macs == 64 * 16 * 3 * 8 + 64 * 9 * 8 * 8 + 8 * 5
    assert second.macs == 9 * 9 * 8 * 16 + 9 * 9 * 16 + 16 * 5
    assert second.params == (9 * 8 * 16 + 16) + (9 * 16 + 16) + (16 * 5 + 5)


@given(network=networks_with_exits())
def test_costs_of_networks_with_exits(network: Architecture) -> None:
    assert count_cost(network).peak_activation_elements == simulated_peak(network)
    groups = BatchCost(network)
    (row,) = groups.costs(np.array([groups.groups.widths], np.int64).reshape(1, -1))
    assert list(row) == list(count_cost(network).bounded().values())


def test_scores_are_not_kept() -> None:
    """1000 scores of the early exit take memory beside what they are made of, but not beside the rest of the run."""
    wide = with_classes(early(), 1000)
    assert wide.unread == {"early", "late"}
    assert count_cost(wide).peak_activation_elements == 8 * 64 + 8 + 1000  # with `down` it would be 8 * 64 + 784 more


# --- running


def by_hand(network: Network, images: Tensor) -> list[Tensor]:
    """All values kept to the end."""
    values = {INPUT: images}
    for node in network.architecture.nodes:
        read = [values[name] for name in network.architecture.reads(node)]
        values[node.name] = network.get_submodule(node.name)(*read)
    return [values[name] for name in network.architecture.answers]


@settings(max_examples=40, suppress_health_check=SLOW_DATA)
@given(architecture=networks_with_exits())
def test_exits_of_built_networks(architecture: Architecture) -> None:
    network = trained(architecture).eval()
    images = images_for(network, 2)
    with torch.no_grad():
        expected, scores = by_hand(network, images), network.exits(images)
        assert torch.equal(network(images), expected[-1])
        values = {INPUT: images}
        reads = [{name for node in part for name in architecture.reads(node)} for part in segments(architecture)]
        for number in range(len(expected)):
            assert torch.equal(scores[number], expected[number])
            assert torch.equal(network.run_segment(number, values), expected[number])
            done = {INPUT} | {node.name for part in segments(architecture)[: number + 1] for node in part}
            assert set(values) == done & set().union(*reads[number + 1 :])
        assert not values


@settings(max_examples=15, suppress_health_check=SLOW_DATA)
@given(architecture=networks_with_exits(6), members=st.integers(1, 3))
def test_exits_of_fused_networks(architecture: Architecture, members: int) -> None:
    built = [trained(architecture, seed=seed).eval() for seed in range(members)]
    images = [images_for(network, 2) + number for number, network in enumerate(built)]
    fused = fuse(architecture, members).double().eval()
    fused.load_state_dict(pack([network.state_dict() for network in built]))
    with torch.no_grad():
        together = fused.exits(torch.cat(images, dim=1))
        assert torch.equal(fused(torch.cat(images, dim=1)), together[-1])
        for member, network in enumerate(built):
            for scores, expected in zip(together, network.exits(images[member]), strict=True):
                assert scores.shape == (members, 2, 3)
                assert torch.allclose(scores[member], expected, rtol=1e-8, atol=1e-8 * float(expected.abs().max()))


def test_gradients_reach_all_exits() -> None:
    """The sum of the losses of all exits, in one pass."""
    torch.manual_seed(0)
    network = build(early())
    sum(scores.square().mean() for scores in network.exits(torch.rand(4, 3, 16, 16))).backward()  # type: ignore[union-attr]
    assert all(parameter.grad is not None for parameter in network.parameters())


# --- edits: none drops the exits in silence


EDITS: Mapping[str, Callable[[Architecture], Architecture]] = {
    "ops": lambda network: network.with_ops({"late": Linear(out_features=5, bias=False)}),
    "json": lambda network: Architecture.from_json(network.to_json()),
    "resolution": lambda network: with_resolution(network, 24),
    "channels": lambda network: with_channels(network, 1),
    "classes": lambda network: with_classes(network, 7),
    "insert": lambda network: insert(network, "drop", Dropout(share=0.1), after="stem"),
    "stem": lambda network: replace_stem(network, kernel=2, padding=0),
    "feed": lambda network: feed_through(network, Upsample(function="bilinear", factor=2), 8),
    "fold": lambda network: feed_by_space_to_depth(network, 2),
    "skip": lambda network: skip_strides(network, 2),
    "dilated": dilated,
    "convcut": with_conv_shortcuts,
    "widths": lambda network: with_widths(network, [4, 6]),
    "scaled": lambda network: scale_widths(network, 2),
    "deeper": lambda network: with_depth(network, 3),
    "counts": lambda network: with_counts(network, find_repeats(network), [2]),
    "expansions": with_free_expansions,
    "narrowed": lambda network: narrowed(network, [4, 6]),
    "removed": lambda network: remove_channels(network, {"down": [True, False] * 8}).architecture,
    "segments": in_segments,
}


@pytest.mark.parametrize("name", EDITS)
def test_edits_keep_the_exits(name: str) -> None:
    edited = EDITS[name](early())
    assert edited.answers == ("early", "late")
    assert edited != early() or name in ("json", "expansions", "segments")
    torch.manual_seed(0)
    scores = build(edited).eval().exits(torch.rand(1, *edited.input))
    assert [tuple(values.shape[1:]) for values in scores] == [edited.output] * 2


@pytest.mark.parametrize(("after", "answers"), [("early", ("soft", "late")), ("late", ("early", "soft"))])
def test_a_layer_behind_an_exit_answers(after: str, answers: tuple[str, ...]) -> None:
    assert insert(early(), "soft", Activation(function="softmax"), after=after).answers == answers


def test_classes_of_every_exit() -> None:
    edited = with_classes(early(), 7)
    assert edited.output == edited.shapes["early"] == (7,)
    assert (classifier(edited).name, classifier(edited, "early").name) == ("late", "early")
    assert with_classes(edited, 5) == early()


@pytest.mark.parametrize("answer", ["early", "late"])
def test_an_exit_without_a_classifier(answer: str) -> None:
    sketch = Sketch((2, 4, 4))
    sketch.add("flatten", Flatten())
    linear = sketch.add("linear", Linear(out_features=5))
    product = sketch.add("early", Multiply(), linear, linear)
    network = insert(sketch.finish(), "late", Linear(out_features=5), after=product)
    network = Architecture(input=network.input, nodes=network.nodes, exits=("early",))
    assert classifier(network, "late").name == "late"
    with pytest.raises(NetworkError, match=r"'early' \(multiply\) makes them"):
        classifier(network, "early")
    with pytest.raises(NetworkError, match=r"'early' \(multiply\) makes them"):
        with_classes(network, 3)


def test_classes_are_no_width() -> None:
    groups = find_width_groups(early())
    assert [(group.name, group.width, group.layers) for group in groups.groups] == [
        ("stem", 8, ("stem", "block")),
        ("down", 16, ("down",)),
    ]


@settings(max_examples=40, suppress_health_check=SLOW_DATA)
@given(architecture=networks_with_exits(), seed=st.integers(0, 2**32 - 1))
def test_shrunk_is_masked_at_every_exit(architecture: Architecture, seed: int) -> None:
    network = trained(architecture, seed=seed).eval()
    keep = random_keep(architecture, seed, named=0.7)
    assert shrink(network, {}).architecture == architecture
    try:
        shrunk = shrink(network, keep)
    except NetworkError:  # test_removal.py says which
        return
    assert shrunk.architecture.exits == architecture.exits
    with torch.no_grad():
        images = images_for(network, 2)
        for given_, expected in zip(shrunk.exits(images), mask(network, keep).exits(images), strict=True):
            assert torch.allclose(given_, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


def test_blocks_with_an_exit_do_not_repeat() -> None:
    """Of three equal blocks, each with a head, the last alone has no exit; it is no run of one, as it is a chain."""
    sketch = Sketch((4, 8, 8))
    exits, trunk = [], INPUT
    for i in range(4):
        trunk = sketch.add(f"conv{i}", Conv(out_channels=4, kernel=3, padding=1), trunk)
        if i < 3:
            sketch.add(f"flatten{i}", Flatten())
            exits.append(sketch.add(f"exit{i}", Linear(out_features=3)))
    sketch.add("flatten", Flatten(), trunk)
    sketch.add("scores", Linear(out_features=3))
    assert find_repeats(sketch.finish(exits=tuple(exits))) == []


def test_what_every_exit_sees_is_covered() -> None:
    """The last exit looks at every second pixel, the first at all of them."""
    sketch = Sketch((1, 6, 6))
    sketch.add("flatten", Flatten())
    first = sketch.add("early", Linear(out_features=2))
    sketch.add("conv", Conv(out_channels=1, kernel=1, stride=2), INPUT)
    sketch.add("late_flatten", Flatten())
    sketch.add("late", Linear(out_features=2))
    assert count_coverage(sketch.finish(exits=(first,))) == 1


def test_a_trace_of_the_last_exit_has_no_others() -> None:
    network = early()
    head = 8 * 64 + 8 * 5  # pooling and classifier of the early exit, which fvcore's trace leaves out
    without = Architecture(
        input=network.input, nodes=tuple(node for node in network.nodes if not node.name.startswith("early"))
    )
    assert count_total(network, "fvcore") == count_total(without, "fvcore")
    assert count_total(network, "torchinfo") > count_total(without, "torchinfo")
    assert count_total(network, "thop") - count_total(without, "thop") == head + 8


@pytest.mark.parametrize("approach", ["I", "II", "III", "IV"])
def test_compensation_refuses_exits(approach: Any) -> None:
    message = f"approach {approach} needs a network with one answer, but it exits at early, too"
    with pytest.raises(NetworkError, match=message):
        apply_solution(early(), approach, {"resolution": 16})
    with pytest.raises(NetworkError, match=message):
        solve(early(), approach, resolutions=[16, 24], network={"macs": (1, 10**9)})
    assert base_row(early()) == {}


def test_parallel_networks_refuse_exits() -> None:
    with pytest.raises(NetworkError, match="must have one answer to average, but exits at early, too"):
        parallel(early(), 2, "depth-first")


def test_every_maker_of_networks_says_its_exits() -> None:
    """Who makes a network of another and forgets the exits would drop them in silence."""
    without = set()
    for package in ("search_spaces", "trials", "nas", "dashboards"):
        for path in (ROOT / package).rglob("*.py"):
            calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
            makers = [call for call in calls if getattr(call.func, "id", "") == "Architecture"]
            if any("exits" not in {keyword.arg for keyword in call.keywords} for call in makers):
                without.add(str(path.relative_to(ROOT)))
    assert without == {
        "search_spaces/compensation/apply.py",  # these two refuse exits
        "search_spaces/parallel.py",
        "search_spaces/zoo/lenet.py",  # this one begins anew
    }


def test_a_network_up_to_an_exit() -> None:
    """The low network alone, and the whole one for the last exit."""
    base = make_network("resnet18:stem=32", resolution=32)
    network = multi_scale(base)
    low, whole = up_to_exit(network, 0), up_to_exit(network, 1)
    assert count_cost(low).macs == exit_costs(network)[0].macs == count_cost(with_resolution(base, 16)).macs
    assert (low.exits, low.nodes[-1].name) == ((), network.exits[0])
    assert count_cost(whole).bounded() == count_cost(network).bounded()
    assert whole.answers == network.answers
