"""Parameters in one vector: the same steps as torch's optimizers on the tensors themselves."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from search_spaces import Conv, LeNet
from search_spaces.build import build
from search_spaces.fuse import fuse, pack, unpack
from trials.optimize import FlatParameters, Optimizer
from trials.recipe import Recipe

NETWORK = LeNet(
    conv1=Conv(out_channels=4, kernel=3), conv2=Conv(out_channels=3, kernel=3), hidden=8, pool=False
).architecture((2, 8, 8), 4)
RECIPES: dict[str, dict[str, Any]] = {
    "adadelta": {"optimizer": "adadelta", "learning_rate": 1.0},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    "plain sgd": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.0},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
}
THEIRS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "adadelta": lambda parameters: torch.optim.Adadelta(parameters, lr=1.0),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "plain sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1),
}


def gradients(module: nn.Module, seed: int) -> None:
    """Fill every gradient with noise, the same for the same names and shapes."""
    for number, parameter in enumerate(module.parameters()):
        noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(100 * seed + number))
        if parameter.grad is None:
            parameter.grad = noise
        else:
            parameter.grad.copy_(noise)


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build(NETWORK).to(memory_format=torch.channels_last)


def test_split_and_join_are_inverse() -> None:
    flat = FlatParameters(small())
    vector = torch.randn_like(flat.values)
    assert torch.equal(flat.join(flat.split(vector)), vector)


def test_module_sees_the_vector() -> None:
    module = small()
    before = {name: parameter.clone() for name, parameter in module.named_parameters()}
    flat = FlatParameters(module)
    assert all(torch.equal(parameter, before[name]) for name, parameter in module.named_parameters())
    assert module.get_parameter("conv1.weight").is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        flat.values.zero_()
    assert not any(parameter.any() for parameter in module.parameters())
    module(torch.randn(2, 2, 8, 8)).sum().backward()
    assert flat.values.grad is not None
    assert flat.values.grad.any()


@pytest.mark.parametrize("name", RECIPES)
def test_steps_are_torchs(name: str) -> None:
    ours, theirs = small(), small()
    optimizer = Optimizer(ours, Recipe(**RECIPES[name]), [RECIPES[name]["learning_rate"]])
    reference = THEIRS[name](theirs.parameters())
    for step in range(5):
        gradients(ours, step)
        gradients(theirs, step)
        optimizer.step(1.0)
        reference.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", RECIPES)
def test_members_have_learning_rates_of_their_own(name: str) -> None:
    rate = RECIPES[name]["learning_rate"]
    rates = [rate, rate / 3, 2 * rate]
    together = fuse(NETWORK, 3)
    together.load_state_dict(pack([small(seed).state_dict() for seed in range(3)]))
    optimizer = Optimizer(together, Recipe(**RECIPES[name]), rates)
    alone = [small(seed) for seed in range(3)]
    optimizers = [
        Optimizer(module, Recipe(**{**RECIPES[name], "learning_rate": own}), [own])
        for module, own in zip(alone, rates, strict=True)
    ]
    for step in range(4):
        for number, module in enumerate(alone):
            gradients(module, 10 * step + number)
        packed = pack([{key: p.grad for key, p in m.named_parameters() if p.grad is not None} for m in alone])
        for key, parameter in together.named_parameters():
            assert parameter.grad is not None
            parameter.grad.copy_(packed[key])
        for one in (optimizer, *optimizers):
            one.step(0.5**step)
    for module, found in zip(alone, unpack(together.state_dict(), 3), strict=True):
        for key, parameter in module.named_parameters():
            torch.testing.assert_close(found[key], parameter.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", RECIPES)
def test_state_goes_on_as_if_it_had_not_stopped(name: str) -> None:
    recipe = Recipe(**RECIPES[name], ema=0.9)
    through, stopped = small(), small()
    rate = recipe.learning_rate
    first, second = Optimizer(through, recipe, [rate]), Optimizer(stopped, recipe, [rate])
    for step in range(6):
        if step == 3:
            state = second.state()
            second = Optimizer(stopped, recipe, [rate])
            second.load_state(state, steps=3)
        for module, optimizer in ((through, first), (stopped, second)):
            gradients(module, step)
            optimizer.step(1.0)
    assert all(torch.equal(a, b) for a, b in zip(through.parameters(), stopped.parameters(), strict=True))
    averages, again = first.averages(), second.averages()
    assert averages is not None
    assert again is not None
    assert all(torch.equal(averages[name], again[name]) for name in averages)


def test_averages_are_of_the_weights_so_far() -> None:
    module = small()
    optimizer = Optimizer(module, Recipe(**RECIPES["plain sgd"], ema=0.5), [0.1])
    expected = module.get_parameter("conv1.bias").detach().clone()
    for step in range(4):
        gradients(module, step)
        optimizer.step(1.0)
        kept = min(0.5, (2 + step) / (11 + step))
        expected = kept * expected + (1 - kept) * module.get_parameter("conv1.bias").detach()
    averages = optimizer.averages()
    assert averages is not None
    torch.testing.assert_close(averages["conv1.bias"], expected)
