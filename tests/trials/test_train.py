"""Training: alone, together, stopped and continued."""

from typing import Any

import pytest
import torch

from search_spaces import Architecture, Conv, LeNet
from search_spaces.build import build
from search_spaces.edits import with_classes, with_resolution
from search_spaces.widths import scale_widths
from search_spaces.zoo import make_network
from trials.images import Split
from trials.recipe import Recipe, preset
from trials.train import Member, Training, TrainingDiverged, score

NETWORK = LeNet(
    conv1=Conv(out_channels=4, kernel=3), conv2=Conv(out_channels=4, kernel=3), hidden=16, pool=False
).architecture((1, 8, 8), 4)
FAST = preset("fast", batch_size=50, epochs=4)


def bright_quarters(count: int = 400, channels: int = 1) -> Split:
    """Noise with one bright quarter; the class is which."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 4
    images = torch.randint(0, 128, (count, channels, 8, 8), generator=generator, dtype=torch.uint8)
    for i, label in enumerate(labels.tolist()):
        images[i, :, 4 * (label // 2) : 4 * (label // 2) + 4, 4 * (label % 2) : 4 * (label % 2) + 4] += 64
    return Split(
        pixels=images.numpy(),
        indices=torch.arange(count),
        labels=labels,
        mean=torch.full((1, channels, 1, 1), 0.3),
        std=torch.full((1, channels, 1, 1), 0.2),
    )


def trained(
    recipe: Recipe, *seeds: int, architecture: Architecture = NETWORK, rates: tuple[float, ...] = (), epochs: int = 0
) -> Training:
    torch.set_num_threads(1)
    members = [
        Member(seed=seed, learning_rate=rates[i] if rates else recipe.learning_rate) for i, seed in enumerate(seeds)
    ]
    training = Training(architecture, members, bright_quarters(channels=architecture.input[0]), recipe)
    for _ in range(epochs or recipe.epochs):
        training.run_epoch()
    return training


@pytest.mark.parametrize("name", ["borji", "neuralscale-cifar", "msnet", "fast"])
def test_learns(name: str) -> None:
    data = bright_quarters()
    untrained = score(NETWORK, build(NETWORK).state_dict(), data)
    training = trained(preset(name, epochs=6, batch_size=20, augmentation="none"), 0)
    training.check(0)
    (weights,) = training.weights()
    assert untrained < 250
    assert score(NETWORK, weights, data) >= 380
    assert training.losses[0][-1] < training.losses[0][0]


def test_equal_seeds_equal_weights() -> None:
    first, again, other = (trained(preset("borji", epochs=1), seed).weights()[0] for seed in (5, 5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_one_step_is_adadelta() -> None:
    # Zeiler 2012 with rho 0.9, eps 1e-6, learning rate 1: the first step is g sqrt(eps) / sqrt(0.1 g^2 + eps)
    data = bright_quarters(100)
    recipe = preset("borji", epochs=1)
    training = Training(NETWORK, [Member(seed=0, learning_rate=1.0)], data, recipe)
    before = training.weights()[0]
    training.run_epoch()
    after = training.weights()[0]
    step = (before["conv1.weight"] - after["conv1.weight"]).abs()
    assert 0 < step.max() <= 1e-3 / 0.1**0.5 + 1e-6


MEMBERS: dict[str, dict[str, Any]] = {
    "dropout": {"architecture": NETWORK, "recipe": preset("borji", epochs=2, batch_size=50)},
    "learning rates": {"architecture": NETWORK, "recipe": FAST, "rates": (0.1, 0.02, 0.05)},
    "augmented, averaged": {
        "architecture": NETWORK,
        "recipe": preset("fast", epochs=2, augmentation="crop-flip", ema=0.9),
    },
    "adamw, in parts": {
        "architecture": NETWORK,
        "recipe": Recipe(optimizer="adamw", learning_rate=0.01, epochs=2, accumulate=3),
    },
    "batch norm, shortcuts": {
        "architecture": with_classes(with_resolution(scale_widths(make_network("preact_resnet18"), 1 / 16), 8), 4),
        "recipe": preset("fast", epochs=1, batch_size=100),
    },
}


@pytest.mark.parametrize("case", MEMBERS.values(), ids=MEMBERS)
def test_together_as_alone(case: dict[str, Any]) -> None:
    recipe, architecture = case["recipe"], case["architecture"]
    rates = case.get("rates", (recipe.learning_rate,) * 3)
    together = trained(recipe, 3, 1, 2, architecture=architecture, rates=rates)
    for i, seed in enumerate((3, 1, 2)):
        alone = trained(recipe, seed, architecture=architecture, rates=(rates[i],))
        assert together.losses[i] == pytest.approx(alone.losses[0], rel=1e-3)
        for name, tensor in alone.weights()[0].items():
            torch.testing.assert_close(together.weights()[i][name], tensor, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("case", MEMBERS.values(), ids=MEMBERS)
def test_continued_to_the_same_bits(case: dict[str, Any]) -> None:
    recipe = case["recipe"].model_copy(update={"epochs": 3})
    through = trained(recipe, 4, architecture=case["architecture"])
    stopped = trained(recipe, 4, architecture=case["architecture"], epochs=1)
    (state,) = stopped.state()
    again = trained_from(state, recipe, case["architecture"])
    assert again.losses == through.losses
    first, second = through.weights()[0], again.weights()[0]
    assert all(torch.equal(first[name], second[name]) for name in first)


def trained_from(state: dict[str, torch.Tensor], recipe: Recipe, architecture: Architecture) -> Training:
    data = bright_quarters(channels=architecture.input[0])
    training = Training(architecture, [Member(seed=4, learning_rate=recipe.learning_rate)], data, recipe)
    training.load_state([{name: tensor.clone() for name, tensor in state.items()}])
    while training.epoch < recipe.epochs:
        training.run_epoch()
    return training


def test_members_part_and_meet() -> None:
    # a rung trains three together, the next two of them: states belong to members, not to their company
    recipe = preset("fast", epochs=2, batch_size=100)
    states = trained(recipe, 0, 1, 2, epochs=1).state()
    members = [Member(seed=seed, learning_rate=recipe.learning_rate) for seed in (2, 0)]
    training = Training(NETWORK, members, bright_quarters(), recipe)
    training.load_state([states[2], states[0]])
    training.run_epoch()
    for i, seed in enumerate((2, 0)):
        expected = trained(recipe, seed).weights()[0]
        for name, tensor in expected.items():
            torch.testing.assert_close(training.weights()[i][name], tensor, rtol=1e-2, atol=1e-3)


def test_divergence_is_an_error() -> None:
    with pytest.raises(TrainingDiverged, match=r"loss must stay finite, but is (nan|inf) after epoch 1; lower"):
        trained(preset("fast", learning_rate=1000.0, momentum=0.99, epochs=2), 0)


def test_divergence_of_one_leaves_the_others() -> None:
    recipe = preset("fast", epochs=2, batch_size=100)
    both = trained(recipe, 0, 1, rates=(1000.0, 0.1))
    with pytest.raises(TrainingDiverged, match="lower train"):
        both.check(0)
    both.check(1)
    alone = trained(recipe, 1)
    assert both.losses[1] == pytest.approx(alone.losses[0], rel=1e-3)


def test_a_loss_far_above_guessing_is_divergence() -> None:
    training = trained(preset("borji", epochs=1), 0)
    training.losses = [[2.7]]  # below 2 ln 4
    training.check(0)
    training.losses = [[2.9]]
    with pytest.raises(TrainingDiverged, match=r"must end below 2\.77, twice that of guessing, but is 2\.9 after"):
        training.check(0)


def test_averaged_weights_are_those_scored() -> None:
    recipe = preset("fast", epochs=2, ema=0.99)
    averaged, plain = trained(recipe, 0), trained(recipe.model_copy(update={"ema": 0.0}), 0)
    assert averaged.losses == plain.losses
    assert not torch.equal(averaged.weights()[0]["conv1.weight"], plain.weights()[0]["conv1.weight"])


def test_bf16_learns_as_fp32_does() -> None:
    fp32, bf16 = (trained(preset("fast", epochs=4, batch_size=20, precision=name), 0) for name in ("fp32", "bf16"))
    assert bf16.losses[0] != fp32.losses[0]
    assert bf16.losses[0] == pytest.approx(fp32.losses[0], rel=0.15)


def test_every_image_is_scored() -> None:
    data = bright_quarters(1203)  # no multiple of the batch
    weights = trained(preset("fast", epochs=3), 0).weights()[0]
    assert 600 < score(NETWORK, weights, data) <= 1203
