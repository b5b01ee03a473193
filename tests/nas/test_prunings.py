# ruff: noqa: F811 fixtures come from another module
"""A search whose networks become known while it runs, on invented outcomes and a real store."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
import pytest

from dashboards import read_front
from nas.planning import Plan, make_plan
from nas.progress import Progress
from nas.proposal import Proposal, propose
from nas.search_loop import Search
from nas.spec import Spec
from nas.tries import TRIES
from tests.nas.test_descent import BASE, restless
from tests.nas.test_search_loop import answer, dataset, invented, quiet, run, store  # noqa: F401 fixtures
from trials.data import Dataset
from trials.job import AnyJob, Job, JobFailure, JobResult
from trials.prune_job import PruneJob, PruneResult
from trials.store import Store

METHODS: list[dict[str, Any]] = [
    {"name": "uniform"},
    {"name": "morphnet"},
    {"name": "magnitude", "epochs": 3},
    {"name": "neuralscale", "iterations": 3, "threshold": 0},
]


@pytest.fixture
def plan(small: Callable[..., Spec]) -> Plan:
    return make_plan(small(base=BASE, budget={"params": "0.25x"}, methods=METHODS))


def ask_all(search: Search, store: Store, stop_after: int = 10**6, **answers: Any) -> list[AnyJob]:
    """Answer packs with invented outcomes until so many packs were asked for; all jobs in their order."""
    asked: list[AnyJob] = []
    for _ in range(stop_after):
        pack = search.ask()
        if not pack:
            break
        asked += pack
        answer(search, store, pack, **{"record_of": restless, **answers})
    store.set_finished(search.name, search.complete)
    return asked


def silent(plan: Plan, store: Store, dataset: Dataset) -> Search:
    return Search(plan, store, dataset, quiet, lambda line: None)


def methods_of(store: Store) -> list[str]:
    return [network["method"] for network in store.search("small").networks]


def test_networks_come_with_the_prunings(plan: Plan, store: Store, dataset: Dataset) -> None:
    lines: list[str] = []
    search = Search(plan, store, dataset, quiet, lines.append)
    assert methods_of(store) == ["base", "uniform", "magnitude"]
    asked = ask_all(search, store)
    assert search.complete
    assert methods_of(store)[3:] == ["morphnet", "neuralscale-1", "neuralscale-3"]
    prunings = [job for job in asked if isinstance(job, PruneJob)]
    assert len(prunings) == 3  # morphnet shares the first
    assert asked[0] is prunings[0]
    assert prunings[0].architecture == plan.base.architecture
    tests = [job for job in asked if job.kind == "test"]
    assert asked.index(tests[0]) == len(asked) - len(tests)
    assert len(tests) == 2 * 6, "methods are compared: all of them on test, once"
    assert len({job.id for job in asked}) == len(asked)
    front = read_front(store, "small")
    assert front.trained == 6
    assert front.winner is not None
    assert {one.method for one in front.networks} == {*methods_of(store)}
    assert all(one.test is not None for one in front.networks)
    assert [line.partition(":")[0] for line in lines if "networks recorded" in line] == [
        f"neuralscale, iteration {i}" for i in (1, 2, 3)
    ]
    descent = store.search("small").data["descents"]["neuralscale"]
    assert [one["job_id"] for one in descent["iterations"]] == [job.id for job in prunings]
    kept = store.prunings([job.id for job in prunings])
    assert kept == {job.id: restless(job) for job in prunings}  # every step is in SQL


def test_trials_of_all_methods_are_one_study(plan: Plan, store: Store, dataset: Dataset) -> None:
    ask_all(silent(plan, store, dataset), store)
    trials = optuna.load_study(study_name="small", storage=f"sqlite:///{store.shown}").trials
    assert len(trials) == 12
    assert {trial.params["method"] for trial in trials} == {"base", "uniform", "magnitude", "morphnet", "neuralscale"}
    assert {trial.params.get("iteration") for trial in trials} == {None, 1, 3}
    for trial in trials:
        if trial.params["method"] != "base":
            assert all(value <= 0 for value in trial.constraints.values())
            assert "stage4_block1_conv1_channels" in trial.params


@pytest.mark.parametrize("done", range(0, 11, 3))
def test_goes_on_where_it_stopped(plan: Plan, store: Store, dataset: Dataset, done: int) -> None:
    first = ask_all(silent(plan, store, dataset), store, stop_after=done)
    again = silent(plan, store, dataset)
    second = ask_all(again, store)
    assert again.complete
    ids = [job.id for job in (*first, *second)]
    assert len(set(ids)) == len(ids), "nothing is done twice"
    assert methods_of(store) == ["base", "uniform", "magnitude", "morphnet", "neuralscale-1", "neuralscale-3"]
    assert len(store.trials("small")) == 12


def test_another_worker_trains_while_one_prunes(plan: Plan, store: Store, dataset: Dataset) -> None:
    search = silent(plan, store, dataset)
    (pruning,) = search.ask()
    assert isinstance(pruning, PruneJob)
    beside = search.ask()
    assert beside
    assert {job.architecture.id for job in beside} == {plan.base.architecture.id}
    answer(search, store, beside)
    while pack := search.ask():
        assert not any(isinstance(job, PruneJob) for job in pack)
        answer(search, store, pack)
    assert not search.finished()  # it waits for the pruning
    answer(search, store, (pruning,), record_of=restless)
    (second,) = search.ask()
    assert isinstance(second, PruneJob)


def test_fine_tuning_waits_for_the_base_of_its_seed(plan: Plan, store: Store, dataset: Dataset) -> None:
    asked = ask_all(silent(plan, store, dataset), store)
    tuned = [job for job in asked if isinstance(job, Job) and job.origin is not None and job.kind == "train"]
    assert [job.seed for job in tuned] == [0, 1]
    for job in tuned:
        assert job.origin is not None
        assert asked.index(job) > [other.id for other in asked].index(job.origin.id)


def test_without_a_base_nothing_is_fine_tuned(plan: Plan, store: Store, dataset: Dataset) -> None:
    def outcome_of(job: Job) -> JobResult | JobFailure:
        if job.architecture.id == plan.base.architecture.id and job.seed == 1:
            return JobFailure(message="TrainingDiverged: nan", settled=True)
        return invented(job)

    search = silent(plan, store, dataset)
    asked = ask_all(search, store, outcome_of=outcome_of)
    assert search.complete
    tuned = [job.seed for job in asked if isinstance(job, Job) and job.origin is not None]
    assert tuned == [0]
    assert "magnitude" not in {network.method for network in read_front(store, "small").networks}


def test_a_pruning_that_diverged_is_a_failed_trial(plan: Plan, store: Store, dataset: Dataset) -> None:
    cause = "TrainingDiverged: the loss of the pre-training must stay finite, but is nan after epoch 1"
    lines: list[str] = []
    search = Search(plan, store, dataset, quiet, lines.append)
    ask_all(search, store, record_of=lambda job: JobFailure(message=cause, settled=True))
    assert search.complete, "the other methods end the search"
    assert methods_of(store) == ["base", "uniform", "magnitude"]
    (failed,) = [trial for trial in store.trials("small") if "failure" in trial]
    assert (failed["failure"], failed["role"], failed["settled"]) == (cause, "prune", True)
    front = read_front(store, "small")
    assert [training.cause for training in front.failed] == [cause]
    assert f"neuralscale ends: iteration 1 failed: {cause}" in lines
    assert f"morphnet ends: its pruning failed: {cause}" in lines
    assert ask_all(silent(plan, store, dataset), store) == []


def test_a_pruning_whose_worker_dies_is_tried_again(plan: Plan, store: Store, dataset: Dataset) -> None:
    def died(job: PruneJob) -> PruneResult | JobFailure:
        return JobFailure(message="the worker process died")

    for attempt in range(1, TRIES + 1):
        search = silent(plan, store, dataset)
        prunings = [job for job in ask_all(search, store, record_of=died) if isinstance(job, PruneJob)]
        assert len(prunings) == 1
        assert search.complete == (attempt == TRIES)
    causes = [trial["failure"] for trial in store.trials("small") if "failure" in trial]
    assert causes == ["the worker process died"] * (TRIES - 1) + ["the worker process died, 3 times: given up"]


def test_a_race_begins_when_all_networks_are_known(
    small: Callable[..., Spec],
    store: Store,
    dataset: Dataset,
) -> None:
    methods = [{**method} for method in METHODS if method["name"] != "magnitude"]
    train = {"preset": "borji", "epochs": 9, "seeds": 2, "confirm": 0}
    made = make_plan(small(base=BASE, budget={"params": "0.25x"}, methods=methods, train=train, race={"eta": 3}))
    asked = ask_all(silent(made, store, dataset), store)
    last = max(i for i, job in enumerate(asked) if isinstance(job, PruneJob))
    base = {made.base.architecture.id}
    assert {job.architecture.id for job in asked[:last] if isinstance(job, Job)} <= base
    assert len({job.architecture.id for job in asked[last:] if isinstance(job, Job)} - base) == 4


def test_records_of_another_search_serve(
    plan: Plan, store: Store, dataset: Dataset, small: Callable[..., Spec]
) -> None:
    ask_all(silent(plan, store, dataset), store)
    other = make_plan(small(name="other", base=BASE, budget={"params": "0.1x"}, methods=METHODS[1:2]))
    # morphnet alone prunes no further than half: another job
    assert any(isinstance(job, PruneJob) for job in ask_all(silent(other, store, dataset), store))
    third = make_plan(small(name="third", base=BASE, budget={"params": "0.1x"}, methods=METHODS))
    assert not any(isinstance(job, PruneJob) for job in ask_all(silent(third, store, dataset), store))


def test_a_finished_search_keeps_its_networks(
    plan: Plan, store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_all(silent(plan, store, dataset), store)
    before = store.search("small")

    def other(*_: object) -> object:
        raise AssertionError("a finished search proposes nothing, whatever this version would propose")

    monkeypatch.setattr("nas.prunings.propose", other)
    assert ask_all(silent(plan, store, dataset), store) == []
    assert store.search("small") == before


def test_what_was_proposed_once_is_not_proposed_anew(
    plan: Plan, store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another machine measures another latency."""
    ask_all(silent(plan, store, dataset), store, stop_after=1)
    known = store.search("small").networks
    assert "neuralscale-1" in {network["method"] for network in known}

    def narrower(*arguments: Any) -> Proposal:
        found = propose(*arguments)
        changed = [replace(one, architecture=plan.found.chosen[0].architecture) for one in found.candidates]
        return replace(found, candidates=tuple(changed))

    monkeypatch.setattr("nas.prunings.propose", narrower)
    lines: list[str] = []
    search = Search(plan, store, dataset, quiet, lines.append)
    ask_all(search, store)
    assert store.search("small").networks[: len(known)] == known
    methods = methods_of(store)
    assert len(set(methods)) == len(methods)
    assert "neuralscale-3 finds the network of uniform, which is trained once" in lines


def test_progress_says_what_is_pruned(plan: Plan, store: Store, dataset: Dataset) -> None:
    shown: list[Progress] = []
    search = Search(plan, store, dataset, shown.append, lambda line: None)
    ask_all(search, store)
    search.report()
    assert any(one.pruning == "iteration 2 of at most 3" and one.seconds_left is None for one in shown)
    assert shown[-1].pruning == ""
    assert shown[-1].seconds_left is not None
