"""A search with a race and with fresh seeds, on invented outcomes."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState

from dashboards import read_front
from nas.planning import Plan, make_plan
from nas.progress import Progress
from nas.search_loop import Search
from nas.spec import Spec
from tests.nas.test_search_loop import dataset, invented, quiet, run, store  # noqa: F401 fixtures
from trials.data import Dataset
from trials.job import Job, JobFailure, JobResult
from trials.store import Store

TRAIN = {"preset": "borji", "epochs": 9, "seeds": 2, "confirm": 2}


@pytest.fixture
def plan(small: Callable[..., Spec]) -> Plan:
    return make_plan(small(train=TRAIN, race={"eta": 3}, search={"max_candidates": 9, "workers": 2}))


def trained(asked: list[Job]) -> list[tuple[int, int]]:
    """Seeds and epochs of training jobs."""
    return [(job.seed, job.epochs) for job in asked if job.kind == "train"]


def test_race_then_fresh_seeds_then_test(plan: Plan, store: Store, dataset: Dataset) -> None:  # noqa: F811
    search = Search(plan, store, dataset, quiet)
    asked = run(search, store)
    assert search.complete
    steps = trained(asked)
    assert steps[:2] == [(0, 9), (1, 9)], "the base first, in full"
    assert steps.count((0, 1)) == 9
    assert steps.count((0, 3)) == 3
    front = read_front(store, "small")
    assert front.trained == 1 + 1  # the base, and the last of the race
    assert front.winner is not None
    assert front.winner.confirmed is not None
    assert set(front.winner.confirmed.by_seed) == {2, 3}
    assert front.winner.test is not None
    assert set(front.winner.test.by_seed) == {2, 3}
    tested = [job for job in asked if job.kind == "test"]
    assert {job.seed for job in tested} == {2, 3}
    assert asked.index(tested[0]) == len(asked) - len(tested), "the test split is touched at the very end"
    assert front.winner.resolution == max(network.architecture.resolution for network in plan.networks)


def test_partial_results_are_pruned_trials(plan: Plan, store: Store, dataset: Dataset) -> None:  # noqa: F811
    run(Search(plan, store, dataset, quiet), store)
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{store.shown}")
    pruned = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert len(pruned) == 8
    assert sorted(trial.last_step for trial in pruned if trial.last_step) == [1] * 6 + [3] * 2
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert {trial.user_attrs["role"] for trial in complete} == {"search", "confirm"}
    raced = [trial for trial in complete if set(trial.intermediate_values) == {1, 3, 9}]
    assert len(raced) == 1
    on_front = {network.id for network in read_front(store, "small").front}
    assert not on_front & {trial.user_attrs["network_id"] for trial in pruned}
    with sqlite3.connect(store.shown) as connection:
        (partial,) = connection.execute(
            "SELECT count(*) FROM nas_jobs WHERE json_extract(job, '$.until') > 0"
        ).fetchone()
    assert partial == 9 + 3


@pytest.mark.parametrize("rule", ["halving", "asha"])
@pytest.mark.parametrize("done", [1, 4, 9, 13, 16, 18, 20, 23])
def test_race_goes_on_where_it_stopped(
    small: Callable[..., Spec],
    store: Store,  # noqa: F811
    dataset: Dataset,  # noqa: F811
    rule: str,
    done: int,
) -> None:
    def outcome_of(job: Job) -> JobResult:  # the same of fresh seeds: no seed is luckier
        return replace(invented(job), correct=job.architecture.resolution)

    plan = make_plan(small(train=TRAIN, race={"rule": rule}, search={"max_candidates": 9, "workers": 2}))
    first = run(Search(plan, store, dataset, quiet), store, stop_after=done, outcome_of=outcome_of)
    again = Search(plan, store, dataset, quiet)
    second = run(again, store, outcome_of=outcome_of)
    assert not {job.id for job in first} & {job.id for job in second}
    assert again.complete
    winner = read_front(store, "small").winner
    assert winner is not None
    assert winner.resolution == max(network.architecture.resolution for network in plan.networks)


def test_states_of_ended_trainings_go(plan: Plan, store: Store, dataset: Dataset) -> None:  # noqa: F811
    search = Search(plan, store, dataset, quiet)
    run(search, store, stop_after=5)
    job = next(job for network in plan.networks[1:] for job in plan.problem.jobs(network, dataset.id))
    state = store.checkpoints / f"{job.id}-1-0123456789abcdef.state"
    state.write_bytes(b"")
    run(search, store)
    assert search.complete
    assert not state.exists()


def test_network_that_fails_leaves_its_place(plan: Plan, store: Store, dataset: Dataset) -> None:  # noqa: F811
    best = max(plan.networks, key=lambda network: network.architecture.resolution)
    diverged = JobFailure(message="the loss must stay finite", settled=True)

    def outcome(job: Job) -> JobResult | JobFailure:
        return diverged if job.architecture.id == best.id and job.epochs > 1 else invented(job)

    search = Search(plan, store, dataset, quiet)
    run(search, store, outcome_of=outcome)
    assert search.complete
    front = read_front(store, "small")
    assert front.trained == 2
    assert front.winner is not None
    assert front.winner.id != best.id


def test_luck_is_not_confirmed(small: Callable[..., Spec], store: Store, dataset: Dataset) -> None:  # noqa: F811
    plan = make_plan(small(train={"preset": "borji", "epochs": 1, "seeds": 1, "confirm": 2}))
    lucky, good = (network.id for network in plan.found.chosen)

    def outcome(job: Job) -> JobResult:
        correct = {lucky: (99, 50, 52), good: (90, 89, 91)}.get(job.architecture.id, (80, 80, 80))[job.seed]
        return replace_correct(invented(job), correct)

    run(Search(plan, store, dataset, quiet), store, outcome_of=outcome)
    front = read_front(store, "small")
    assert front.winner is not None
    assert front.winner.id == good, "which the lucky one had kept off the front"
    assert all(network.confirmed for network in front.front)
    listing = front.to_json()
    assert listing["winner"]["confirmed_accuracy"]["n"] == 2
    assert listing["winner"]["confirmed_accuracy"]["images"] == 100
    assert listing["data"]["fingerprint"] == dataset.fingerprint


def test_seeds_are_shared_out_where_workers_would_wait(
    small: Callable[..., Spec],
    store: Store,  # noqa: F811
    dataset: Dataset,  # noqa: F811
) -> None:
    plan = make_plan(small(methods=[], train={**TRAIN, "seeds": 3, "confirm": 0}, search={"workers": 3}))
    search = Search(plan, store, dataset, quiet)
    assert [len(search.ask()) for _ in range(4)] == [1, 1, 1, 0]


def test_what_is_left_to_confirm_falls(small: Callable[..., Spec], store: Store, dataset: Dataset) -> None:  # noqa: F811
    plan = make_plan(small(train={"preset": "borji", "epochs": 1, "seeds": 1, "confirm": 2}))
    seen: list[Progress] = []
    run(Search(plan, store, dataset, seen.append), store)
    left = [progress.total - progress.done for progress in seen if progress.stage == "confirming"]
    assert left[-1] == 0
    assert left == sorted(left, reverse=True)


def replace_correct(result: JobResult, correct: int) -> JobResult:
    return JobResult(
        correct=correct, images=100, weights_sha256=result.weights_sha256, wall_seconds=result.wall_seconds
    )
