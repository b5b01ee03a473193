"""Jobs and their ids."""

from dataclasses import replace
from typing import Any

import pytest

from search_spaces import Architecture
from tests.search_spaces.test_architecture import lenet
from trials import DataSettings, Job, Recipe
from trials.data import SplitSettings


def make_job(architecture: Architecture | None = None, seed: int = 0, epochs: int = 10) -> Job:
    return Job(
        kind="train",
        architecture=architecture or lenet(),
        data=DataSettings(source="mnist5k"),
        images_id="digits",
        recipe=Recipe(epochs=epochs),
        seed=seed,
    )


def test_json_both_ways() -> None:
    job = make_job(seed=3).scored_on_test("ab" * 32)
    assert Job.from_json(job.to_json()) == job
    assert job.training() == make_job(seed=3)
    partial = make_job().ending(4)
    assert Job.from_json(partial.to_json()) == partial
    assert (partial.epochs, partial.training(), make_job().ending(10)) == (4, make_job(), make_job())


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "test"},
        {"architecture": lenet(29)},
        {"data": DataSettings(source="mnist5k", split=SplitSettings(seed=1))},
        {"images_id": "other digits"},
        {"recipe": Recipe(epochs=11)},
        {"seed": 1},
        {"weights_sha256": "0"},
        {"start_sha256": "0"},
        {"until": 3},
    ],
)
def test_everything_that_changes_a_number_changes_the_id(change: dict[str, Any]) -> None:
    assert replace(make_job(), **change).id != make_job().id


def test_golden_id() -> None:
    # stores know their jobs by it: a change here trains everything again
    assert make_job().id == "cfd2cb25a4e6f733"
