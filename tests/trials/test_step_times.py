"""Times kept, and measured."""

from pathlib import Path

from tests.search_spaces.test_architecture import lenet
from trials.measure import measure_step
from trials.recipe import Recipe
from trials.step_times import StepTimes


def test_kept_by_network_and_batch(tmp_path: Path) -> None:
    times = StepTimes(tmp_path / "new")
    assert times.read("a", 100) is None
    times.write("a", 100, 0.5)
    times.write("b", 100, 0.25)
    assert StepTimes(tmp_path / "new").read("a", 100) == 0.5
    assert StepTimes(tmp_path / "new").read("a", 50) is None


def test_damaged_or_unwritable_is_as_empty(tmp_path: Path) -> None:
    (tmp_path / "step-times.json").write_text("{")
    assert StepTimes(tmp_path).read("a", 1) is None
    (tmp_path / "file").write_text("")
    blocked = StepTimes(tmp_path / "file")
    blocked.write("a", 1, 0.5)
    assert blocked.read("a", 1) is None


def test_measured_on_real_steps() -> None:
    assert 0 < measure_step(lenet(4), Recipe()) < 10
