"""Shrunk networks compute what the masked ones do: scores, gradients, statistics; on random networks too.

N images, C channels.
"""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces import Architecture, NetworkError, count_cost, ops
from search_spaces.modules import Select
from search_spaces.removal import remove_channels
from search_spaces.shrink import mask, shrink
from search_spaces.sketch import Sketch
from search_spaces.torchvision_networks import trace_torchvision
from search_spaces.zoo import make_network
from tests.search_spaces.random_masks import fewer, random_keep
from tests.search_spaces.random_networks import networks
from tests.search_spaces.trained_networks import (
    STREAM,
    assert_close,
    assert_equal_states,
    images_for,
    narrow,
    trained,
    without_chance,
)

SHORTCUTS = [f"preact_resnet18:shortcuts={kind}" for kind in ("independent", "coupled", "conv")]
ZOO = [
    "resnet18:stem=32", *SHORTCUTS, "vgg11", "neuralscale_mobilenetv2", "mobilenet_v2:stem=32",
    "mobilenet_v3_small:stem=32", "densenet121:stem=32", "isometric:depth=2,internal=8", "lenet",
]  # fmt: skip
TORCHVISION = ["shufflenet_v2_x0_5", "googlenet", "squeezenet1_1", "regnet_y_400mf"]
SLOW = ["resnext50_32x4d", "mobilenet_v3_large", "mnasnet0_5", "efficientnet_b0", "densenet169", "inception_v3"]
ALL = [*ZOO, *TORCHVISION, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def architecture_of(name: str) -> Architecture:
    if name in TORCHVISION + SLOW:
        return trace_torchvision(name, resolution=96 if name == "inception_v3" else 64, classes=10).architecture
    return make_network(name) if name == "lenet" else make_network(name, resolution=32, classes=10)


@pytest.mark.parametrize("name", ALL)
def test_shrunk_is_masked(name: str) -> None:
    network = trained(architecture_of(name)).eval()
    keep = random_keep(network.architecture, seed=1)
    shrunk, masked, images = shrink(network, keep), mask(network, keep), images_for(network)
    with torch.no_grad():
        assert_close(shrunk(images), masked(images), 1e-12)
        assert_close(shrunk.float()(images.float()), masked.float()(images.float()))
    params = sum(parameter.numel() for parameter in shrunk.parameters())
    assert params == count_cost(shrunk.architecture).params < count_cost(network.architecture).params
    assert not any(shrunk.get_submodule(node.name).training for node in shrunk.architecture.nodes)


@pytest.mark.parametrize("name", ALL)
def test_training_is_the_same(name: str) -> None:
    """Scores, gradients of what is kept and moving statistics."""
    network = without_chance(trained(architecture_of(name)).train())
    keep = random_keep(network.architecture, seed=2)
    shrunk, masked, images = without_chance(shrink(network, keep)), mask(network, keep), images_for(network)
    scores, expected = shrunk(images), masked(images)
    assert_close(scores, expected, 1e-10)
    for values in (scores, expected):
        (values**2).mean().backward()
    assert_equal_states(shrunk, shrink(network, keep), 1e-10)  # the masked network moved its own statistics too
    for parameter in network.parameters():  # as weights, the gradients are sliced as weights are
        assert parameter.grad is not None
        parameter.data = parameter.grad
    gradients = dict(shrink(network, keep).named_parameters())
    largest = max(float(gradient.detach().abs().max()) for gradient in gradients.values())
    for name_of, parameter in shrunk.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradients[name_of], rtol=1e-6, atol=1e-10 * largest), name_of


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("name", SHORTCUTS)
def test_residual_streams_at_any_share(name: str, share: float) -> None:
    architecture = make_network(f"{name},widths=" + "-".join(["6"] * 17), resolution=16)
    for seed in range(6):
        network = trained(architecture, seed=seed).eval()
        keep = random_keep(architecture, seed, share=share, named=0.7)
        with torch.no_grad():
            images = images_for(network)
            assert_close(shrink(network, keep)(images), mask(network, keep)(images), 1e-12)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(architecture=networks(), seed=st.integers(0, 2**32 - 1))
def test_random_networks(architecture: Architecture, seed: int) -> None:
    network = trained(architecture, seed=seed).eval()
    keep = random_keep(architecture, seed, named=0.7)
    assert shrink(network, {}).architecture.id == architecture.id
    try:
        shrunk = shrink(network, keep)
    except NetworkError:  # test_removal.py says which
        return
    with torch.no_grad():
        images = images_for(network, 2)
        given, expected = shrunk(images), mask(network, keep)(images)
    assert torch.allclose(given, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("name", [*SHORTCUTS, "neuralscale_mobilenetv2", "shufflenet_v2_x0_5", "regnet_y_400mf"])
def test_step_by_step_is_at_once(name: str) -> None:
    network = trained(architecture_of(name))
    first = random_keep(network.architecture, seed=3, share=0.8, named=0.5)
    second = random_keep(network.architecture, seed=3, share=0.8, named=1)
    second = {group: flags & first.get(group, flags) for group, flags in second.items()}
    if name == "regnet_y_400mf":
        second = first
    once = shrink(network, second)
    stepped = shrink(shrink(network, first), second, before=remove_channels(network.architecture, first))
    assert stepped.architecture.id == once.architecture.id
    assert_equal_states(stepped, once)


def test_a_shortcut_that_was_needless_comes_back() -> None:
    """Both ends keep the same channels after one step, but not after the next."""
    network = narrow()
    first = {name: [False, True, True, True] for name in STREAM}
    second = {**first, "stem": [False, True, False, True]}
    stepped = shrink(shrink(network, first), second, before=remove_channels(network.architecture, first))
    assert_equal_states(stepped, shrink(network, second))
    assert isinstance(stepped.get_submodule("stage1_block0_shortcut"), Select)


@pytest.mark.parametrize("name", ["vgg11", "resnet18:stem=32", "densenet121:stem=32"])
def test_twice_is_once(name: str) -> None:
    """The groups of what is left, where no shortcut turned into a Select."""
    network = trained(architecture_of(name))
    keep = random_keep(network.architecture, seed=4, share=0.8)
    fewest = fewer(keep, seed=5)
    rest = {group: flags[keep[group]] for group, flags in fewest.items()}
    twice, once = shrink(shrink(network, keep), rest), shrink(network, fewest)
    assert twice.architecture.id == once.architecture.id
    assert_equal_states(twice, once)


@pytest.mark.parametrize("name", [*SHORTCUTS, "neuralscale_mobilenetv2", "shufflenet_v2_x0_5"])
def test_all_kept_is_a_copy(name: str) -> None:
    network = trained(architecture_of(name))
    keep = {group: np.ones_like(flags) for group, flags in random_keep(network.architecture, seed=0).items()}
    for every in ({}, keep):
        copy = shrink(network, every)
        assert copy.architecture.id == network.architecture.id
        assert_equal_states(copy, network)
        for one, other in zip(copy.parameters(), network.parameters(), strict=True):
            assert one.data_ptr() != other.data_ptr()


def test_modes_types_and_frozen_weights_stay() -> None:
    network = narrow().eval()
    network.stem.requires_grad_(False)
    network.get_submodule("stage2_block0_norm1").train()
    network.get_submodule("classifier").half()
    shrunk = shrink(network, STREAM)
    assert not shrunk.training
    assert not shrunk.get_submodule("stage1_block0_shortcut").training  # a Select
    assert [name for name, module in shrunk.named_modules() if module.training] == ["stage2_block0_norm1"]
    assert [name for name, value in shrunk.named_parameters() if not value.requires_grad] == ["stem.weight"]
    types = {name: value.dtype for name, value in shrunk.named_parameters()}
    assert types.pop("classifier.weight") == types.pop("classifier.bias") == torch.float16
    assert set(types.values()) == {torch.float64}
    assert shrink(network.train(), STREAM).get_submodule("stage1_block0_shortcut").training


def test_devices_stay() -> None:
    network = narrow().to("meta")
    shrunk = shrink(network, STREAM)
    assert {value.device.type for value in (*shrunk.parameters(), *shrunk.buffers())} == {"meta"}
    assert any(isinstance(module, Select) for module in shrunk.modules())
    assert {value.device.type for value in mask(network, STREAM).buffers()} == {"meta"}


def test_the_network_and_the_seed_are_not_changed() -> None:
    network = narrow()
    before, random_state = deepcopy(network), torch.get_rng_state()
    shrunk = shrink(network, STREAM)
    assert torch.equal(torch.get_rng_state(), random_state)
    for value in shrunk.parameters():
        value.data.zero_()
    assert_equal_states(network, before)
    assert network.architecture == before.architecture


@pytest.mark.parametrize(
    "layers",
    [
        {"x": ops.Add()},
        {"x": ops.Multiply()},
        {"x": ops.Concat(), "y": ops.ChannelShuffle(groups=2), "z": ops.Chunk(parts=2, index=1)},
    ],
    ids=["add", "multiply", "moves"],
)
def test_sources_that_keep_different_channels(layers: dict[str, ops.Op]) -> None:
    """A conv, and an Expand of it, which keeps all: together they need zeros, a choice or another order."""
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=4, kernel=1))
    sketch.add("b", ops.Expand(factor=1))
    for name, op in layers.items():
        sketch.add(name, op, *(("b", "a") if name == "x" else ()))
    for name, op in {"flatten": ops.Flatten(), "classifier": ops.Linear(out_features=3)}.items():
        sketch.add(name, op)
    network = trained(sketch.finish())
    for kept in ("0101", "0111", "1110", "0001"):
        keep = {"a": [flag == "1" for flag in kept]}
        shrunk = shrink(network, keep)
        assert any(isinstance(module, Select) for module in shrunk.modules())
        assert_close(shrunk(images_for(network)), mask(network, keep)(images_for(network)), 1e-12)


def test_layers_with_a_number_a_channel_are_sliced() -> None:
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=4, kernel=1))
    for i, op in enumerate(
        (
            ops.LayerScale(initial=0.5),
            ops.PReLU(per_channel=True),
            ops.PReLU(per_channel=False),
            ops.BatchNorm(affine=False),
        )
    ):
        sketch.add(f"x{i}", op)
    sketch.add("affine", ops.Affine(factors=(2.0,), offsets=(0.5,)))
    sketch.add("flatten", ops.Flatten())
    sketch.add("hidden", ops.Linear(out_features=4))
    sketch.add("norm", ops.BatchNorm())
    sketch.add("classifier", ops.Linear(out_features=3))
    network = trained(sketch.finish()).eval()
    keep = {"a": [False, True, False, True], "hidden": [True, True, False, False]}
    shrunk = shrink(network, keep)
    shapes = {name: tuple(value.shape) for name, value in shrunk.state_dict().items()}
    assert shapes["x0.weight"] == shapes["x1.weight"] == shapes["x3.running_var"] == (2,)
    assert shapes["x2.weight"] == (1,)
    assert shapes["hidden.weight"] == (2, 2 * 16)
    assert shapes["norm.running_mean"] == (2,)
    with torch.no_grad():
        assert_close(shrunk(images_for(network)), mask(network, keep)(images_for(network)), 1e-12)


def test_grouped_convs_are_sliced_in_each_group() -> None:
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=6, kernel=1))
    sketch.add("b", ops.Conv(out_channels=8, kernel=3, groups=2))
    sketch.add("flatten", ops.Flatten())
    sketch.add("classifier", ops.Linear(out_features=3))
    network = trained(sketch.finish())
    kept = [False, True, True, True, True, False], [True, False, False, True, False, False, True, True]
    shrunk = shrink(network, {"a": kept[0], "b": kept[1]})
    weight, left = network.get_submodule("b").weight, shrunk.get_submodule("b").weight
    assert isinstance(weight, Tensor)
    assert isinstance(left, Tensor)
    assert torch.equal(left[:2], weight[[0, 3]][:, [1, 2]])
    assert torch.equal(left[2:], weight[[6, 7]][:, [0, 1]])


def test_wrong_steps() -> None:
    network = narrow()
    before = remove_channels(network.architecture, STREAM)
    with pytest.raises(NetworkError, match=r"`before` must give the network that is shrunk \(.*\), but gives"):
        shrink(network, STREAM, before=before)
    with pytest.raises(
        NetworkError, match="may only keep what was kept before, but channel 1 of node 'stem' is removed"
    ):
        shrink(shrink(network, STREAM), {}, before=before)


@pytest.mark.parametrize("keep", [{"steem": [True]}, {"stem": [True]}, {"stem": [1, 0, 1, 1]}, {"stem": [False] * 4}])
def test_wrong_flags(keep: Any) -> None:
    for function in (shrink, mask):
        with pytest.raises(NetworkError, match=r"keep must name width groups|'stem' must"):
            function(narrow(), keep)
