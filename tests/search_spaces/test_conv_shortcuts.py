"""Convs in place of identity shortcuts: the zoo's networks with convs, sums by hand, widths that become free."""

import pytest
import torch
from torch import Tensor, nn

from search_spaces import INPUT, Architecture, NetworkError, count_cost, ops
from search_spaces.build import Network, build
from search_spaces.conv_shortcuts import with_conv_shortcuts
from search_spaces.cost import layer_costs
from search_spaces.sketch import Sketch
from search_spaces.width_groups import find_width_groups
from search_spaces.widths import scale_widths, with_widths
from search_spaces.zoo import make_network
from tests.search_spaces.trained_networks import assert_close, images_for, trained

# widths of the blocks whose shortcut is the identity
RESNET18 = [64] * 2 + [128] + [256] + [512]
MOBILENET = [24] + [32] * 2 + [64] * 3 + [96] * 2 + [160] * 2
COUPLED = {
    "resnet18": RESNET18,
    "resnet34": [64] * 3 + [128] * 3 + [256] * 5 + [512] * 2,
    "resnet50": [256] * 2 + [512] * 3 + [1024] * 5 + [2048] * 2,
    "preact_resnet18:shortcuts=coupled": RESNET18,
    "mobilenet_v2": MOBILENET,
    "neuralscale_mobilenetv2:shortcuts=coupled": MOBILENET,
    "mobilenet_v3_small": [24] + [40] * 2 + [48] + [96] * 2,
    "isometric:depth=3,internal=8": [64] * 3,
}
SMALL = ("resnet18:stem=32", "mobilenet_v2:stem=32", "preact_resnet18:shortcuts=coupled")


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("preact_resnet18", ""),
        ("preact_resnet18", "44686888555667878"),  # some blocks project, others do not
        ("neuralscale_mobilenetv2", ""),
        ("neuralscale_mobilenetv2", "4466644556644556644"),
    ],
)
def test_independent_networks_become_the_zoos_with_convs(name: str, widths: str) -> None:
    settings = ",widths=" + "-".join(widths) if widths else ""
    independent, zoo = (make_network(f"{name}:shortcuts={kind}{settings}") for kind in ("independent", "conv"))
    made = with_conv_shortcuts(independent)
    assert layer_costs(made) == layer_costs(zoo)
    assert count_cost(made) == count_cost(zoo)
    assert made == zoo


@pytest.mark.parametrize("name", COUPLED)
def test_each_identity_costs_a_conv_and_a_norm(name: str) -> None:
    base = make_network(name)
    made = with_conv_shortcuts(base)
    assert count_cost(made).params - count_cost(base).params == sum(width**2 + 2 * width for width in COUPLED[name])
    new = [node for node in made.nodes if node.name not in base.shapes]
    assert [node.op.kind for node in new] == ["conv", "batch_norm"] * len(COUPLED[name])
    assert [made.shapes[node.name][0] for node in new[::2]] == COUPLED[name]
    assert len(find_width_groups(made).groups) == len(find_width_groups(base).groups) + len(COUPLED[name])


def test_macs_by_hand() -> None:
    base = make_network("resnet18:stem=32")
    added = count_cost(with_conv_shortcuts(base)).macs - count_cost(base).macs
    assert added == 2 * 64**2 * 32**2 + 128**2 * 16**2 + 256**2 * 8**2 + 512**2 * 4**2


@pytest.mark.parametrize("name", SMALL)
def test_convs_that_copy_are_the_identity(name: str) -> None:
    base = trained(scale_widths(make_network(name), 1 / 8)).eval()
    made = build(with_conv_shortcuts(base.architecture)).double().eval()
    made.load_state_dict({**made.state_dict(), **base.state_dict()})
    for node in made.architecture.nodes:
        if node.name not in base.architecture.shapes:
            copy(made, node.name)
    images = images_for(base, 2)
    assert_close(made(images), base(images), 1e-10)


def copy(network: Network, name: str) -> None:
    """Make a conv or norm the identity."""
    module = network.get_submodule(name)
    if isinstance(module, nn.BatchNorm2d):
        assert module.running_var is not None
        nn.init.constant_(module.running_var, 1 - module.eps)
    else:
        weight = module.weight
        assert isinstance(weight, Tensor)
        nn.init.dirac_(weight)


@pytest.mark.parametrize("name", SMALL)
def test_widths_of_blocks_are_free(name: str) -> None:
    base = scale_widths(make_network(name), 1 / 8)
    made = with_conv_shortcuts(base)
    free = {group.name: group for group in find_width_groups(made).groups}
    widths = [2 + i % 5 for i in range(len(free))]
    network = build(with_widths(made, widths)).eval()
    assert network(images_for(network, 2)).shape == (2, base.output[0])
    stage = [group for group in find_width_groups(base).groups if len(group.layers) > 1]
    assert stage
    for group in stage:
        ends = [layer for layer in group.layers if layer in free]
        assert len(ends) > 1, "each end of a block has a width of its own"


def with_sum(*names: str) -> Architecture:
    """Convs `a` and `b` of the image, `c` of `b`, all of three channels, and a sum of some."""
    sketch = Sketch((3, 4, 4))
    for name, source in (("a", INPUT), ("b", INPUT), ("c", "b")):
        if name in names:
            sketch.add(name, ops.Conv(out_channels=3, kernel=1, bias=False), source)
    sketch.add("sum", ops.Add(), *names)
    sketch.add("pool", ops.AdaptivePool())
    sketch.add("flatten", ops.Flatten())
    sketch.add("classifier", ops.Linear(out_features=2))
    return sketch.finish()


@pytest.mark.parametrize("names", [("b", "c"), ("c", "b"), ("a", "b", "c"), (INPUT, "a"), ("a", INPUT)])
def test_a_skip_is_what_another_part_of_the_sum_is_computed_from(names: tuple[str, ...]) -> None:
    base = with_sum(*names)
    made = with_conv_shortcuts(base)
    skip = INPUT if INPUT in names else "b"
    expected = tuple("sum_shortcut" if name == skip else name for name in names)
    assert made.node("sum").inputs == expected
    # a network without norm: a conv with bias instead
    assert made.node("sum_shortcut").op == ops.Conv(out_channels=3, kernel=1, bias=True)
    assert made.node("sum_shortcut").inputs == (skip,)
    assert count_cost(made).params == count_cost(base).params + 3 * 3 + 3
    with torch.no_grad():
        assert build(made)(torch.rand(2, *made.input)).shape == (2, 2)


def test_a_shortcut_that_is_a_skip_itself_gets_one_conv() -> None:
    sketch = Sketch((3, 4, 4))
    for name in ("a", "b"):
        sketch.add(name, ops.Conv(out_channels=3, kernel=1))
    sketch.add("shortcut", ops.Shortcut(), "a", "a", "b")
    sketch.add("c", ops.Conv(out_channels=3, kernel=1))
    sketch.add("sum", ops.Add(), "c", "shortcut")
    sketch.add("all", ops.Add(), "sum", "b")
    made = with_conv_shortcuts(sketch.finish())
    assert [node.name for node in made.nodes] == ["a", "b", "shortcut", "c", "sum", "all"]
    assert made.node("shortcut").op == ops.Conv(out_channels=3, kernel=1, bias=False)


NONE = r"^a 1x1 conv can only take the place of an identity shortcut, but the network has none; leave convcut out$"


@pytest.mark.parametrize(
    "name",
    [
        "vgg11",
        "lenet",
        "mobilenet_v1",
        "densenet121",
        "preact_resnet18:shortcuts=conv",
        "neuralscale_mobilenetv2:shortcuts=conv",
        # every block has another width than what it reads
        "preact_resnet18:widths=" + "-".join(["4"] + ["5", "5", "6", "6"] * 4),
    ],
)
def test_networks_without_identities(name: str) -> None:
    with pytest.raises(NetworkError, match=NONE):
        with_conv_shortcuts(make_network(name))


def test_sums_of_branches_are_none() -> None:
    with pytest.raises(NetworkError, match=NONE):
        with_conv_shortcuts(with_sum("a", "b"))


@pytest.mark.parametrize("name", ["resnet18", "preact_resnet18", "neuralscale_mobilenetv2", "mobilenet_v2"])
def test_not_twice(name: str) -> None:
    with pytest.raises(NetworkError, match=NONE):
        with_conv_shortcuts(with_conv_shortcuts(make_network(name)))


def test_sums_of_vectors_are_none() -> None:
    sketch = Sketch((3, 4, 4))
    sketch.add("pool", ops.AdaptivePool())
    sketch.add("flatten", ops.Flatten())
    for name in ("a", "b"):
        sketch.add(name, ops.Linear(out_features=2))
    sketch.add("sum", ops.Add(), "a", "b")
    with pytest.raises(NetworkError, match=NONE):
        with_conv_shortcuts(sketch.finish())


@pytest.mark.parametrize(
    ("conv", "name", "sources"),
    [("b", "s" * 56, ("a", "b")), ("sum_shortcut", "sum", ("a", "sum_shortcut")), ("b", "sum", (INPUT, "a", "b"))],
    ids=["long", "taken", "two skips"],
)
def test_names_of_convs(conv: str, name: str, sources: tuple[str, ...]) -> None:
    sketch = Sketch((3, 4, 4))
    sketch.add("a", ops.Conv(out_channels=3, kernel=1))
    sketch.add(conv, ops.Conv(out_channels=3, kernel=1))
    sketch.add(name, ops.Add(), *sources)
    base = sketch.finish()
    assert len(with_conv_shortcuts(base).nodes) == len(base.nodes) + len(sources) - 1
