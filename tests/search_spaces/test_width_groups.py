"""Width groups of networks made by hand, of torchvision's, and of random ones."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import INPUT, Architecture
from search_spaces.ops import (
    Activation,
    AdaptivePool,
    Add,
    Affine,
    BatchNorm,
    ChannelShuffle,
    Chunk,
    Concat,
    Conv,
    Depthwise,
    Expand,
    Flatten,
    GroupNorm,
    Linear,
    Multiply,
    Select,
    Shortcut,
    SpaceToBatch,
    SpaceToDepth,
)
from search_spaces.sketch import Sketch
from search_spaces.torchvision_networks import trace_torchvision
from search_spaces.width_groups import FIXED, Run, find_width_groups
from search_spaces.widths import count_channels, with_widths
from search_spaces.zoo import make_network
from tests.search_spaces.random_networks import networks

RELU = Activation(function="relu")


def conv(width: int, groups: int = 1) -> Conv:
    return Conv(out_channels=width, kernel=1, groups=groups)


def finished(sketch: Sketch) -> Architecture:
    sketch.add("head", conv(4))
    return sketch.finish()


def residual(sketch: Sketch) -> None:
    sketch.add("stem", conv(8))
    sketch.add("a", conv(6))
    sketch.add("norm", BatchNorm())
    sketch.add("b", conv(8))
    sketch.add("add", Add(), "b", "stem")


def depthwise(sketch: Sketch) -> None:
    sketch.add("expand", conv(6))
    sketch.add("dw", Depthwise(kernel=3, padding=1))
    sketch.add("dw2", Depthwise(kernel=3, padding=1, multiplier=2))
    sketch.add("project", conv(5))


def squeeze_excite(sketch: Sketch) -> None:
    sketch.add("stem", conv(8))
    sketch.add("pool", AdaptivePool())
    sketch.add("reduce", conv(2))
    sketch.add("restore", conv(8))
    sketch.add("multiply", Multiply(), "stem", "restore")


def concat(sketch: Sketch) -> None:
    """Offsets: the second conv's channels come after three of the image and the first's."""
    sketch.add("a", conv(5), INPUT)
    sketch.add("b", conv(7), INPUT)
    sketch.add("cat", Concat(), INPUT, "a", "b")
    sketch.add("c", conv(15))
    sketch.add("add", Add(), "c", "cat")


def add_across_a_concat(sketch: Sketch) -> None:
    """Four and two channels against two and four: three groups."""
    for name, width in (("a", 4), ("b", 2), ("c", 2), ("d", 4)):
        sketch.add(name, conv(width), INPUT)
    sketch.add("ab", Concat(), "a", "b")
    sketch.add("cd", Concat(), "c", "d")
    sketch.add("add", Add(), "ab", "cd")


def gated(sketch: Sketch) -> None:
    sketch.add("a", conv(10))
    sketch.add("first", Chunk(parts=2, index=0), "a")
    sketch.add("second", Chunk(parts=2, index=1), "a")
    sketch.add("sigmoid", Activation(function="sigmoid"))
    sketch.add("multiply", Multiply(), "first", "sigmoid")


def uneven_parts(sketch: Sketch) -> None:
    """Parts of three out of four and two channels: the first conv makes x, y, x, the second y."""
    sketch.add("a", conv(4), INPUT)
    sketch.add("b", conv(2), INPUT)
    sketch.add("cat", Concat(), "a", "b")
    sketch.add("first", Chunk(parts=2, index=0), "cat")
    sketch.add("second", Chunk(parts=2, index=1), "cat")
    sketch.add("multiply", Multiply(), "first", "second")


def shuffle(sketch: Sketch) -> None:
    sketch.add("a", conv(6), INPUT)
    sketch.add("b", conv(6), INPUT)
    sketch.add("cat", Concat(), "a", "b")
    sketch.add("shuffle", ChannelShuffle(groups=4))


def flattened(sketch: Sketch) -> None:
    sketch.add("a", conv(6))
    sketch.add("flatten", Flatten())
    sketch.add("hidden", Linear(out_features=9))
    sketch.add("last", Linear(out_features=4))


def shortcut(sketch: Sketch) -> None:
    """The block's width is free of its input's: where they differ, the shortcut projects."""
    sketch.add("stem", conv(8))
    sketch.add("relu", RELU)
    sketch.add("block", conv(8))
    sketch.add("skip", Shortcut(), "stem", "relu", "block")
    sketch.add("add", Add(), "block", "skip")


def expanded(sketch: Sketch) -> None:
    sketch.add("stem", conv(8))
    sketch.add("expand", Expand(factor=6))
    sketch.add("dw", Depthwise(kernel=3, padding=1))
    sketch.add("project", conv(8))
    sketch.add("add", Add(), "project", "stem")


def grouped(sketch: Sketch) -> None:
    sketch.add("a", conv(12))
    sketch.add("b", conv(9, groups=3))
    sketch.add("norm", GroupNorm(groups=9))
    sketch.add("dw", Depthwise(kernel=1, multiplier=4))
    sketch.add("c", conv(4, groups=4))


def together_divisible(sketch: Sketch) -> None:
    """3 + 5 channels in four groups: neither width is a multiple of four, so both stay."""
    for name, width in (("a", 3), ("b", 5), ("c", 8)):
        sketch.add(name, conv(width), INPUT)
    sketch.add("cat", Concat(), "a", "b", "c")
    sketch.add("d", conv(8, groups=4))


def unequal_repeats(sketch: Sketch) -> None:
    """Space-to-depth repeats channels fourfold, a conv does not: widths that a sum ties stay."""
    sketch.add("a", conv(2))
    sketch.add("fold", SpaceToDepth(block=2))
    sketch.add("b", conv(8))
    sketch.add("add", Add(), "b", "fold")
    sketch.add("c", conv(5))


def fixed_numbers(sketch: Sketch) -> None:
    """Constants of every channel and selected channels keep a width."""
    sketch.add("a", conv(3))
    sketch.add("factors", Affine(factors=(1.0, 2.0, 3.0), offsets=(0.0,)))
    sketch.add("b", conv(2))
    sketch.add("offsets", Affine(factors=(1.0,), offsets=(1.0, 2.0)))
    sketch.add("c", conv(5))
    sketch.add("select", Select(indices=(4, 0)))
    sketch.add("d", conv(6))
    sketch.add("one", Affine(factors=(2.0,), offsets=(1.0,)))


def fixed_by_a_later_layer(sketch: Sketch) -> None:
    """A sum with selected channels, which were made after, keeps a width too."""
    sketch.add("a", conv(2), INPUT)
    sketch.add("b", conv(5), INPUT)
    sketch.add("select", Select(indices=(4, 0)))
    sketch.add("add", Add(), "a", "select")


def projected_shortcut(sketch: Sketch) -> None:
    """What a shortcut passes on and what it projects have one shape."""
    sketch.add("stem", conv(8))
    sketch.add("projected", conv(8))
    sketch.add("block", conv(8))
    sketch.add("skip", Shortcut(), "stem", "projected", "block")


def replicas(sketch: Sketch) -> None:
    sketch.add("a", conv(6))
    sketch.add("split", SpaceToBatch(block=2))
    sketch.add("b", conv(5))
    sketch.add("flatten", Flatten())
    sketch.add("last", Linear(out_features=4))


def parts_of_repeats(sketch: Sketch) -> None:
    """Half of 3 x 4 channels ends between the four of one: nothing can change."""
    sketch.add("a", conv(3))
    sketch.add("fold", SpaceToDepth(block=2))
    sketch.add("half", Chunk(parts=2, index=0))
    sketch.add("other", Chunk(parts=2, index=1), "fold")
    sketch.add("add", Add(), "half", "other")


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (residual, ["stem b: 8", "a: 6"]),
        (depthwise, ["expand: 6", "project: 5"]),
        (squeeze_excite, ["stem restore: 8", "reduce: 2"]),
        (concat, ["a c: 5", "b c: 7"]),
        (add_across_a_concat, ["a c: 2", "a d: 2", "b d: 2"]),
        (gated, ["a: 5"]),
        (uneven_parts, ["a: 1", "a b: 2"]),
        (shuffle, ["a b: 3"]),
        (flattened, ["a: 6", "hidden: 9"]),
        (shortcut, ["stem: 8", "block: 8"]),
        (expanded, ["stem project: 8"]),
        (grouped, ["a: 12 by 3", "b: 9 by 9", "c: 4 by 4"]),
        (together_divisible, ["c: 8 by 4", "d: 8 by 4"]),
        (unequal_repeats, ["c: 5"]),
        (fixed_numbers, ["d: 6"]),
        (fixed_by_a_later_layer, []),
        (projected_shortcut, ["stem projected: 8", "block: 8"]),
        (replicas, ["a: 6", "b: 5"]),
        (parts_of_repeats, []),
    ],
)
def test_groups_by_hand(draw: Callable[[Sketch], None], expected: list[str]) -> None:
    sketch = Sketch((3, 4, 4))
    draw(sketch)
    network = sketch.finish() if sketch.last == "last" else finished(sketch)
    groups = find_width_groups(network).groups
    by = {group: f" by {group.divisor}" * (group.divisor > 1) for group in groups}
    assert [f"{' '.join(group.layers)}: {group.width}{by[group]}" for group in groups] == expected
    assert len({group.name for group in groups}) == len(groups)
    assert all(group.name.partition(".")[0] == group.layers[0] for group in groups)


def test_runs_say_where_channels_lie() -> None:
    sketch = Sketch((3, 4, 4))
    concat(sketch)
    runs = find_width_groups(finished(sketch)).runs
    image, a, b = Run(FIXED, 3), Run(0, 1), Run(1, 1)
    assert runs["cat"] == runs["c"] == (image, a, b)
    assert runs["head"] == (Run(FIXED, 4),)
    sketch = Sketch((3, 4, 4))
    flattened(sketch)
    assert find_width_groups(sketch.finish()).runs["flatten"] == (Run(0, 16),)


def test_shuffle_by_hand() -> None:
    """Both convs make two parts of three channels each; all four are one group."""
    sketch = Sketch((3, 4, 4))
    shuffle(sketch)
    wider = with_widths(finished(sketch), [5])
    assert (wider.shapes["a"][0], wider.shapes["b"][0]) == (10, 10)


@given(network=networks(), data=st.data())
def test_groups_of_random_networks(network: Architecture, data: st.DataObject) -> None:
    groups = find_width_groups(network)
    for name, shape in network.shapes.items():
        assert shape[0] == count_channels(groups.runs[name], groups.widths)
    assert all(group.width % group.divisor == 0 for group in groups.groups)
    widths = tuple(group.divisor * data.draw(st.integers(1, 5)) for group in groups.groups)
    again = find_width_groups(with_widths(network, widths))
    assert again.widths == widths
    assert again.runs == groups.runs
    assert [group.layers for group in again.groups] == [group.layers for group in groups.groups]


# --- whole networks


def test_resnet18_has_twelve_groups() -> None:
    """One for each of the four residual streams, one inside each of the eight blocks."""
    for network in (make_network("resnet18"), trace_torchvision("resnet18").architecture):
        groups = find_width_groups(network).groups
        assert sorted(group.width for group in groups) == [64] * 3 + [128] * 3 + [256] * 3 + [512] * 3
        assert [len(group.layers) for group in groups if len(group.layers) > 1] == [3, 3, 3, 3]
        assert all(group.divisor == 1 for group in groups)


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("alexnet", {64: 1, 192: 1, 384: 1, 256: 2, 4096: 2}),
        ("vgg11", {64: 1, 128: 1, 256: 2, 512: 4, 4096: 2}),
        ("densenet121", {64: 1, 128: 58 + 1, 32: 58, 256: 1, 512: 1}),  # 58 layers of two convs, three transitions
        ("squeezenet1_0", {96: 1, 16: 2, 32: 2, 48: 2, 64: 4 + 2, 128: 4, 192: 4, 256: 4}),
        ("shufflenet_v2_x0_5", {24: 1 + 5, 48: 9, 96: 5, 1024: 1}),  # a stage's width, and one inside each unit
        ("resnext50_32x4d", {64: 1, 128: 6, 256: 8 + 1, 512: 12 + 1, 1024: 6 + 1, 2048: 1}),
    ],
)
def test_groups_of_torchvisions_networks(name: str, widths: dict[int, int]) -> None:
    groups = find_width_groups(trace_torchvision(name).architecture).groups
    assert Counter(group.width for group in groups) == widths
    cardinality = 32 if name.startswith("resnext") else 1
    inner = [group for group in groups if len(group.layers) == 1 and group.name != "conv1"]
    assert {group.divisor for group in inner} == {cardinality}


def test_groups_of_the_zoo() -> None:
    counts = {name: len(find_width_groups(make_network(name)).groups) for name in ("preact_resnet18", "lenet", "vgg11")}
    assert counts == {"preact_resnet18": 17, "lenet": 3, "vgg11": 8}
    assert len(find_width_groups(make_network("neuralscale_mobilenetv2")).groups) == 19
    coupled = find_width_groups(make_network("preact_resnet18:shortcuts=coupled"))
    assert len(coupled.groups) == 12  # as in resnet18
