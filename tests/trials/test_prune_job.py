"""Prunings and their records as data, and the ids of prunings."""

import json
from dataclasses import replace
from typing import Any

import pytest

from search_spaces.zoo import make_network
from tests.trials.test_job import make_job
from tests.trials.test_run import TINY
from trials import DataSettings
from trials.data import SplitSettings
from trials.job import JobResult, read_job, read_result
from trials.prune_job import PruneJob, PruneResult, PruneRow
from trials.prune_settings import PruneSettings


def prune_job(seed: int = 0, **changes: Any) -> PruneJob:
    return PruneJob(
        architecture=TINY,
        data=DataSettings(source="mnist5k"),
        images_id="digits",
        settings=PruneSettings(**{"pretrain_epochs": 1, "batches": 2, "channels": 4, **changes}),
        seed=seed,
    )


JOB = prune_job()
RESULT = PruneResult(
    steps=tuple(
        PruneRow(step=i, widths=(8 - i, 4, 9 - i), params=9 - i, macs=90 - i, activation_elements=7)
        for i in range(1, 5)
    ),
    first_recorded=3,
    losses=(2.5, 2.25, 2.0, 1.75),
    pretraining_losses=(2.75, 2.6),
    wall_seconds=1.5,
    without_norm=("conv1", "hidden"),
    left_out={"conv2": "a layer norm reads it"},
)


@pytest.mark.parametrize("job", [JOB, prune_job(3, floor=0.25, channels=0.01, augmentation="flip", precision="fp64")])
def test_jobs_as_json(job: PruneJob) -> None:
    again = read_job(json.loads(json.dumps(job.to_json())))
    assert isinstance(again, PruneJob)
    assert again == job
    assert again.id == job.id
    given = replace(job, start_sha256="ab" * 32)
    assert read_job(given.to_json()) == given


@pytest.mark.parametrize("result", [RESULT, replace(RESULT, first_recorded=None, without_norm=(), left_out={})])
def test_results_as_json(result: PruneResult) -> None:
    again = read_result(json.loads(json.dumps(result.to_json())))
    assert isinstance(again, PruneResult)
    assert again == result
    assert again.rows == result.rows
    row = PruneRow(step=3, widths=(1, 2), params=5, macs=6, activation_elements=7)
    assert row.to_json() == {"step": 3, "widths": [1, 2], "params": 5, "macs": 6, "activation_elements": 7}


def test_trainings_are_no_prunings() -> None:
    job = make_job(TINY)
    assert read_job(json.loads(json.dumps(job.to_json()))) == job
    result = JobResult(correct=1, images=2, weights_sha256="ab", wall_seconds=1.5, losses=(0.5,))
    assert read_result(json.loads(json.dumps(result.to_json()))) == result


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": make_network("lenet")},
        {"data": DataSettings(source="mnist5k", split=SplitSettings(seed=1))},
        {"data": DataSettings(source="other")},
        {"images_id": "other digits"},
        {"settings": PruneSettings()},
        {"seed": 1},
        {"start_sha256": "0"},
    ],
)
def test_everything_that_changes_a_record_changes_the_id(change: dict[str, Any]) -> None:
    assert replace(JOB, **change).id != JOB.id


OTHERS = {
    "pretrain_epochs": 3,
    "pretrain_learning_rate": 0.2,
    "learning_rate": 0.02,
    "decay": 2,
    "decay_epochs": 11,
    "momentum": 0.6,
    "weight_decay": 1e-4,
    "batch_size": 100,
    "augmentation": "none",
    "batches": 51,
    "channels": 11,
    "normalisation": "l2",
    "floor": 2,
    "at_floor": "stop",
    "stop_share": 0.9,
    "mask_only": True,
    "precision": "fp64",
}


def test_every_setting_changes_the_id() -> None:
    assert set(OTHERS) == set(PruneSettings.model_fields)
    jobs = [replace(JOB, settings=PruneSettings(**{name: value})) for name, value in OTHERS.items()]
    assert len({job.id for job in (replace(JOB, settings=PruneSettings()), *jobs)}) == len(OTHERS) + 1


def test_nothing_else_changes_the_id() -> None:
    assert prune_job().id == JOB.id
    assert prune_job(channels="4", floor="1", stop_share="0.95", learning_rate="1e-2").id == JOB.id
    elsewhere = DataSettings(source="mnist5k", root="/data", memory_share=0.5, unreadable_share=0.5)
    assert replace(JOB, data=elsewhere).id == JOB.id
    assert JOB.id != make_job(TINY).id


def test_golden_id() -> None:
    # stores know their prunings by it: a change here prunes everything again
    assert JOB.id == "0a8a46a075b13eb7"


@pytest.mark.parametrize(("first", "steps"), [(None, []), (1, [1, 2, 3, 4]), (3, [3, 4]), (4, [4])])
def test_the_record_is_what_follows_its_first_step(first: int | None, steps: list[int]) -> None:
    assert [row.step for row in replace(RESULT, first_recorded=first).rows] == steps
