"""The contract of the store, on a SQLite file and on a PostgreSQL server."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from tests.trials.test_job import make_job
from trials.job import JobFailure, JobResult
from trials.migrate import search_is_finished
from trials.store import Store, StoredSearch, StoreError, TrialRecord

Load = Callable[..., optuna.Study]
SEARCH = StoredSearch(name="a", spec={"x": 1}, networks=[{"n": 1}], job_ids=["j"], data={"y": 2}, versions={"z": "3"})
RESULT = JobResult(correct=90, images=100, weights_sha256="ab", wall_seconds=2.5)


def processes() -> ForkServerContext:
    """New processes that have imported what they need once for all of them."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def record(slack: int = -5, job_id: str = "j") -> TrialRecord:
    return TrialRecord(
        params={"resolution": 20},
        spans={"resolution": [14, 28, 20]},
        attributes={"job_id": job_id, "macs": 1000},
        objectives=["accuracy", "macs"],
        constraints={"params": -1, "macs": slack},
    )


@pytest.fixture
def load(store: Store, url: str) -> Iterator[Load]:
    """The study as a person reads it, with Optuna alone."""
    storage = optuna.storages.RDBStorage(url.replace("postgresql:", "postgresql+psycopg:"), skip_table_creation=True)

    def study(sampler: optuna.samplers.BaseSampler | None = None) -> optuna.Study:
        return optuna.load_study(study_name="a", storage=storage, sampler=sampler)

    yield study
    storage.engine.dispose()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url, create=True) as opened:
        opened.begin(SEARCH, ["maximize", "minimize"], ["validation accuracy", "macs"])
        yield opened


def test_search_is_kept_as_it_began(store: Store) -> None:
    again = store.begin(
        replace(SEARCH, spec={"x": 9}, job_ids=[]),
        ["maximize", "minimize"],
        ["validation accuracy", "macs"],
    )
    assert again == SEARCH
    assert not store.search("a").finished
    for finished in (True, False):
        store.set_finished("a", finished)
        assert store.search("a").finished is finished
    assert store.search_names() == ["a"]


def test_results_are_by_job_id(store: Store) -> None:
    job = make_job()
    assert store.results([job.id]) == {}
    store.record_results([(job, RESULT)])
    assert store.results([job.id, "unknown"]) == {job.id: RESULT}
    assert store.job(job.id) == job
    later = JobResult(correct=91, images=100, weights_sha256="cd", wall_seconds=2.0)
    store.record_results([(job, later)])
    assert store.results([job.id]) == {job.id: later}
    assert store.results(str(number) for number in range(1200)) == {}


def test_figures_are_results_in_short(store: Store) -> None:
    jobs = [replace(make_job(), seed=seed) for seed in range(3)]
    found = [replace(RESULT, correct=90 + seed, weights_sha256=f"{seed:064x}") for seed in range(3)]
    store.record_results(zip(jobs, found, strict=True))
    ids = [job.id for job in jobs]
    assert store.figures([*ids, "unknown"]) == {id_: (90 + seed, 100, 2.5, 0, 0) for seed, id_ in enumerate(ids)}
    for job, result in zip(jobs[:2], found, strict=False):
        store.record_results(
            [
                (job.scored_on_test(result.weights_sha256), replace(result, correct=50)),
                (job.scores_on("test", result.weights_sha256), replace(result, correct=7)),  # no figure on test
            ]
        )
    assert [store.figures(ids)[id_][3:] for id_ in ids] == [(50, 100), (50, 100), (0, 0)]
    store.record_results([(jobs[0], replace(found[0], weights_sha256="f" * 64))])  # made again: other weights
    assert [store.figures(ids)[id_][3:] for id_ in ids] == [(0, 0), (50, 100), (0, 0)]
    assert store.on_test(ids[1], found[1]) == jobs[1].scored_on_test(found[1].weights_sha256).id
    assert store.figures(str(number) for number in range(70_000)) == {}


def test_search_without_its_networks(store: Store) -> None:
    assert store.search("a", networks=False) == replace(SEARCH, networks=[])


def test_trials_are_optunas(store: Store, load: Load) -> None:
    store.record_trial("a", record(), RESULT)
    study = load()
    (trial,) = study.trials
    assert trial.state == TrialState.COMPLETE
    assert trial.values == [0.9, 1000.0]
    assert trial.params == {"resolution": 20}
    assert trial.user_attrs == {
        "job_id": "j", "macs": 1000, "slack_params": -1, "slack_macs": -5, "wall_seconds": 2.5,
        "images": 100, "members": 1,
    }  # fmt: skip
    assert trial.duration is not None
    assert trial.duration.total_seconds() == 2.5
    assert study.metric_names == ["validation accuracy", "macs"]


def test_over_budget_is_infeasible_for_optuna_and_its_dashboard(store: Store, load: Load) -> None:
    store.record_trial("a", record(slack=-5), RESULT)
    store.record_trial("a", record(slack=7), JobResult(correct=99, images=100, weights_sha256="", wall_seconds=1))
    study = load()
    assert [trial.number for trial in study.best_trials] == [0]
    assert max(study.trials[1].constraints.values()) == 7
    assert study.trials[1].system_attrs["constraints"] == [-1, 7]  # what optuna-dashboard reads
    sampler = optuna.samplers.NSGAIISampler(population_size=2, seed=0)
    asked = load(sampler).ask({"resolution": IntDistribution(14, 28)})
    assert "resolution" in asked.params


def test_failure_is_a_failed_trial(store: Store, load: Load) -> None:
    store.record_trial("a", record(), JobFailure(message="the loss must stay finite"))
    (trial,) = load().trials
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["failure"] == "the loss must stay finite"
    assert trial.user_attrs["settled"] is False
    assert [attributes["failure"] for attributes in store.trials("a")] == ["the loss must stay finite"]


def test_attributes_are_those_that_optuna_shows(store: Store, load: Load) -> None:
    outcomes = (RESULT, JobFailure(message="the loss must stay finite"), None)
    for number, outcome in enumerate(outcomes):
        attributes = {"job_id": f"j{number}", "macs": 1000, "choice": {"width": 0.1 + 0.2}, "name": "ü\x00'"}
        store.record_trial("a", replace(record(), attributes=attributes, rungs={2: 0.5}), outcome)
    study = load()
    assert store.trials("a") == [trial.user_attrs for trial in study.trials]
    older = optuna.create_trial(values=[0.5, 1.0], user_attrs={"job_id": "older", "macs": 7})  # as before revisions
    study.add_trial(older)
    assert store.trials("a")[-1] == {"job_id": "older", "macs": 7}
    optuna.delete_study(study_name="a", storage=study._storage)
    assert store.trials("a") == []


def test_trials_of_others_are_passed_over(store: Store, load: Load) -> None:
    study = load()
    study.tell(study.ask(), [0.5, 1.0])  # as a person may, from optuna-dashboard
    assert store.trials("a") == []


def test_unknown_search_names_the_near_ones(store: Store) -> None:
    for name in ("digits-14px", "digits-20px", "cifar"):
        store.begin(replace(SEARCH, name=name), ["maximize"], ["accuracy"])
    with pytest.raises(StoreError, match=r"'digits-15px' is not; did you mean digits-\d\dpx, digits-\d\dpx\?"):
        store.search("digits-15px")


def test_no_search_at_all(url: str) -> None:
    with Store(url, create=True) as empty, pytest.raises(StoreError, match="it holds none yet"):
        empty.search("a")


def test_pack_of_results_is_kept_whole_or_not_at_all(store: Store) -> None:
    jobs = [replace(make_job(), seed=seed) for seed in range(3)]
    with pytest.raises(StoreError, match="is not JSON serializable"):
        store.record_results([(jobs[0], RESULT), (jobs[1], replace(RESULT, correct=object()))])  # type: ignore[arg-type]
    assert store.results(job.id for job in jobs) == {}
    store.record_results((job, RESULT) for job in jobs)
    assert store.results(job.id for job in jobs) == {job.id: RESULT for job in jobs}
    store.record_results([])


def _record_and_die(url: str, jobs: int) -> None:
    with Store(url, create=True) as opened:
        opened.begin(SEARCH, ["maximize", "minimize"], ["validation accuracy", "macs"])
        for seed in range(jobs):
            job = replace(make_job(), seed=seed)
            opened.record_results([(job, RESULT)])
            opened.record_trial("a", record(job_id=job.id), RESULT)
        os.kill(os.getpid(), signal.SIGKILL)


def test_killed_process_loses_no_commit(url: str) -> None:
    process = processes().Process(target=_record_and_die, args=(url, 5))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    with Store(url) as opened:
        assert len(opened.results(replace(make_job(), seed=seed).id for seed in range(5))) == 5
        assert len(opened.trials("a")) == 5


def test_search_that_is_finished(url: str) -> None:
    assert not search_is_finished(url, "a")
    _open(url)
    assert not search_is_finished(url, "a")
    with Store(url, create=True) as opened:
        opened.set_finished("a", True)
    assert search_is_finished(url, "a")
    assert not search_is_finished(url, "b")


def _open(url: str) -> None:
    with Store(url, create=True) as opened:
        opened.begin(SEARCH, ["maximize", "minimize"], ["validation accuracy", "macs"])


@pytest.mark.parametrize("url", ["sqlite", "fresh"], indirect=True)
def test_many_processes_on_a_fresh_database(url: str) -> None:
    started = [processes().Process(target=_open, args=(url,)) for _ in range(8)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0] * 8
    with Store(url) as opened:
        assert opened.search_names() == ["a"]


def test_file_whose_name_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="must be readable and writable, but: File name too long"):
        search_is_finished(f"sqlite:///{tmp_path}/{'x' * 300}.db", "a")
