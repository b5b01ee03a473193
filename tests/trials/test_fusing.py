"""How many members are fused, and which precision is taken: what a measurement says, made once."""

from pathlib import Path

import pytest

from search_spaces import Conv, LeNet
from trials.fusing import MOST, WORTH, choose_members
from trials.precision import choose_precision
from trials.recipe import Recipe, preset
from trials.step_times import StepTimes

TINY = LeNet(
    conv1=Conv(out_channels=4, kernel=3), conv2=Conv(out_channels=8, kernel=3), hidden=16, pool=True
).architecture((1, 12, 12), 10)
RECIPE = preset("borji")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def know(members: int, seconds: float, precision: str = "fp32") -> None:
    """As if it had been measured."""
    key = f"{TINY.id}, {RECIPE.optimizer}, {precision}, {members} fused on cpu"
    StepTimes().write(key, RECIPE.batch_size, seconds)


def members(recipe: Recipe = RECIPE, count: int = 4, steps: int = WORTH) -> int:
    return choose_members(TINY, recipe, count=count, steps=steps, device="cpu")


@pytest.mark.parametrize(("fused", "expected"), [(3.7, 4), (3.9, 1), (5.0, 1)])
def test_fused_where_it_saves_a_twentieth(fused: float, expected: int) -> None:
    know(1, 1.0)
    know(4, fused)
    assert members() == expected


def test_alone_without_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trials.fusing.measure_step", lambda *_, **__: pytest.fail("nothing is to be measured"))
    assert members(count=1) == 1
    assert members(steps=WORTH - 1) == 1
    assert members(RECIPE.model_copy(update={"deterministic": True})) == 1


def test_no_network_is_wider_than_the_most() -> None:
    know(1, 1.0)
    know(MOST, 1.0)
    assert members(count=3 * MOST) == MOST


def test_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = members(count=2)
    monkeypatch.setattr("trials.fusing.measure_step", lambda *_, **__: pytest.fail("it is known"))
    assert members(count=2) == first
    alone, fused = (
        StepTimes().read(f"{TINY.id}, adadelta, fp32, {count} fused on cpu", RECIPE.batch_size) for count in (1, 2)
    )
    assert alone is not None
    assert fused is not None
    assert 0 < alone < 1
    assert (first == 2) == (fused < 0.95 * 2 * alone)


@pytest.mark.parametrize(("bf16", "expected"), [(0.5, "bf16"), (0.97, "fp32"), (2.0, "fp32")])
def test_bf16_where_it_saves_a_twentieth(monkeypatch: pytest.MonkeyPatch, bf16: float, expected: str) -> None:
    monkeypatch.setattr("trials.precision.has_amx", lambda: True)
    know(1, 1.0)
    know(1, bf16, "bf16")
    assert choose_precision(TINY, RECIPE) == expected


def test_without_amx_it_is_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trials.precision.has_amx", lambda: False)
    know(1, 1.0)
    know(1, 0.1, "bf16")
    assert choose_precision(TINY, RECIPE) == "fp32"
