"""Networks that lost channels: what they cost, what their expansions compute, which groups lose the same channels."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Architecture, Cost, NetworkError, count_cost, ops
from search_spaces.build import build
from search_spaces.kept import Flags
from search_spaces.narrowing import first_channels, narrowed, shares_left, tied_groups, with_free_expansions
from search_spaces.ops import channels_of
from search_spaces.owners import parts_of
from search_spaces.removal import remove_channels
from search_spaces.sketch import Sketch
from search_spaces.width_groups import WidthGroup, find_width_groups
from search_spaces.widths import scale_widths, with_widths
from search_spaces.zoo import make_network
from tests.search_spaces.trained_networks import images_for, trained

NAMES = (
    "vgg11",
    *(f"preact_resnet18:shortcuts={kind}" for kind in ("independent", "coupled", "conv")),
    *(f"neuralscale_mobilenetv2:shortcuts={kind}" for kind in ("independent", "coupled", "conv")),
    "resnet18:stem=32",
    "mobilenet_v2:stem=32",
    "densenet121:stem=32",
    "lenet",
)
BASES = {name: scale_widths(make_network(name), 1 / 8) for name in NAMES}  # widths of 1 to 160
EXPANDED = [name for name in NAMES if name.startswith("neuralscale_mobilenetv2")]


def widths_of(network: Architecture) -> tuple[int, ...]:
    return find_width_groups(network).widths


def chain(*layers: tuple[str, ops.Op]) -> Architecture:
    """Layers on images of 3 channels, and a classifier."""
    sketch = Sketch((3, 4, 4))
    for name, op in layers:
        sketch.add(name, op)
    return classified(sketch)


def classified(sketch: Sketch) -> Architecture:
    sketch.add("pool", ops.AdaptivePool())
    sketch.add("flatten", ops.Flatten())
    sketch.add("classifier", ops.Linear(out_features=2))
    return sketch.finish()


@pytest.mark.parametrize("factor", [1, 1 / 2])
@pytest.mark.parametrize("name", NAMES)
def test_costs_are_those_of_a_new_network_of_these_widths(name: str, factor: float) -> None:
    target = scale_widths(BASES[name], factor)
    narrow = narrowed(BASES[name], widths_of(target))
    assert count_cost(narrow) == count_cost(target)
    assert not [node.name for node in narrow.nodes if isinstance(node.op, ops.Select)]


@settings(max_examples=80)
@given(name=st.sampled_from(NAMES), factor=st.floats(1e-3, 1))
def test_costs_at_any_factor(name: str, factor: float) -> None:
    """A shortcut that projects stays a conv: only where both its ends come to one width does a new network save it."""
    base = BASES[name]
    target = scale_widths(base, factor)
    given, expected = count_cost(narrowed(base, widths_of(target))), count_cost(target)
    saved = [
        target.shapes[node.name]
        for node in base.nodes
        if isinstance(node.op, ops.Shortcut)
        and node.op.projects(base.source_shapes(node))
        and not node.op.projects(target.source_shapes(node))
    ]
    norm = 2 if name.startswith("neuralscale") else 0
    assert given.params == expected.params + sum(width**2 + norm * width for width, *_ in saved)
    assert given.macs == expected.macs + sum(width**2 * height * side for width, height, side in saved)
    if not saved:
        assert given == expected


def test_a_shortcut_whose_ends_come_to_one_width_keeps_its_conv() -> None:
    base = make_network("neuralscale_mobilenetv2:widths=" + "-".join(["8", "4"] + ["6"] * 17))
    costs = [count_cost(make(base, [2] * 19)) for make in (narrowed, with_widths)]
    kept = [costs[0].params - costs[1].params, costs[0].macs - costs[1].macs]
    # of 8 to 4 channels and of 4 to 6, both at 32 px, 2 to 2 are left: a conv and a norm each
    assert kept == [2 * (2 * 2 + 2 * 2), 2 * 2 * 2 * 32**2]


@settings(max_examples=40)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 10**6))
def test_any_channels_may_stay(name: str, seed: int) -> None:
    """Also of other widths in every group, as long as tied groups keep the same channels."""
    base, rng = BASES[name], np.random.default_rng(seed)
    groups = find_width_groups(base)
    rows: dict[int, Flags] = {}
    for tied in tied_groups(base, groups):
        row = random_flags(groups.groups[tied[0]], rng)
        rows |= dict.fromkeys(tied, row)
    widths = [int(rows[i].sum()) for i in range(len(groups.groups))]
    keep = {group.name: rows[i] for i, group in enumerate(groups.groups)}
    target, wide = with_widths(base, widths), with_free_expansions(base)
    for group in find_width_groups(wide).groups:
        if group.name not in keep:  # an expansion
            keep[group.name] = random_flags(group, rng, channels_of(target.shapes[group.name]))
    assert remove_channels(wide, keep).architecture == narrowed(base, widths)


def random_flags(group: WidthGroup, rng: np.random.Generator, width: int | None = None) -> Flags:
    """As many in each part of the group: so many in all, or a random number."""
    parts = parts_of(group)
    count = int(rng.integers(1, parts.shape[1] + 1)) if width is None else width // group.divisor
    flags = np.zeros(group.width, bool)
    for part in parts:
        flags[rng.permutation(part)[:count]] = True
    return flags


def test_expansions_keep_their_proportion() -> None:
    base = BASES["neuralscale_mobilenetv2:shortcuts=independent"]
    widths = widths_of(scale_widths(base, 1 / 2))
    narrow, left = narrowed(base, widths), iter(widths)
    assert narrow.shapes["stem"][0] == next(left)
    source = "stem"
    for node in base.nodes:
        if node.name.endswith("_expand"):
            factor = 1 if node.name.startswith("stage1") else 6
            assert narrow.shapes[node.name][0] == factor * narrow.shapes[source][0]
        if node.name.endswith("_project"):
            assert narrow.shapes[node.name][0] == next(left)
            source = node.name


def test_parts_of_a_grouped_conv_lose_equally_many() -> None:
    base = chain(("a", ops.Conv(out_channels=12, kernel=1)), ("b", ops.Conv(out_channels=9, kernel=1, groups=3)))
    narrow = narrowed(base, [6, 3])
    assert [narrow.shapes[name][0] for name in ("a", "b")] == [6, 3]
    assert count_cost(narrow).params == 6 * (3 + 1) + 3 * (6 // 3 + 1) + 2 * (3 + 1)
    group = find_width_groups(base).groups[0]
    assert first_channels(group, 6).tolist() == [True, True, False, False] * 3


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ([8, 16, 32, 33, 64, 64, 64, 64], r"^'conv4' must lose channels, but has 32 and would get 33$"),
        ([9, 16, 32, 32, 64, 64, 64, 64], r"^'conv1' must lose channels, but has 8 and would get 9$"),
        ([8, 16, 32, 32, 64, 64, 64], "there must be 8 widths .* but got 7"),
        ([8, 16, 32, 0, 64, 64, 64, 64], "width of conv4 must be an integer of at least 1"),
    ],
)
def test_impossible_widths(widths: list[int], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        narrowed(BASES["vgg11"], widths)


def test_what_no_channel_may_be_removed_of() -> None:
    normed = chain(("a", ops.Conv(out_channels=4, kernel=1)), ("norm", ops.LayerNorm()))
    assert narrowed(normed, [4]) == normed
    with pytest.raises(NetworkError, match="node 'norm': layer_norm depends on all of its channels"):
        narrowed(normed, [3])


@pytest.mark.parametrize("name", EXPANDED)
def test_free_expansions_compute_the_same(name: str) -> None:
    network = trained(BASES[name]).eval()
    free = build(with_free_expansions(BASES[name])).double().eval()
    free.load_state_dict(network.state_dict())
    images = images_for(network, 2)
    with torch.no_grad():
        assert torch.equal(free(images), network(images))
    assert not [node for node in free.architecture.nodes if isinstance(node.op, ops.Expand)]
    assert count_cost(free.architecture) == count_cost(BASES[name])
    names = [{group.name for group in find_width_groups(one).groups} for one in (free.architecture, BASES[name])]
    expansions = {node.name for node in BASES[name].nodes if isinstance(node.op, ops.Expand)}
    assert len(expansions) == 17
    assert names[0] == names[1] | expansions


@pytest.mark.parametrize("bias", [False, True])
def test_an_expansion_keeps_its_bias(bias: bool) -> None:
    free = with_free_expansions(
        chain(("a", ops.Conv(out_channels=2, kernel=1)), ("b", ops.Expand(factor=3, bias=bias)))
    )
    assert free.node("b").op == ops.Conv(out_channels=6, kernel=1, bias=bias)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in EXPANDED])
def test_without_expansions_nothing_changes(name: str) -> None:
    assert with_free_expansions(BASES[name]) == BASES[name]


PREACT = [
    ["stem", "stage1_block0_conv2", "stage1_block1_conv2"],
    *([f"stage{stage}_block{block}_conv2" for block in (0, 1)] for stage in (2, 3, 4)),
]
MOBILE = [
    [f"stage{stage}_block{block}_project" for block in range(depth)]
    for stage, depth in enumerate((1, 2, 3, 4, 3, 3, 1), start=1)
    if depth > 1
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("preact_resnet18", PREACT),
        ("neuralscale_mobilenetv2", MOBILE),
        # of stage 1 only the second block, of stage 4 none has an identity
        ("preact_resnet18:widths=" + "-".join("46585" + "8888" + "6666" + "8687"), [PREACT[0][1:], *PREACT[1:3]]),
        ("preact_resnet18:shortcuts=conv", []),
        ("preact_resnet18:shortcuts=coupled", []),  # one group already
        ("neuralscale_mobilenetv2:shortcuts=conv", []),
        ("vgg11", []),
        ("resnet18", []),
    ],
)
def test_tied_groups(name: str, expected: list[list[str]]) -> None:
    assert tied_names(make_network(name)) == expected


def tied_names(network: Architecture) -> list[list[str]]:
    """Names of the groups that are tied; all others must stand alone."""
    groups = find_width_groups(network)
    sets = tied_groups(network, groups)
    assert sorted(i for tied in sets for i in tied) == list(range(len(groups.groups)))
    return [[groups.groups[i].name for i in tied] for tied in sets if len(tied) > 1]


def test_ties_of_ties() -> None:
    sketch = Sketch((3, 4, 4))
    for pair in ("ab", "cd"):
        for name in pair:
            sketch.add(name, ops.Conv(out_channels=5, kernel=1))
        sketch.add(f"{pair}_shortcut", ops.Shortcut(), pair[0], pair[0], pair[1])
        sketch.add(pair, ops.Add(), pair[1], f"{pair}_shortcut")
    sketch.add("e", ops.Conv(out_channels=5, kernel=1))  # of the same width, but no shortcut joins it
    sketch.add("shortcut", ops.Shortcut(), "ab", "ab", "cd")
    sketch.add("all", ops.Concat(), "e", "shortcut")
    assert tied_names(classified(sketch)) == [["a", "b", "c", "d"]]


def test_a_part_of_a_concat_is_not_tied_to_the_whole() -> None:
    sketch = Sketch((3, 4, 4))
    for name, width in (("a", 2), ("b", 3)):
        sketch.add(name, ops.Conv(out_channels=width, kernel=1), "input")
    sketch.add("both", ops.Concat(), "a", "b")
    sketch.add("c", ops.Conv(out_channels=5, kernel=1))
    sketch.add("shortcut", ops.Shortcut(), "both", "both", "c")
    sketch.add("sum", ops.Add(), "c", "shortcut")
    assert tied_names(classified(sketch)) == []


@pytest.mark.parametrize("source", ["input", "expand"])
def test_what_belongs_to_no_group_ties_none(source: str) -> None:
    sketch = Sketch((3, 4, 4))
    sketch.add("a", ops.Conv(out_channels=3, kernel=1))
    sketch.add("expand", ops.Expand(factor=1))
    sketch.add("b", ops.Conv(out_channels=3, kernel=1))
    sketch.add("shortcut", ops.Shortcut(), source, source, "b")
    sketch.add("sum", ops.Add(), "b", "shortcut")
    assert tied_names(classified(sketch)) == []


@pytest.mark.parametrize("name", NAMES)
def test_shares_left(name: str) -> None:
    wide, target = with_free_expansions(BASES[name]), scale_widths(BASES[name], 0.4)
    shares = shares_left(wide, narrowed(BASES[name], widths_of(target)))
    expected = {
        group.name: group.width / whole.width
        for group, whole in zip(find_width_groups(target).groups, find_width_groups(BASES[name]).groups, strict=True)
    }
    for node in BASES[name].nodes:
        if isinstance(node.op, ops.Expand):
            expected[node.name] = target.shapes[node.name][0] / wide.shapes[node.name][0]
    assert shares == expected
    assert set(shares_left(wide, wide).values()) == {1.0}


def test_shares_left_of_groups_that_have_become_one() -> None:
    base = make_network("preact_resnet18:widths=" + "-".join(["4"] * 17))
    narrow = narrowed(base, [3, 2, 3, 1, 3, *[4] * 12])
    assert "stage1_block1_conv2" not in {group.name for group in find_width_groups(narrow).groups}
    shares = shares_left(base, narrow)
    assert [shares[group.name] for group in find_width_groups(base).groups[:6]] == [0.75, 0.5, 0.75, 0.25, 0.75, 1.0]


@pytest.mark.parametrize("op", [ops.Chunk(parts=2, index=0), ops.ChannelShuffle(groups=2)], ids=lambda op: op.kind)
def test_expansions_that_are_parted(op: Any) -> None:
    base = chain(("a", ops.Conv(out_channels=4, kernel=1)), ("expand", ops.Expand(factor=2)), ("parted", op))
    costs: list[Cost] = [count_cost(make(base, [2])) for make in (narrowed, with_widths)]
    assert costs[0] == costs[1]
