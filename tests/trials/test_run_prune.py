"""Prunings in this process: their records, and what goes wrong."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from search_spaces import count_cost
from search_spaces.build import build
from search_spaces.widths import with_widths
from tests.trials.test_job import make_job
from tests.trials.test_prune_job import JOB, prune_job
from tests.trials.test_run import TINY
from trials import Dataset, DataSettings, JobFailure
from trials.checkpoint import weights_bytes
from trials.dataset import load_dataset
from trials.images import open_split
from trials.job import AnyJob, JobResult, Outcome
from trials.prune import Pruning
from trials.prune_job import PruneJob, PruneResult
from trials.run import run_jobs
from trials.weights import sha256, start_path

WIDTHS = (4, 8, 32)  # of the tiny LeNet's groups
STEPS = 11  # of 4 channels each, until 95 % of these are gone


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(DataSettings(source="mnist5k"))


@pytest.fixture(scope="module")
def whole(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> PruneResult:
    """The record of `JOB`, undisturbed."""
    folder = tmp_path_factory.mktemp("whole")
    found = pruned(JOB, dataset, folder)
    assert not list(folder.iterdir()), "it took less than a minute: no state is kept"
    return found


def run(job: PruneJob, dataset: Dataset, folder: Path) -> Outcome:
    (outcome,) = run_jobs([job], dataset, folder)
    return outcome


def pruned(job: PruneJob, dataset: Dataset, folder: Path) -> PruneResult:
    outcome = run(job, dataset, folder)
    assert isinstance(outcome, PruneResult), outcome
    return outcome


def failed(job: PruneJob, dataset: Dataset, folder: Path) -> JobFailure:
    outcome = run(job, dataset, folder)
    assert isinstance(outcome, JobFailure)
    assert "\n" not in outcome.message
    return outcome


def timeless(result: PruneResult) -> PruneResult:
    return replace(result, wall_seconds=0.0)


def test_the_record(whole: PruneResult) -> None:
    assert [row.step for row in whole.steps] == list(range(1, STEPS + 1))
    assert [sum(row.widths) for row in whole.steps[:-1]] == [44 - 4 * step for step in range(1, STEPS)]
    assert sum(whole.steps[-1].widths) == 3  # one channel each: the last step found no more than one to remove
    for before, after in pairwise([WIDTHS, *(row.widths for row in whole.steps)]):
        assert all(new <= old for old, new in zip(before, after, strict=True))
    for row in whole.steps:
        cost = count_cost(with_widths(TINY, row.widths))
        assert (row.params, row.macs, row.activation_elements) == (cost.params, cost.macs, cost.activation_elements)
    assert len(whole.losses) == STEPS
    assert len(whole.pretraining_losses) == 1
    assert whole.wall_seconds > 0
    assert whole.without_norm == ("conv1", "conv2", "hidden")
    assert whole.left_out == {}


def check_first_recorded(result: PruneResult, whole: dict[int, int]) -> None:
    """`whole`: widths by number of the groups that can lose channels."""
    first = None
    for row in result.steps:
        if first is None and all(row.widths[i] < width for i, width in whole.items()):
            first = row.step
    assert result.first_recorded == first
    assert result.rows == (() if first is None else result.steps[first - 1 :])


def test_the_record_begins_when_every_group_has_lost_a_channel(whole: PruneResult) -> None:
    check_first_recorded(whole, dict(enumerate(WIDTHS)))
    assert whole.first_recorded is not None
    assert 1 < whole.first_recorded < STEPS, "of these the cut is seen"


def test_groups_that_are_left_out_are_not_waited_for(dataset: Dataset, tmp_path: Path) -> None:
    result = pruned(prune_job(floor=5), dataset, tmp_path)
    assert result.left_out == {"conv1": "it must keep all of its 4 channels"}
    assert {row.widths[0] for row in result.steps} == {4}
    check_first_recorded(result, {1: 8, 2: 32})
    assert result.rows


def test_no_record_where_it_ends_before(dataset: Dataset, tmp_path: Path) -> None:
    result = pruned(prune_job(stop_share=0.1), dataset, tmp_path)
    assert [sum(row.widths) for row in result.steps] == [40, 36]
    check_first_recorded(result, dict(enumerate(WIDTHS)))
    assert result.first_recorded is None
    assert result.rows == ()


def test_the_record_is_that_of_the_pruning_itself(whole: PruneResult, dataset: Dataset, tmp_path: Path) -> None:
    pruning = Pruning(TINY, open_split(dataset, "train", 14), JOB.settings, seed=0)
    while not pruning.finished:
        pruning.run_step()
    assert pruning.result(0.0) == timeless(whole)
    assert timeless(pruned(prune_job(seed=1), dataset, tmp_path)) != timeless(whole)


def test_given_weights_are_where_it_begins(dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(3)
    weights = build(TINY).state_dict()
    content = weights_bytes(weights)
    start_path(tmp_path, sha256(content)).write_bytes(content)
    anew = prune_job(pretrain_epochs=0, stop_share=0.2)
    given = pruned(replace(anew, start_sha256=sha256(content)), dataset, tmp_path)
    pruning = Pruning(TINY, open_split(dataset, "train", 14), anew.settings, seed=0, start=weights)
    while not pruning.finished:
        pruning.run_step()
    assert timeless(given) == pruning.result(0.0)
    assert given.losses != pruned(anew, dataset, tmp_path).losses
    assert given.pretraining_losses == ()


def test_outcomes_stand_in_the_order_of_the_jobs(whole: PruneResult, dataset: Dataset, tmp_path: Path) -> None:
    jobs: list[AnyJob] = [make_job(TINY, epochs=1), JOB, prune_job(floor=32), make_job(TINY).scored_on_test("0" * 64)]
    trained, found, settled, missing = run_jobs(jobs, dataset, tmp_path)
    assert isinstance(trained, JobResult)
    assert isinstance(found, PruneResult)
    assert timeless(found) == timeless(whole)
    assert [isinstance(one, JobFailure) and one.settled for one in (settled, missing)] == [True, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pretrain_learning_rate": 1000}, "TrainingDiverged: the loss of the pre-training must .* but is .* after "),
        ({"learning_rate": 1000, "momentum": 0.99}, "TrainingDiverged: the loss of a pruning must stay finite, but is"),
        (
            {"floor": 32},
            "NetworkError: pruning needs a width group that can lose channels, .*; conv1: it must keep all",
        ),
    ],
)
def test_what_would_fail_again_is_settled(
    changes: dict[str, Any], message: str, dataset: Dataset, tmp_path: Path
) -> None:
    failure = failed(prune_job(**changes), dataset, tmp_path)
    assert failure.settled
    assert matches(message, failure)
    assert not list(tmp_path.iterdir())


def matches(message: str, failure: JobFailure) -> bool:
    return pytest.raises(Exception, match=message).matches(Exception(failure.message))


def test_missing_weights_are_not_settled(dataset: Dataset, tmp_path: Path) -> None:
    failure = failed(replace(JOB, start_sha256="0" * 64), dataset, tmp_path)
    assert not failure.settled
    assert failure.message.startswith("CheckpointError: weights must be readable at")


@pytest.mark.parametrize("name", ["missing", "file"])
def test_states_that_cannot_be_written_cost_no_pruning(
    name: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("trials.run_prune.STATE_SECONDS", 0.0)
    assert timeless(pruned(JOB, dataset, tmp_path / name)) == timeless(pruned(JOB, dataset, tmp_path))
