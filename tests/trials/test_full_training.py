"""One network trained in full: the bits of a search's own training, also when it is stopped on the way."""

from pathlib import Path

import pytest
import torch

import trials.full_training
from search_spaces.zoo.lenet import lenet
from trials import DataSettings
from trials.checkpoint import read_weights
from trials.data import Dataset
from trials.dataset import load_dataset
from trials.full_training import Epoch, train_in_full
from trials.job import Job, JobResult
from trials.recipe import preset
from trials.run import run_jobs
from trials.weights import checkpoint_path, state_paths


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(DataSettings(source="mnist5k"))


def job_of(dataset: Dataset, **changes: float) -> Job:
    return Job(
        kind="train",
        architecture=lenet(resolution=12, channels1=4, channels2=4, hidden=12),
        data=DataSettings(source="mnist5k"),
        images_id=dataset.id,
        recipe=preset("fast", epochs=4, ema=0.9, **changes),
        seed=5,
    )


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_stopped_it_goes_on_to_the_same_bits_as_a_search(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, told = job_of(dataset), list[Epoch]()

    def stop(epoch: Epoch) -> None:
        told.append(epoch)
        if epoch.done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(trials.full_training, "STATE_SECONDS", 0.0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a worker of a search
    with pytest.raises(KeyboardInterrupt):
        train_in_full(job, dataset, tmp_path, start={}, report=stop)
    assert list(state_paths(tmp_path, job.id).values()) == [2]
    found = train_in_full(job, dataset, tmp_path, start={}, report=told.append)
    assert [epoch.done for epoch in told] == [1, 2, 3, 4]
    assert told[-1].seconds > told[0].seconds
    again = train_in_full(
        job, dataset, tmp_path, start={}, report=lambda epoch: pytest.fail(str(epoch))
    )  # it has ended: nothing is trained
    assert_equal(again, found)
    (tmp_path / "search").mkdir()
    (result,) = run_jobs([job], dataset, tmp_path / "search")
    torch.set_num_threads(threads)
    assert isinstance(result, JobResult)
    assert_equal(found, read_weights(checkpoint_path(tmp_path / "search", job), result.weights_sha256))
    assert result.accuracy == told[-1].validation_accuracy
    assert list(result.losses)[-1] == told[-1].loss


def test_a_state_is_kept_at_the_end(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials.full_training, "STATE_SECONDS", float("inf"))
    job = job_of(dataset)
    kept: list[list[int]] = []
    train_in_full(
        job, dataset, tmp_path, start={}, report=lambda epoch: kept.append([*state_paths(tmp_path, job.id).values()])
    )
    assert kept == [[], [], [], [4]]


def test_what_it_begins_with(dataset: Dataset, tmp_path: Path) -> None:
    """Given tensors are taken, others drawn by the seed: a rate that moves nothing shows them."""
    job = job_of(dataset, learning_rate=1e-12, weight_decay=0.0)
    start = {"classifier.bias": torch.arange(10, dtype=torch.float32) / 1e3}
    found = train_in_full(job, dataset, tmp_path, start=start, report=lambda epoch: None)
    torch.testing.assert_close(found["classifier.bias"], start["classifier.bias"], atol=1e-8, rtol=0)
    assert float(found["conv1.weight"].std()) > 0.01
