"""One job in this process, without and with Ray's worker around it."""

from pathlib import Path

import numpy as np
import pytest

from search_spaces import Conv, LeNet
from tests.trials.test_job import make_job
from trials import Dataset, DataSettings, Job, JobFailure
from trials.dataset import load_dataset
from trials.job import JobResult
from trials.loop import run_locally, try_job
from trials.run import checkpoint_path, run_job

TINY = LeNet(
    conv1=Conv(out_channels=4, kernel=3), conv2=Conv(out_channels=8, kernel=3), hidden=32, pool=True
).architecture((1, 14, 14), 10)


def test_train_then_test(tmp_path: Path) -> None:
    dataset = load_dataset(DataSettings(source="mnist5k"))
    job = make_job(TINY, epochs=1)
    trained = run_job(job, dataset, tmp_path)
    assert trained.images == 1000
    assert 0.3 < trained.accuracy < 1
    assert run_job(job, dataset, tmp_path).weights_sha256 == trained.weights_sha256
    tested = run_job(job.scored_on_test(trained.weights_sha256), dataset, tmp_path)
    assert tested.weights_sha256 == trained.weights_sha256
    assert tested.images == 1000
    assert tested.correct != trained.correct  # other images


def test_what_goes_wrong_is_an_outcome(tmp_path: Path) -> None:
    dataset = load_dataset(DataSettings(source="mnist5k"))
    outcome = try_job(make_job(TINY).scored_on_test("0" * 64), dataset, tmp_path)
    assert isinstance(outcome, JobFailure)
    assert outcome.message.startswith("CheckpointError: weights must be readable at")
    assert "\n" not in outcome.message
    assert not outcome.settled


def test_divergence_is_settled(tmp_path: Path) -> None:
    dataset = load_dataset(DataSettings(source="mnist5k"))
    black = Dataset(np.zeros_like(dataset.images), dataset.labels, dataset.splits)  # 0 / 0 when normalised
    outcome = try_job(make_job(TINY, epochs=1), black, tmp_path)
    assert isinstance(outcome, JobFailure)
    assert outcome.settled
    assert "the loss must stay finite" in outcome.message


class _Two:
    """A source of two jobs, the second of which cannot be run."""

    def __init__(self) -> None:
        self.jobs = [make_job(TINY, epochs=1), make_job(TINY).scored_on_test("0" * 64)]
        self.told: dict[str, JobResult | JobFailure] = {}

    def ask(self) -> Job | None:
        return self.jobs.pop(0) if self.jobs else None

    def finished(self) -> bool:
        return not self.jobs

    def tell(self, job: Job, outcome: JobResult | JobFailure) -> None:
        self.told[job.id] = outcome


def test_local_loop(tmp_path: Path) -> None:
    source = _Two()
    first, second = source.jobs
    run_locally(source, load_dataset(DataSettings(source="mnist5k")), tmp_path)
    assert isinstance(source.told[first.id], JobResult)
    assert isinstance(source.told[second.id], JobFailure)
    assert checkpoint_path(tmp_path, first).exists()


@pytest.mark.parametrize("kind", ["train", "test"])
def test_weights_of_a_job_and_of_its_test_are_one_file(kind: str) -> None:
    job = make_job(TINY)
    asked = job if kind == "train" else job.scored_on_test("ab")
    assert checkpoint_path(Path("x"), asked) == Path("x") / f"{job.id}.safetensors"
