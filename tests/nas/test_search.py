"""The loop on invented outcomes, and on a real store: what is asked for, kept, resumed."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from dashboards import read_front
from nas.plan import Plan, make_plan
from nas.progress import Progress
from nas.search import Search, SearchError, lock_search
from nas.spec import Spec
from search_spaces import COSTS
from trials.data import Dataset
from trials.job import Job, JobFailure, JobResult
from trials.run import checkpoint_path
from trials.store import Store


@pytest.fixture
def dataset() -> Dataset:
    images = np.random.default_rng(0).integers(0, 256, (20, 1, 28, 28), dtype=np.uint8)
    parts = {"train": np.arange(10), "validation": np.arange(10, 15), "test": np.arange(15, 20)}
    return Dataset(images, np.arange(20) % 10, parts)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path}/nas.db", create=True) as opened:
        yield opened


@pytest.fixture
def plan(small: Callable[..., Spec]) -> Plan:
    return make_plan(small())


def invented(job: Job, correct: int | None = None) -> JobResult:
    """Higher resolution scores better."""
    found = job.architecture.resolution + job.seed if correct is None else correct
    return JobResult(correct=found, images=100, weights_sha256=f"{job.training().id}", wall_seconds=4.0)


def run(search: Search, store: Store, stop_after: int = 10**6) -> list[Job]:
    """Answer up to `stop_after` jobs with invented outcomes, weights included."""
    asked: list[Job] = []
    while len(asked) < stop_after and (job := search.ask()):
        asked.append(job)
        checkpoint_path(store.checkpoints, job).touch()
        search.tell(job, invented(job))
    return asked


def quiet(_: Progress) -> None:
    """Show nothing."""


def test_all_jobs_then_the_test_jobs_of_base_and_winner(plan: Plan, store: Store, dataset: Dataset) -> None:
    search = Search(plan, store, dataset, quiet)
    asked = run(search, store)
    assert search.finished()
    assert [job.id for job in asked[:6]] == [job.id for _, job in plan.training_jobs()]
    best = plan.found.chosen[-1]  # of the highest resolution
    assert [(job.kind, job.architecture.id, job.seed) for job in asked[6:]] == [
        ("test", network.id, seed) for network in (plan.base, best) for seed in (0, 1)
    ]
    front = read_front(store, "small")
    assert front.winner is not None
    assert front.winner.id == best.id
    assert front.winner.test is not None
    assert front.winner.test.by_seed[1] == (best.architecture.resolution + 1) / 100


def test_trials_say_what_they_are(plan: Plan, store: Store, dataset: Dataset) -> None:
    run(Search(plan, store, dataset, quiet), store)
    trials = store.trials("small")
    assert len(trials) == 6
    for trial, (network, job) in zip(trials, plan.training_jobs(), strict=True):
        assert trial.user_attrs["job_id"] == job.id
        assert trial.user_attrs["method"] == network.method == trial.params["method"]
        assert trial.user_attrs["resolution"] == network.architecture.resolution == trial.params["resolution"]
        assert {name: trial.user_attrs[name] for name in COSTS} == network.cost.to_json()
        assert trial.values == [invented(job).accuracy, network.cost.macs]
        assert all(value <= 0 for value in trial.constraints.values())


def test_base_over_budget_is_infeasible_but_beside_the_front(
    small: Callable[..., Spec], store: Store, dataset: Dataset
) -> None:
    plan = make_plan(small(budget={"macs": "0.9x"}))
    run(Search(plan, store, dataset, quiet), store)
    front = read_front(store, "small")
    assert front.base is not None
    assert not front.base.feasible
    assert front.base.id not in {network.id for network in front.front}
    assert max(store.trials("small")[0].constraints.values()) > 0
    assert front.winner is not None
    assert front.winner.feasible


@pytest.mark.parametrize("done", range(0, 11, 2))
def test_goes_on_where_it_stopped(plan: Plan, store: Store, dataset: Dataset, done: int) -> None:
    first = run(Search(plan, store, dataset, quiet), store, stop_after=done)
    again = Search(plan, store, dataset, quiet)
    assert again.kept == min(done, 6)
    second = run(again, store)
    assert not {job.id for job in first} & {job.id for job in second}
    assert len(first) + len(second) == 10
    assert len(store.trials("small")) == 6


def test_trial_that_a_crash_left_out_is_added(plan: Plan, store: Store, dataset: Dataset) -> None:
    search = Search(plan, store, dataset, quiet)
    job = search.ask()
    assert job is not None
    checkpoint_path(store.checkpoints, job).touch()
    store.record_result(job, invented(job))  # and the process dies before its trial is recorded
    assert store.trials("small") == []
    again = Search(plan, store, dataset, quiet)
    assert [trial.user_attrs["job_id"] for trial in store.trials("small")] == [job.id]
    run(again, store)
    assert len(store.trials("small")) == 6


def test_lost_weights_are_made_again(plan: Plan, store: Store, dataset: Dataset) -> None:
    run(Search(plan, store, dataset, quiet), store)
    lost = plan.problem.jobs(plan.base.architecture)[0]
    checkpoint_path(store.checkpoints, lost).unlink()
    asked = run(Search(plan, store, dataset, quiet), store)
    assert [job.id for job in asked] == [lost.id]
    assert len(store.trials("small")) == 6


def test_another_search_takes_the_same_results(
    plan: Plan, small: Callable[..., Spec], store: Store, dataset: Dataset
) -> None:
    run(Search(plan, store, dataset, quiet), store)
    other = Search(make_plan(small(name="other")), store, dataset, quiet)
    assert other.finished()
    assert len(store.trials("other")) == 6
    assert read_front(store, "other").to_json() | {"name": "small"} == read_front(store, "small").to_json()


def test_failures_are_kept_apart_and_tried_again(plan: Plan, store: Store, dataset: Dataset) -> None:
    search = Search(plan, store, dataset, quiet)
    failing = plan.problem.jobs(plan.found.chosen[-1].architecture)[0]
    while job := search.ask():
        checkpoint_path(store.checkpoints, job).touch()
        search.tell(job, JobFailure(message="no") if job.id == failing.id else invented(job))
    assert search.finished()
    assert [job.id for job, _ in search.failures] == [failing.id]
    front = read_front(store, "small")
    assert front.trained == 2
    assert front.winner is not None
    assert front.winner.id != plan.found.chosen[-1].id, "a network with a failed seed is not complete"
    again = run(Search(plan, store, dataset, quiet), store)
    assert [job.id for job in again[:1]] == [failing.id]


def test_progress(plan: Plan, store: Store, dataset: Dataset) -> None:
    seen: list[Progress] = []
    search = Search(plan, store, dataset, seen.append)
    search.report()
    run(search, store)
    assert [progress.done for progress in seen] == [0, 1, 2, 3, 4, 5, 6, 6, 6, 6, 6]
    assert (seen[0].seconds_left, seen[0].best, seen[0].base_accuracy) == (None, None, None)
    assert seen[1].seconds_left == 4.0 * 5 / 2
    assert seen[2].base_accuracy == pytest.approx(0.145)
    best = seen[6].best
    assert best is not None
    assert best[0] == plan.found.chosen[-1]
    assert seen[-1].seconds_left == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"epochs": 2, "seeds": 2}}, "but train.epochs differs from when it began"),
        ({"base": {"resolution": 13}}, "but base.resolution differs"),
        ({"search": {"max_candidates": 3}}, "but search.max_candidates differs"),
    ],
)
def test_one_name_one_spec(
    plan: Plan, small: Callable[..., Spec], store: Store, dataset: Dataset, changes: dict[str, Any], message: str
) -> None:
    Search(plan, store, dataset, quiet)
    if "base" in changes:
        changes = {"base": small().base.model_dump() | changes["base"]}
    with pytest.raises(SearchError, match=message):
        Search(make_plan(small(**changes)), store, dataset, quiet)


def test_one_name_the_same_images(plan: Plan, store: Store, dataset: Dataset) -> None:
    Search(plan, store, dataset, quiet)
    other = Dataset(dataset.images[::-1].copy(), dataset.labels, dataset.splits)
    with pytest.raises(SearchError, match="must keep its images, but those of mnist5k have changed"):
        Search(plan, store, other, quiet)


def test_one_process_a_search(store: Store) -> None:
    script = (
        "import sys; from filelock import FileLock;"
        "lock = FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(store.checkpoints / "small.lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(SearchError, match="another one runs 'small' now"):
        lock_search(store, "small")
    holder.kill()
    holder.communicate()
    with lock_search(store, "small"):  # freed by the kernel, however its holder ended
        assert True


def test_nothing_is_left_running(plan: Plan, store: Store, dataset: Dataset) -> None:
    run(Search(plan, store, dataset, quiet), store, stop_after=3)
    with sqlite3.connect(store.path) as connection:
        states = connection.execute("SELECT DISTINCT state FROM trials").fetchall()
    connection.close()
    assert states == [(TrialState.COMPLETE.name,)]
