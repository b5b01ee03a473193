"""Recipes: presets as published, schedules as torch's."""

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.optim import lr_scheduler

from trials.recipe import PRESETS, PresetName, Recipe, learning_rate_factor, preset

STEPS = 240


def schedule_of_torch(make: type, **settings: object) -> list[float]:
    """Learning rates of 240 steps by one of torch's schedulers, at a rate of 1."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = make(optimizer, **settings)
    rates = []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def ours(**settings: object) -> list[float]:
    recipe = Recipe.model_validate(settings)
    return [learning_rate_factor(recipe, step, STEPS) for step in range(STEPS)]


def test_cosine_is_torchs() -> None:
    assert ours(schedule="cosine") == pytest.approx(schedule_of_torch(lr_scheduler.CosineAnnealingLR, T_max=STEPS))


def test_step_is_torchs() -> None:
    theirs = schedule_of_torch(lr_scheduler.MultiStepLR, milestones=[80, 160, 200], gamma=0.1)
    assert ours(schedule="step", milestones=(1 / 3, 2 / 3, 5 / 6)) == pytest.approx(theirs)


def test_one_cycle_rises_and_falls_in_straight_lines() -> None:
    rates = ours(schedule="one-cycle", warm_up=0.25)
    assert rates[0] == pytest.approx(0.1)
    assert rates[60] == pytest.approx(1)
    assert rates[150] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(1 / 180)
    assert ours(schedule="one-cycle", warm_up=0)[0] == 1


def test_constant() -> None:
    assert set(ours()) == {1.0}


def test_every_name_is_a_preset() -> None:
    assert set(get_args(PresetName)) == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_recipes(name: str) -> None:
    assert preset(name).optimizer == PRESETS[name]["optimizer"]
    assert preset(name, epochs=3).epochs == 3


def test_neuralscale_decays_after_100_200_and_250_of_300_epochs() -> None:
    recipe = preset("neuralscale-cifar")
    steps = recipe.steps(50_000)
    rates = [learning_rate_factor(recipe, epoch * steps, 300 * steps) for epoch in range(300)]
    changes = [epoch for epoch in range(1, 300) if rates[epoch] != rates[epoch - 1]]
    assert changes == [100, 200, 250]
    assert rates[-1] == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nesterov": True}, "nesterov must go with optimizer sgd"),
        ({"optimizer": "sgd", "nesterov": True, "momentum": 0}, "and a momentum above 0"),
        ({"schedule": "step", "milestones": (0.5, 0.25)}, "milestones must rise"),
        ({"schedule": "step"}, "milestones must be given with schedule step, and with no other"),
        ({"milestones": (0.5,)}, "milestones must be given with schedule step, and with no other"),
        ({"batch_size": 10, "accumulate": 6}, "accumulate must leave two images or more"),
        ({"milestones": (1.5,)}, "less than 1"),
        ({"optimizer": "lion"}, "'sgd', 'adamw' or 'adadelta'"),
    ],
)
def test_recipes_that_are_none(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(settings)


@given(st.integers(1, 500), st.integers(1, 60))
def test_batches_hold_every_image_and_never_one_alone(images: int, size: int) -> None:
    batches = Recipe(batch_size=size).batches(images)
    assert sum(batches) == images
    assert 1 not in batches or size == 1 or images == 1
    assert max(batches) <= size + 1
    assert Recipe(batch_size=size).steps(images) == len(batches)
