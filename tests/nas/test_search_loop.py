"""The loop on invented outcomes, and on a real store: what is asked for, kept, resumed."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from dashboards import read_front
from nas.begin import SearchError
from nas.export import ExportError, export_winner
from nas.planning import Plan, make_plan
from nas.progress import Progress
from nas.search_loop import Search
from nas.spec import Spec
from nas.tries import TRIES
from search_spaces import COSTS
from search_spaces.batch_cost import BatchCost
from trials.data import Dataset
from trials.files import FilesError
from trials.job import AnyJob, Job, JobFailure, JobResult
from trials.prune_job import PruneJob, PruneResult, PruneRow
from trials.store import Store
from trials.weights import checkpoint_path, sha256


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


def training_jobs(plan: Plan, dataset: Dataset) -> list[Job]:
    """All of them in their order."""
    return [job for network in plan.networks for job in plan.problem.jobs(network, dataset.id)]


def weights_of(job: Job) -> bytes:
    """What stands for a job's weights."""
    return job.training().id.encode()


def invented(job: Job) -> JobResult:
    """Higher resolution scores better."""
    found = job.architecture.resolution + job.seed
    return JobResult(correct=found, images=100, weights_sha256=sha256(weights_of(job)), wall_seconds=4.0)


Answer = Callable[[Job], JobResult | JobFailure]


def invented_record(job: PruneJob) -> PruneResult:
    """Ten steps, each of which leaves four fifths of every group: uniform scaling, with a law that fits."""
    batch = BatchCost(job.architecture)
    widths = [[max(1, round(width * 0.8**step)) for width in batch.groups.widths] for step in range(1, 11)]
    rows = [
        PruneRow(step=i, widths=tuple(row), params=int(p), macs=int(m), activation_elements=int(a))
        for i, (row, (p, m, a)) in enumerate(zip(widths, batch.costs(np.array(widths)), strict=True), start=1)
    ]
    return PruneResult(
        steps=tuple(rows), first_recorded=1, losses=(1.0,) * 10, pretraining_losses=(2.0,), wall_seconds=4.0
    )


Record = Callable[[PruneJob], PruneResult | JobFailure]


def answer(
    search: Search,
    store: Store,
    pack: tuple[AnyJob, ...],
    outcome_of: Answer = invented,
    record_of: Record = invented_record,
) -> None:
    """Train a pack in a moment: weights first, then the outcomes."""
    for job in pack:
        if isinstance(job, Job) and job.kind == "train" and job.until is None:
            checkpoint_path(store.checkpoints, job).write_bytes(weights_of(job))
    search.tell([(job, outcome_of(job) if isinstance(job, Job) else record_of(job)) for job in pack])


def run(
    search: Search,
    store: Store,
    stop_after: int = 10**6,
    outcome_of: Answer = invented,
    record_of: Record = invented_record,
) -> list[Job]:
    """Answer packs with invented outcomes, weights included, until so many jobs were asked for; and prunings."""
    asked: list[Job] = []
    while len(asked) < stop_after and (pack := search.ask()):
        asked += [job for job in pack if isinstance(job, Job)]
        answer(search, store, pack, outcome_of, record_of)
    store.set_finished(search.name, search.complete)
    return asked


def quiet(_: Progress) -> None:
    """Show nothing."""


def test_all_jobs_then_the_test_jobs_of_base_and_winner(plan: Plan, store: Store, dataset: Dataset) -> None:
    search = Search(plan, store, dataset, quiet)
    asked = run(search, store)
    assert search.finished()
    assert [job.id for job in asked[:6]] == [job.id for job in training_jobs(plan, dataset)]
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
    trials = optuna.load_study(study_name="small", storage=f"sqlite:///{store.shown}").trials
    networks = [network for network in plan.networks for _ in range(2)]
    assert len(trials) == 6
    for trial, network, job in zip(trials, networks, training_jobs(plan, dataset), strict=True):
        assert trial.user_attrs["job_id"] == job.id
        assert trial.user_attrs["method"] == network.method == trial.params["method"]
        assert trial.user_attrs["resolution"] == network.architecture.resolution == trial.params["resolution"]
        assert {name: trial.user_attrs[name] for name in COSTS} == network.cost.bounded()
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
    assert store.trials("small")[0]["slack_macs"] > 0
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
    pack = [job for job in search.ask() if isinstance(job, Job)]
    for job in pack:
        checkpoint_path(store.checkpoints, job).write_bytes(weights_of(job))
    store.record_results([(job, invented(job)) for job in pack])  # and the process dies before its trials are recorded
    assert store.trials("small") == []
    again = Search(plan, store, dataset, quiet)
    assert [trial["job_id"] for trial in store.trials("small")] == [job.id for job in pack]
    run(again, store)
    assert len(store.trials("small")) == 6


@pytest.mark.parametrize("damage", ["lost", "empty"])
def test_damaged_weights_are_made_again(plan: Plan, store: Store, dataset: Dataset, damage: str) -> None:
    run(Search(plan, store, dataset, quiet), store)
    damaged = plan.problem.jobs(plan.base, dataset.id)[0]
    path = checkpoint_path(store.checkpoints, damaged)
    path.unlink() if damage == "lost" else path.write_bytes(b"")
    again = Search(plan, store, dataset, quiet)
    assert not store.search("small").finished
    assert [job.id for job in run(again, store)] == [damaged.id]
    assert again.complete
    assert len(store.trials("small")) == 6


def test_damaged_weights_that_cannot_be_made_again(plan: Plan, store: Store, dataset: Dataset) -> None:
    run(Search(plan, store, dataset, quiet), store)
    damaged = plan.problem.jobs(plan.base, dataset.id)[0]
    checkpoint_path(store.checkpoints, damaged).unlink()
    again = Search(plan, store, dataset, quiet)
    (job,) = again.ask()
    again.tell([(job, JobFailure(message="no space"))])
    assert again.ask() == ()
    assert again.finished()
    assert not again.complete


def test_another_search_takes_the_same_results(
    plan: Plan, small: Callable[..., Spec], store: Store, dataset: Dataset
) -> None:
    run(Search(plan, store, dataset, quiet), store)
    other = Search(make_plan(small(name="other")), store, dataset, quiet)
    assert other.finished()
    assert len(store.trials("other")) == 6
    assert read_front(store, "other").to_json() | {"name": "small"} == read_front(store, "small").to_json()


def test_results_of_other_images_are_not_taken(
    plan: Plan, small: Callable[..., Spec], store: Store, dataset: Dataset
) -> None:
    run(Search(plan, store, dataset, quiet), store)
    changed = Dataset(dataset.images[::-1].copy(), dataset.labels, dataset.splits)
    assert Search(make_plan(small(name="other")), store, changed, quiet).kept == 0


def test_result_that_another_search_found_meanwhile(
    plan: Plan, small: Callable[..., Spec], store: Store, dataset: Dataset
) -> None:
    late = Search(make_plan(small(name="late")), store, dataset, quiet)
    assert late.kept == 0
    run(Search(plan, store, dataset, quiet), store)
    assert late.ask() == ()
    assert late.complete
    assert len(store.trials("late")) == 6


def test_failure_is_tried_again_and_test_data_wait(plan: Plan, store: Store, dataset: Dataset) -> None:
    search = Search(plan, store, dataset, quiet)
    failing = plan.problem.jobs(plan.found.chosen[-1], dataset.id)[0]
    died = JobFailure(message="the worker process died")
    asked = run(search, store, outcome_of=lambda job: died if job.id == failing.id else invented(job))
    assert search.finished()
    assert not search.complete
    assert {job.kind for job in asked} == {"train"}, "the winner may still be another: the test split is not touched"
    assert [job.id for job, _ in search.failures] == [failing.id]
    assert read_front(store, "small").trained == 2
    with pytest.raises(ExportError, match="search 'small' must be finished before its winner is exported"):
        export_winner(store, "small")
    again = Search(plan, store, dataset, quiet)
    assert [job.kind for job in run(again, store)] == ["train", "test", "test", "test", "test"]
    assert again.complete


def test_full_disk_ends_the_search_and_blames_no_job(plan: Plan, store: Store, dataset: Dataset) -> None:
    for _ in range(TRIES + 1):  # however often: it is not given up
        search = Search(plan, store, dataset, quiet)
        first, second = search.ask()
        assert isinstance(first, Job)
        full = JobFailure(message="files must be writable, but x: No space left on device", halts=True)
        with pytest.raises(FilesError, match="No space left on device; see to that, then run the same command again"):
            search.tell([(first, invented(first)), (second, full)])
        assert store.results([first.id]) == {first.id: invented(first)}, "what was found is kept"
        assert [trial["job_id"] for trial in store.trials("small")] == [first.id]
        assert not search.complete
        checkpoint_path(store.checkpoints, first).unlink(missing_ok=True)
    run(Search(plan, store, dataset, quiet), store)
    assert Search(plan, store, dataset, quiet).complete


def test_settled_failure_is_not_tried_again(plan: Plan, store: Store, dataset: Dataset) -> None:
    search = Search(plan, store, dataset, quiet)
    failing = plan.problem.jobs(plan.found.chosen[-1], dataset.id)[0]
    diverged = JobFailure(message="the loss must stay finite", settled=True)
    run(search, store, outcome_of=lambda job: diverged if job.id == failing.id else invented(job))
    assert search.complete
    front = read_front(store, "small")
    assert front.winner is not None
    assert front.winner.test is not None
    assert front.winner.id != plan.found.chosen[-1].id, "a network with a failed seed is not complete"
    assert Search(plan, store, dataset, quiet).ask() == ()


def test_training_whose_worker_always_dies_is_given_up(plan: Plan, store: Store, dataset: Dataset) -> None:
    failing = plan.problem.jobs(plan.found.chosen[-1], dataset.id)[0]
    died = JobFailure(message="the worker process died")
    for time in range(1, TRIES + 1):
        search = Search(plan, store, dataset, quiet)
        asked = run(search, store, outcome_of=lambda job: died if job.id == failing.id else invented(job))
        assert failing.id in {job.id for job in asked}
        assert search.complete == (time == TRIES)
        (failed,) = read_front(store, "small").failed
        assert (failed.network_id, failed.seed, failed.settled) == (failing.architecture.id, 0, time == TRIES)
    assert failed.cause == "the worker process died, 3 times: given up"
    winner = read_front(store, "small").winner
    assert winner is not None
    assert winner.id != failing.architecture.id
    assert Search(plan, store, dataset, quiet).ask() == ()


def test_failure_that_is_mended_is_not_shown(plan: Plan, store: Store, dataset: Dataset) -> None:
    died = JobFailure(message="the worker process died")
    failing = plan.problem.jobs(plan.base, dataset.id)[0]
    run(
        Search(plan, store, dataset, quiet),
        store,
        outcome_of=lambda job: died if job.id == failing.id else invented(job),
    )
    assert len(read_front(store, "small").failed) == 1
    run(Search(plan, store, dataset, quiet), store)
    assert read_front(store, "small").failed == ()


def test_networks_are_those_that_it_began_with(
    plan: Plan, small: Callable[..., Spec], store: Store, dataset: Dataset
) -> None:
    run(Search(plan, store, dataset, quiet), store, stop_after=2)
    # as if a later version chose other networks for the same spec
    other = make_plan(small(search={"max_candidates": 2, "seed": 7})).found
    later = replace(plan, found=other)
    assert later.networks != plan.networks
    search = Search(later, store, dataset, quiet)
    assert [network.id for network in search.networks] == [network.id for network in plan.networks]
    run(search, store)
    assert read_front(store, "small").trained == 3


def test_version_that_trains_otherwise(
    plan: Plan, store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    Search(plan, store, dataset, quiet)
    monkeypatch.setattr("trials.job.NUMBERS_VERSION", 0)
    with pytest.raises(SearchError, match="must go on with the version of this project that began it"):
        Search(plan, store, dataset, quiet)


def test_progress(plan: Plan, store: Store, dataset: Dataset) -> None:
    seen: list[Progress] = []
    search = Search(plan, store, dataset, seen.append)
    search.report()
    run(search, store)
    # whole networks, but for the last one, whose seeds are shared out; then the test jobs, one by one
    done = [0, 2, 4, 5, 6, 6, 6, 6]
    assert [(progress.stage, progress.done) for progress in seen] == [("training", count) for count in done]
    assert (seen[0].seconds_left, seen[0].best, seen[0].base_accuracy) == (None, None, None)
    assert seen[1].seconds_left == 4.0 * 4 / 2
    assert seen[1].base_accuracy == pytest.approx(0.145)
    best = seen[4].best
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


def test_nothing_is_left_running(plan: Plan, store: Store, dataset: Dataset) -> None:
    run(Search(plan, store, dataset, quiet), store, stop_after=3)
    with sqlite3.connect(store.shown) as connection:
        states = connection.execute("SELECT DISTINCT state FROM trials").fetchall()
    connection.close()
    assert states == [(TrialState.COMPLETE.name,)]
