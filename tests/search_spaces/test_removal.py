"""Narrower networks: which layers take whose place, and what cannot be removed."""

from collections.abc import Callable

import numpy as np
import pytest

from search_spaces import INPUT, Architecture, NetworkError, count_cost, ops
from search_spaces.kept import Flags, kept_channels
from search_spaces.removal import _Rewriting, remove_channels
from search_spaces.sketch import Sketch
from search_spaces.torchvision_networks import trace_torchvision
from search_spaces.width_groups import find_width_groups
from search_spaces.widths import with_widths
from search_spaces.zoo import ZOO, make_network
from tests.search_spaces.random_masks import random_keep

SMALL = {"lenet": "lenet", "isometric": "isometric:depth=2,internal=8"}
NARROW = "preact_resnet18:widths=" + "-".join(["4"] * 16 + ["5"])


def flags(text: str) -> Flags:
    """From a text of 1 and 0."""
    return np.array([letter == "1" for letter in text])


def finish(sketch: Sketch) -> Architecture:
    """The sketch with a classifier."""
    sketch.add("pool", ops.AdaptivePool())
    sketch.add("flatten", ops.Flatten())
    sketch.add("classifier", ops.Linear(out_features=3))
    return sketch.finish()


@pytest.mark.parametrize("name", ZOO)
def test_nothing_removed_is_the_same_network(name: str) -> None:
    network = make_network(SMALL.get(name, name))
    everything = {group.name: [True] * group.width for group in find_width_groups(network).groups}
    assert remove_channels(network, {}).architecture.id == network.id
    assert remove_channels(network, everything).architecture.id == network.id


PLAIN = [name for name in ZOO if name not in ("preact_resnet18", "neuralscale_mobilenetv2")]


@pytest.mark.parametrize("name", [*PLAIN, "preact_resnet18:shortcuts=coupled", "preact_resnet18:shortcuts=conv"])
def test_coupled_groups_leave_the_network_with_their_widths(name: str) -> None:
    check_widths(make_network(SMALL.get(name, name)))


@pytest.mark.parametrize("name", ["googlenet", "squeezenet1_1", "resnext50_32x4d", "regnet_y_400mf"])
def test_torchvisions_too(name: str) -> None:
    check_widths(trace_torchvision(name, classes=10).architecture)


def check_widths(network: Architecture) -> None:
    keep = random_keep(network, seed=1)
    widths = [int(keep[group.name].sum()) for group in find_width_groups(network).groups]
    assert remove_channels(network, keep).architecture == with_widths(network, widths)


def test_identity_shortcuts_become_selects_or_go() -> None:
    network = make_network(NARROW)
    keep = {"stem": flags("1101"), "stage1_block0_conv2": flags("0111"), "stage1_block1_conv2": flags("0111")}
    narrow = remove_channels(network, keep).architecture
    assert narrow.node("stage1_block0_shortcut").op == ops.Select(indices=(1, -1, 2))
    assert narrow.node("stage1_block0_shortcut").inputs == ("stem",)
    assert narrow.node("stage1_block0_add").inputs == ("stage1_block0_conv2", "stage1_block0_shortcut")
    assert narrow.node("stage1_block1_add").inputs == ("stage1_block1_conv2", "stage1_block0_add")
    assert "stage1_block1_shortcut" not in narrow.shapes
    assert narrow.node("stage4_block0_shortcut") == network.node("stage4_block0_shortcut")  # nothing is removed there
    assert narrow.shapes["stage1_block1_add"] == (3, 32, 32)


def test_projecting_shortcuts_become_convs() -> None:
    network = make_network(NARROW)
    narrow = remove_channels(network, {"stage4_block1_conv2": flags("10110")})
    conv = ops.Conv(out_channels=3, kernel=1, bias=False)
    node = narrow.architecture.node("stage4_block1_shortcut")
    assert (node.op, node.inputs) == (conv, ("stage4_block1_norm1_relu",))
    narrow = remove_channels(network, {"stage1_block1_conv2": flags("0110")})
    node = narrow.architecture.node("stage2_block0_shortcut")
    assert (node.op, node.inputs) == (
        ops.Conv(out_channels=4, kernel=1, stride=2, bias=False),
        ("stage2_block0_norm1_relu",),
    )
    assert not narrow.norms


def test_a_projecting_shortcut_with_equal_widths_left_is_no_identity() -> None:
    network = make_network("neuralscale_mobilenetv2:widths=" + "-".join(["4", "6"] + ["4"] * 17))
    removal = remove_channels(network, {"stage1_block0_project": flags("110110")})  # 4 to 6 channels become 4 to 4
    node = removal.architecture.node("stage1_block0_shortcut")
    assert node.op == ops.Conv(out_channels=4, kernel=1, bias=False)
    assert removal.norms["stage1_block0_shortcut"] == "stage1_block0_shortcut_norm"
    norm = removal.architecture.node("stage1_block0_shortcut_norm")
    assert (norm.op, norm.inputs) == (ops.BatchNorm(), ("stage1_block0_shortcut",))
    assert removal.architecture.node("stage1_block0_add").inputs[1] == norm.name


def test_expand_becomes_a_conv_that_keeps_its_width() -> None:
    network = make_network("neuralscale_mobilenetv2:widths=" + "-".join(["4"] * 19))
    narrow = remove_channels(network, {"stem": flags("1000"), "stage2_block0_project": flags("0111")}).architecture
    assert narrow.node("stage1_block0_expand").op == ops.Conv(out_channels=4, kernel=1, bias=False)
    assert narrow.node("stage2_block1_expand").op == ops.Conv(out_channels=24, kernel=1, bias=False)
    assert narrow.node("stage3_block1_expand") == network.node("stage3_block1_expand")


def unequal(op: ops.Op) -> Architecture:
    """A conv `a`, an Expand of it, which keeps all, and a layer of both."""
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=4, kernel=1))
    sketch.add("b", ops.Expand(factor=1))
    sketch.add("x", op, "b", "a")
    return finish(sketch)


def test_sums_and_products_align_their_sources() -> None:
    narrow = remove_channels(unequal(ops.Add()), {"a": flags("0101")}).architecture
    assert narrow.node("x").inputs == ("b", "a_select")
    assert narrow.node("a_select").op == ops.Select(indices=(-1, 0, -1, 1))
    narrow = remove_channels(unequal(ops.Multiply()), {"a": flags("0101")}).architecture
    assert narrow.node("x").inputs == ("b_select", "a")
    assert narrow.node("b_select").op == ops.Select(indices=(1, 3))


def test_one_select_serves_several_sums() -> None:
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=2, kernel=1))
    sketch.add("b", ops.Expand(factor=1))
    sketch.add("a_select", ops.Add(), "a", "b")  # a name that is taken
    sketch.add("sum", ops.Add(), "a", "b")
    sketch.add("both", ops.Concat(), "a_select", "sum")
    narrow = remove_channels(finish(sketch), {"a": flags("01")}).architecture
    assert [node.name for node in narrow.nodes if isinstance(node.op, ops.Select)] == ["a_select_2"]
    assert narrow.node("a_select").inputs == narrow.node("sum").inputs == ("a_select_2", "b")


def moving(*layers: ops.Op) -> Architecture:
    """Conv `a` of four channels, concat with an Expand of it, which keeps all, and layers that move those eight."""
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=4, kernel=1))
    sketch.add("b", ops.Expand(factor=1))
    sketch.add("x", ops.Concat(), "b", "a")
    for i, layer in enumerate(layers):
        sketch.add(f"y{i}", layer)
    return finish(sketch)


def test_shuffles_and_chunks_become_selects_where_parts_differ() -> None:
    network = moving(ops.ChannelShuffle(groups=2), ops.Chunk(parts=2, index=1))
    narrow = remove_channels(network, {"a": flags("0111")}).architecture
    assert narrow.shapes["x"] == (7, 4, 4)  # b0 b1 b2 b3 a1 a2 a3; the shuffle gives b0 a0 b1 a1 b2 a2 b3 a3
    assert narrow.node("y0").op == ops.Select(indices=(0, 1, 4, 2, 5, 3, 6))
    assert narrow.node("y1").op == ops.Select(indices=(3, 4, 5, 6))


def test_shuffles_and_chunks_stay_where_parts_keep_the_same() -> None:
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=8, kernel=1))
    sketch.add("shuffle", ops.ChannelShuffle(groups=2))
    sketch.add("first", ops.Chunk(parts=2, index=0), "a")
    sketch.add("both", ops.Concat(), "shuffle", "first")
    network = finish(sketch)
    narrow = remove_channels(network, {"a": flags("0110")}).architecture
    assert narrow.node("shuffle") == network.node("shuffle")
    assert narrow.node("first") == network.node("first")
    assert narrow.shapes["both"] == (6, 4, 4)


def test_a_part_of_which_nothing_is_left() -> None:
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=8, kernel=1))
    sketch.add("shuffle", ops.ChannelShuffle(groups=2))  # a0 a4 a1 a5 a2 a6 a3 a7
    sketch.add("first", ops.Chunk(parts=2, index=0))
    with pytest.raises(NetworkError, match=r"node 'first': at least one .*, but none of 4 does; keep more of 'a'$"):
        remove_channels(finish(sketch), {"a": flags("0011")})


def test_what_only_a_shape_was_read_of_goes() -> None:
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=4, kernel=1))
    sketch.add("activated", ops.PReLU(per_channel=True))  # no conv reads it: the identity serves
    sketch.add("block", ops.Conv(out_channels=4, kernel=1), "a")
    sketch.add("skip", ops.Shortcut(), "a", "activated", "block")
    sketch.add("sum", ops.Add(), "block", "skip")
    network = finish(sketch)
    narrow = remove_channels(network, {"a": flags("0011")}).architecture
    assert "activated" not in narrow.shapes
    assert count_cost(narrow).params == 2 * (2 + 1) + 4 * (2 + 1) + 3 * (4 + 1)


def test_a_shortcut_that_answers_stays_last() -> None:
    sketch = Sketch((2, 1, 1))
    sketch.add("a", ops.Conv(out_channels=4, kernel=1))
    sketch.add("b", ops.Expand(factor=1))
    sketch.add("block", ops.Conv(out_channels=4, kernel=1))
    sketch.add("skip", ops.Shortcut(), "b", "a", "block")
    narrow = remove_channels(sketch.finish(), {"a": flags("0011")}).architecture
    assert [node.name for node in narrow.nodes] == ["a", "b", "skip"]
    assert narrow.node("skip").op == ops.Select(indices=(0, 1, 2, 3))


@pytest.mark.parametrize(
    ("op", "flags_of_x", "narrow"),
    [
        (
            ops.Affine(factors=(2.0, 3.0, 4.0, 5.0), offsets=(0.5,)),
            "1101",
            ops.Affine(factors=(2.0, 3.0, 5.0), offsets=(0.5,)),
        ),
        (ops.Select(indices=(3, -1, 2, 0, 0)), "11011", ops.Select(indices=(2, -1, 0, 0))),
    ],
)
def test_what_names_its_channels(op: ops.Op, flags_of_x: str, narrow: ops.Op) -> None:
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=4, kernel=1))
    sketch.add("x", op)
    network = finish(sketch)
    assert not find_width_groups(network).groups  # today's groups fix their sources
    kept = kept_channels(network, {}) | {"a": flags("1101"), "x": flags(flags_of_x)}
    rewriting = _Rewriting(network, kept)
    rewriting.add(network.nodes[0])
    rewriting.add(network.nodes[1])
    assert [node.op for node in rewriting.nodes] == [ops.Conv(out_channels=3, kernel=1), narrow]


def refused(*layers: ops.Op) -> Callable[[], Architecture]:
    def make() -> Architecture:
        sketch = Sketch((2, 4, 4))
        sketch.add("a", ops.Conv(out_channels=4, kernel=1))
        for i, layer in enumerate(layers):
            sketch.add(f"x{i}", layer)
        return finish(sketch)

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            refused(ops.LayerNorm()),
            "node 'x0': layer_norm depends on all of its channels, so none may be removed, but ",
        ),
        (
            refused(ops.GroupNorm(groups=4)),
            "node 'x0': group_norm depends on all .*, but 1 of 4 are; keep all of 'a', ",
        ),
        (refused(ops.BatchNorm(), ops.Activation(function="softmax")), "node 'x1': softmax depends on all"),
        (refused(ops.Activation(function="log_softmax")), "node 'x0': log_softmax depends on all .* or mask them$"),
        (
            refused(ops.Conv(out_channels=6, kernel=1, groups=2)),
            "node 'x0': each of its 2 groups must keep equally .*, but in it keeps 1 to 2; choose others of 'a', or",
        ),
        (
            lambda: refused(ops.Conv(out_channels=4, kernel=1, groups=2))().with_ops(
                {"a": ops.Conv(out_channels=4, kernel=1)}
            ),
            "node 'x0': each of its 2 groups",
        ),
    ],
)
def test_what_cannot_be_removed(make: Callable[[], Architecture], message: str) -> None:
    with pytest.raises(NetworkError, match=message) as caught:
        remove_channels(make(), {"a": flags("1110")})
    assert "\n" not in str(caught.value)


def test_outputs_of_a_grouped_conv_too() -> None:
    network = refused(ops.Conv(out_channels=4, kernel=1, groups=2))()
    with pytest.raises(NetworkError, match=r"but out it keeps 0 to 2; choose others of 'x0', or mask them"):
        remove_channels(network, {"x0": flags("1100")})
    narrow = remove_channels(network, {"a": flags("0110"), "x0": flags("1001")}).architecture
    assert narrow.node("x0").op == ops.Conv(out_channels=2, kernel=1, groups=2)
    assert INPUT in narrow.node("a").inputs
