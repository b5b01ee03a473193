"""Training and scoring."""

import pytest
import torch

from search_spaces import Conv, LeNet
from search_spaces.build import build
from trials.images import LabelledImages
from trials.recipe import Recipe
from trials.train import TrainingDiverged, count_correct, make_optimizer, train_network, train_step

NETWORK = LeNet(
    conv1=Conv(out_channels=4, kernel=3), conv2=Conv(out_channels=4, kernel=3), hidden=16, pool=False
).architecture((1, 8, 8), 4)


def bright_quarters(count: int = 400) -> LabelledImages:
    """Noise with one bright quarter; the class is which."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 4
    images = torch.randn(count, 1, 8, 8, generator=generator)
    for i, label in enumerate(labels.tolist()):
        images[i, 0, 4 * (label // 2) : 4 * (label // 2) + 4, 4 * (label % 2) : 4 * (label % 2) + 4] += 2
    return LabelledImages(images, labels)


def test_learns() -> None:
    torch.set_num_threads(1)
    data = bright_quarters()
    untrained = count_correct(build(NETWORK), data)
    trained = train_network(NETWORK, data, Recipe(epochs=5), seed=0)
    assert not trained.training
    assert untrained < 250
    assert count_correct(trained, data) >= 390


def test_equal_seeds_equal_weights() -> None:
    torch.set_num_threads(1)
    first, again, other = (train_network(NETWORK, bright_quarters(), Recipe(epochs=1), seed) for seed in (5, 5, 6))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_one_step_is_adadelta() -> None:
    # Zeiler 2012 with rho 0.9, eps 1e-6, learning rate 1: the first step is g sqrt(eps) / sqrt(0.1 g^2 + eps)
    network = build(NETWORK).eval()
    data = bright_quarters(100)
    before = network.get_parameter("classifier.weight").detach().clone()
    loss = train_step(network, make_optimizer(network, Recipe()), data.images, data.labels)
    gradient = network.get_parameter("classifier.weight").grad
    assert gradient is not None
    step = gradient * 1e-3 / torch.sqrt(0.1 * gradient**2 + 1e-6)
    assert torch.allclose(network.get_parameter("classifier.weight"), before - step, atol=1e-7)
    assert 0.5 < loss.item() < 3


def test_divergence_is_an_error() -> None:
    data = bright_quarters(100)
    with pytest.raises(TrainingDiverged, match="loss must stay finite, but is nan after epoch 1"):
        train_network(NETWORK, LabelledImages(data.images * float("nan"), data.labels), Recipe(epochs=2), seed=0)


def test_every_image_is_scored() -> None:
    data = bright_quarters(1203)  # no multiple of the batch
    network = build(NETWORK).eval()
    with torch.inference_mode():
        expected = int((network(data.images).argmax(1) == data.labels).sum())
    assert count_correct(network, data) == expected
