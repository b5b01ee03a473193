"""Gates: where they stand, their scores against finite differences, and channels that are gone at zero.

N images, C channels, Z gates.
"""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor
from torch.nn import functional as F

from search_spaces import Architecture, ops
from search_spaces.build import Network, run_nodes
from search_spaces.gates import find_gates
from search_spaces.removal import remove_channels
from search_spaces.shrink import mask, shrink
from search_spaces.sketch import Sketch
from search_spaces.taylor import TaylorScores
from search_spaces.widths import scale_widths
from search_spaces.zoo import make_network
from tests.search_spaces.random_masks import random_keep
from tests.search_spaces.random_networks import networks
from tests.search_spaces.trained_networks import images_for, trained, without_chance

TINY = {
    "plain": "vgg11:widths=" + "-".join(["3"] * 8),
    "residual": "resnet18:stem=32",
    "depthwise": "mobilenet_v2:stem=32",
    "expand": "neuralscale_mobilenetv2:widths=" + "-".join("2334433344422334455"),
    "coupled expand": "neuralscale_mobilenetv2:shortcuts=coupled,widths=" + "-".join("2333444222233355567"),
    "squeeze-excite": "mobilenet_v3_small:stem=32",
    "pre-activation": "preact_resnet18:widths=" + "-".join("33333344334433333"),
    "pre-activation, conv shortcuts": "preact_resnet18:shortcuts=conv,widths=" + "-".join("33333344334433333"),
    "pre-activation, coupled": "preact_resnet18:shortcuts=coupled,widths=" + "-".join("33333444433334444"),
    "no norm": "lenet",
}
GONE = [name for name in TINY if name != "pre-activation"]  # its identity shortcuts are not weighed, as in the paper


def network_of(name: str) -> Network:
    made = make_network(TINY[name]) if name == "no norm" else make_network(TINY[name], resolution=32, classes=5)
    narrow = made if "widths" in TINY[name] else scale_widths(made, 1 / 16)
    return without_chance(trained(narrow)).train()


def loss_of(network: Network, images: Tensor, z: Tensor) -> Tensor:
    """The loss with gates [Z] multiplied in behind the nodes where they stand."""
    gates = find_gates(network.architecture)

    def layer(name: str, read: list[Tensor]) -> Tensor:
        values: Tensor = network.get_submodule(name)(*read)
        if name not in gates.places:
            return values
        row = torch.from_numpy(gates.places[name])
        factors = torch.where(row >= 0, z[row.clamp(min=0)], 1.0)
        return values * factors.reshape(-1, *(1,) * (values.dim() - 2))

    scores = run_nodes(network.architecture, images, layer)
    return F.cross_entropy(scores, torch.arange(len(images)) % scores.shape[1])


def taylor(network: Network, images: Tensor) -> Tensor:
    """Scores [Z] of one batch."""
    scores = TaylorScores(network, find_gates(network.architecture))
    values = network(images)
    F.cross_entropy(values, torch.arange(len(images)) % values.shape[1]).backward()
    scores.end_batch()
    scores.close()
    return scores.take()


@pytest.mark.parametrize("name", TINY)
def test_scores_are_squared_differences_of_the_loss(name: str) -> None:
    network, step = network_of(name), 1e-8  # small: else values cross a kink of ReLU
    images = images_for(network, 8)
    scores, count = taylor(network, images), find_gates(network.architecture).count
    chosen = np.random.default_rng(0).permutation(count)[:16]
    with torch.no_grad():
        for gate in chosen:
            unit = torch.zeros(count, dtype=torch.float64)
            unit[gate] = step
            slope = (loss_of(network, images, 1 + unit) - loss_of(network, images, 1 - unit)) / (2 * step)
            assert abs(float(slope)) == pytest.approx(float(scores[gate].sqrt()), rel=1e-4, abs=1e-6)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(architecture=networks())
def test_scores_of_random_networks(architecture: Architecture) -> None:
    network = without_chance(trained(architecture)).train()
    gates, images = find_gates(architecture), images_for(network, 4)
    z = torch.ones(gates.count, dtype=torch.float64, requires_grad=True)
    if gates.count:
        loss_of(network, images, z).backward()
        assert z.grad is not None
        expected = z.grad**2
        assert torch.allclose(taylor(network, images), expected, rtol=1e-6, atol=1e-9 * float(expected.max()))


@pytest.mark.parametrize("name", GONE)
def test_at_zero_channels_are_gone(name: str) -> None:
    """So a score is that of what pruning does: the gates of a channel reach all that it does, each way once or more."""
    network = network_of(name)
    keep = random_keep(network.architecture, seed=3)
    gates, images = find_gates(network.architecture), images_for(network, 8)
    z = torch.from_numpy(np.concatenate([keep[group.name] for group in gates.groups])).double()
    with torch.no_grad():
        masked = mask(network, keep)(images)
        expected = F.cross_entropy(masked, torch.arange(8) % masked.shape[1])
        assert float(loss_of(network, images, z)) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("name", TINY)
def test_a_shrunk_network_scores_what_is_left(name: str) -> None:
    network = network_of(name)
    keep = random_keep(network.architecture, seed=4, share=0.7)
    images, gates = images_for(network, 8), find_gates(network.architecture)
    removal = remove_channels(network.architecture, keep)
    pairs = (
        (TaylorScores(network, gates), mask(network, keep)),
        (TaylorScores(shrunk := without_chance(shrink(network, keep)), gates, removal.kept), shrunk),
    )
    found = []
    for scores, module in pairs:
        F.cross_entropy(module(images), torch.arange(8) % 5).backward()
        scores.end_batch()
        found.append(scores.take())
    kept = torch.from_numpy(np.concatenate([keep[group.name] for group in gates.groups]))
    assert torch.allclose(found[0], found[1], rtol=1e-7, atol=1e-12 * float(found[0].max()))
    assert (found[0][~kept] == 0).all()
    assert (found[0][kept] > 0).any()


def test_the_papers_places() -> None:
    vgg, mobile, resnet = (
        list(find_gates(make_network(name)).places) for name in ("vgg11", "neuralscale_mobilenetv2", "preact_resnet18")
    )
    assert vgg == [f"conv{i}_norm" for i in range(1, 9)]
    assert len(mobile) == 19
    assert mobile[:3] == ["stem_norm", "stage1_block0_add", "stage2_block0_add"]
    assert mobile[-1] == "head_norm"
    nodes = make_network("preact_resnet18").nodes
    assert resnet == [node.name for node in nodes if isinstance(node.op, ops.BatchNorm)]


def test_behind_the_last_pool_scores_are_those_behind_the_last_norm() -> None:
    """Where the authors have the gates of ResNet18's last block."""
    network = network_of("pre-activation")
    images = images_for(network, 8)
    scores = taylor(network, images)[-4:]
    seen: list[Tensor] = []
    network.get_submodule("pool").register_forward_hook(lambda module, given, values: seen.append(values))
    loss = F.cross_entropy(network(images), torch.arange(8) % 5)
    (gradient,) = torch.autograd.grad(loss, seen)
    expected = (gradient * seen[0]).sum((0, 2, 3)) ** 2
    last = len(expected)
    assert torch.allclose(scores[-last:], expected, rtol=1e-7)


def test_a_gate_before_a_norm_says_nothing() -> None:
    # so those of an inverted residual's expansion stand behind the depthwise conv's norm
    names = find_gates(make_network("mobilenet_v2:stem=32")).places
    assert "stage2_block0_depthwise_norm" in names
    assert "stage2_block0_expand_norm" not in names


def test_groups_without_norm_are_named() -> None:
    assert find_gates(make_network("lenet")).without_norm == ("conv1", "conv2", "hidden")
    assert find_gates(make_network("vgg11")).without_norm == ()
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=4, kernel=1))
    sketch.add("a_norm", ops.BatchNorm())
    sketch.add("b", ops.Conv(out_channels=4, kernel=1))
    sketch.add("flatten", ops.Flatten())
    sketch.add("classifier", ops.Linear(out_features=3))
    gates = find_gates(sketch.finish())
    assert gates.without_norm == ("b",)
    assert list(gates.places) == ["a_norm", "b"]


def test_scores_are_means_of_batches() -> None:
    network = network_of("plain")
    batches = images_for(network, 24).split(8)
    expected = sum((taylor(network, images) for images in batches), torch.zeros(())) / 3
    scores = TaylorScores(network, find_gates(network.architecture))
    for _ in range(2):  # what was taken is not counted again
        for images in batches:
            F.cross_entropy(network(images), torch.arange(8) % 5).backward()
            scores.end_batch()
        assert torch.allclose(scores.take(), expected)
