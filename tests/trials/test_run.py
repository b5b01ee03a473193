"""Jobs in this process."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search_spaces import Architecture, Conv, LeNet
from tests.trials.test_job import make_job
from trials import Dataset, DataSettings, Job, JobFailure
from trials.dataset import load_dataset
from trials.job import JobResult
from trials.measure import measure_step
from trials.run import run_jobs
from trials.step_times import StepTimes
from trials.train import Member, Training
from trials.weights import checkpoint_path

TINY = LeNet(
    conv1=Conv(out_channels=4, kernel=3), conv2=Conv(out_channels=8, kernel=3), hidden=32, pool=True
).architecture((1, 14, 14), 10)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(DataSettings(source="mnist5k"))


def results(jobs: list[Job], dataset: Dataset, folder: Path) -> list[JobResult]:
    folder.mkdir(exist_ok=True)
    outcomes = run_jobs(jobs, dataset, folder)
    assert all(isinstance(outcome, JobResult) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, JobResult)]


def test_train_then_test(dataset: Dataset, tmp_path: Path) -> None:
    job = make_job(TINY, epochs=1)
    (trained,) = results([job], dataset, tmp_path)
    assert trained.images == 1000
    assert 0.3 < trained.accuracy < 1
    assert len(trained.losses) == 1
    assert results([job], dataset, tmp_path)[0].weights_sha256 == trained.weights_sha256
    (tested,) = results([job.scored_on_test(trained.weights_sha256)], dataset, tmp_path)
    assert tested.weights_sha256 == trained.weights_sha256
    assert tested.images == 1000
    assert tested.correct != trained.correct  # other images


def test_outcomes_stand_in_the_order_of_the_jobs(dataset: Dataset, tmp_path: Path) -> None:
    other = replace(make_job(TINY, epochs=1, seed=1), recipe=make_job(epochs=1).recipe.model_copy(update={"epochs": 2}))
    jobs = [make_job(TINY, epochs=1), other, make_job(TINY, epochs=1, seed=2), make_job(TINY).scored_on_test("0" * 64)]
    outcomes = run_jobs(jobs, dataset, tmp_path)
    assert [len(outcome.losses) for outcome in outcomes[:3] if isinstance(outcome, JobResult)] == [1, 2, 1]
    assert isinstance(outcomes[3], JobFailure)
    for job, outcome in zip(jobs[:3], outcomes, strict=False):
        assert outcome == replace(results([job], dataset, tmp_path)[0], wall_seconds=outcome.wall_seconds)  # type: ignore[union-attr]


def test_a_worker_of_two_cores_computes_with_two_threads(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a step of fused networks was timed, which takes one."""
    seen: list[int] = []
    run_epoch = Training.run_epoch

    def look(self: Training) -> None:
        if len(self._data) > self.recipe.batch_size:  # else it is the measurement
            seen.append(torch.get_num_threads())
        run_epoch(self)

    monkeypatch.setattr("trials.fusing.WORTH", 1)
    jobs = [make_job(TINY, epochs=1, seed=seed) for seed in range(2)]
    monkeypatch.setattr(Training, "run_epoch", look)
    try:
        run_jobs(jobs, dataset, tmp_path, threads=2)
        assert set(seen) == {2}
        measure_step(TINY, jobs[0].recipe, measured=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_fused_as_alone(dataset: Dataset, tmp_path: Path) -> None:
    jobs = [make_job(TINY, epochs=4, seed=seed) for seed in range(3)]
    alone = results(jobs[:1], dataset, tmp_path / "alone")[0]
    for members, seconds in ((1, 1.0), (3, 0.1)):  # as if it had been measured, and fused were quicker
        key = f"{TINY.id}, adadelta, fp32, {members} fused on cpu"
        StepTimes().write(key, jobs[0].recipe.batch_size, seconds)
    together = results(jobs, dataset, tmp_path)
    assert [result.members for result in together] == [3, 3, 3]
    assert together[0].losses == pytest.approx(alone.losses, rel=1e-3)
    assert together[0].accuracy == pytest.approx(alone.accuracy, abs=0.01)
    assert len({result.weights_sha256 for result in together}) == 3
    deterministic = [
        replace(job, recipe=job.recipe.model_copy(update={"deterministic": True, "epochs": 1})) for job in jobs
    ]
    assert [result.members for result in results(deterministic, dataset, tmp_path)] == [1, 1, 1]


def test_rungs_are_continued_to_the_numbers_of_the_whole(dataset: Dataset, tmp_path: Path) -> None:
    job = make_job(TINY, epochs=3)
    (whole,) = results([job], dataset, tmp_path / "whole")
    seconds: list[float] = []
    for until in (1, 2):
        (partial,) = results([job.ending(until)], dataset, tmp_path)
        seconds.append(partial.wall_seconds)
        assert partial.losses == whole.losses[:until]
        assert not checkpoint_path(tmp_path, job).exists(), "a partial training has no weights to take away"
    (ended,) = results([job], dataset, tmp_path)
    assert replace(ended, wall_seconds=0.0) == replace(whole, wall_seconds=0.0)
    assert seconds[0] < seconds[1] < ended.wall_seconds, "the time of all rungs"


def test_a_finished_training_is_not_made_again_before_its_result_is_kept(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trials.run.STATE_SECONDS", 0.0)  # as if it had taken long
    job = make_job(TINY, epochs=2)
    (first,) = results([job], dataset, tmp_path)
    monkeypatch.setattr("trials.train.Training.run_epoch", lambda _: pytest.fail("it is trained again"))
    (again,) = results([job], dataset, tmp_path)
    assert replace(again, wall_seconds=0.0) == replace(first, wall_seconds=0.0)


def test_members_that_cannot_train_together_train_alone(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trials.run.choose_members", lambda *_, count, **__: count)
    made = Training.__init__

    def short_of_memory(
        self: Training, architecture: Architecture, members: list[Member], *rest: Any, **named: Any
    ) -> None:
        if len(members) > 1:
            raise RuntimeError("CUDA out of memory")
        made(self, architecture, members, *rest, **named)

    monkeypatch.setattr(Training, "__init__", short_of_memory)
    found = results([make_job(TINY, epochs=1, seed=seed) for seed in range(2)], dataset, tmp_path)
    assert [result.members for result in found] == [1, 1]


def test_what_goes_wrong_is_an_outcome(dataset: Dataset, tmp_path: Path) -> None:
    (outcome,) = run_jobs([make_job(TINY).scored_on_test("0" * 64)], dataset, tmp_path)
    assert isinstance(outcome, JobFailure)
    assert outcome.message.startswith("CheckpointError: weights must be readable at")
    assert "\n" not in outcome.message
    assert not outcome.settled


def test_divergence_is_settled(dataset: Dataset, tmp_path: Path) -> None:
    black = Dataset(np.zeros_like(dataset.images), dataset.labels, dataset.splits)  # 0 / 0 when normalised
    (outcome,) = run_jobs([make_job(TINY, epochs=1)], black, tmp_path)
    assert isinstance(outcome, JobFailure)
    assert outcome.settled
    assert "the loss must stay finite" in outcome.message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["train", "test"])
def test_weights_of_a_job_and_of_its_test_are_one_file(kind: str) -> None:
    job = make_job(TINY)
    asked = job if kind == "train" else job.scored_on_test("ab")
    assert checkpoint_path(Path("x"), asked) == Path("x") / f"{job.id}.safetensors"


def test_weights_that_cannot_be_written_cost_no_other_training(dataset: Dataset, tmp_path: Path) -> None:
    jobs = [make_job(TINY, epochs=1, seed=seed) for seed in range(3)]
    checkpoint_path(tmp_path, jobs[1]).mkdir()
    outcomes = run_jobs(jobs, dataset, tmp_path)
    assert [isinstance(outcome, JobResult) for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1], JobFailure)
    assert outcomes[1].halts
    assert "files must be writable, but" in outcomes[1].message
