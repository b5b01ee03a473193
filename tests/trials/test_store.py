"""The store on real SQLite files: what it keeps, and which files it refuses."""

import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState
from sqlalchemy.schema import CreateTable

from tests.trials.test_job import make_job
from trials import schema
from trials.job import JobFailure, JobResult
from trials.store import Store, StoredSearch, StoreError, TrialRecord

SEARCH = StoredSearch(name="a", spec={"x": 1}, networks=[{"n": 1}], job_ids=["j"], data={"y": 2}, versions={"z": "3"})
RESULT = JobResult(correct=90, images=100, weights_sha256="ab", wall_seconds=2.5)


def record(slack: int = -5, job_id: str = "j") -> TrialRecord:
    return TrialRecord(
        params={"resolution": 20},
        spans={"resolution": [14, 28, 20]},
        attributes={"job_id": job_id, "macs": 1000},
        objectives=["accuracy", "macs"],
        constraints={"params": -1, "macs": slack},
    )


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/nas.db"


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


def test_trials_are_optunas(store: Store, url: str) -> None:
    store.record_trial("a", record(), RESULT)
    study = optuna.load_study(study_name="a", storage=url)
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


def test_over_budget_is_infeasible_for_optuna_and_its_dashboard(store: Store, url: str) -> None:
    store.record_trial("a", record(slack=-5), RESULT)
    store.record_trial("a", record(slack=7), JobResult(correct=99, images=100, weights_sha256="", wall_seconds=1))
    study = optuna.load_study(study_name="a", storage=url)
    assert [trial.number for trial in study.best_trials] == [0]
    assert max(study.trials[1].constraints.values()) == 7
    assert study.trials[1].system_attrs["constraints"] == [-1, 7]  # what optuna-dashboard reads
    sampler = optuna.samplers.NSGAIISampler(population_size=2, seed=0)
    asked = optuna.load_study(study_name="a", storage=url, sampler=sampler).ask({"resolution": IntDistribution(14, 28)})
    assert "resolution" in asked.params


def test_failure_is_a_failed_trial(store: Store, url: str) -> None:
    store.record_trial("a", record(), JobFailure(message="the loss must stay finite"))
    (trial,) = optuna.load_study(study_name="a", storage=url).trials
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["failure"] == "the loss must stay finite"
    assert trial.user_attrs["settled"] is False
    assert [attributes["failure"] for attributes in store.trials("a")] == ["the loss must stay finite"]


def test_trials_of_others_are_passed_over(store: Store, url: str) -> None:
    study = optuna.load_study(study_name="a", storage=url)
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


def test_reading_makes_no_file(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is none; run a search, or use --storage"):
        Store(url)
    assert list(tmp_path.iterdir()) == []


def test_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere does not; create it"):
        Store(f"sqlite:///{tmp_path}/nowhere/nas.db", create=True)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("nas.db", "must be a URL such as"),
        ("postgresql+psycopg://me:secret@host/db", r"but is postgresql\+psycopg://me:\*\*\*@host/db"),
        ("sqlite+aiosqlite:///nas.db", "must be a SQLite file"),
        ("sqlite:///nas.db?timeout=abc", "must be a SQLite file"),
        ("sqlite://host:x/nas.db", "must be a URL such as"),
        ("sqlite://", "must be a SQLite file"),
        ("sqlite:///:memory:", "must be a SQLite file"),
    ],
)
def test_other_urls(bad: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        Store(bad, create=True)
    assert "secret" not in str(caught.value)


def test_foreign_database_is_left_alone(url: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "nas.db") as connection:
        connection.execute("CREATE TABLE customers (id INTEGER)")
    connection.close()
    before = (tmp_path / "nas.db").read_bytes()
    with pytest.raises(StoreError, match="must be one of this service, but holds other tables"):
        Store(url, create=True)
    assert (tmp_path / "nas.db").read_bytes() == before


@pytest.mark.parametrize("made", range(4))
def test_killed_while_the_tables_were_made(url: str, tmp_path: Path, made: int) -> None:
    (tmp_path / "nas.db").touch()
    with sqlite3.connect(tmp_path / "nas.db") as connection:
        for table in schema.Table.metadata.sorted_tables[:made]:
            connection.execute(str(CreateTable(table)))
    connection.close()
    with pytest.raises(StoreError, match=r"there is none; run a search|none was begun in it; run nas search"):
        Store(url)
    with Store(url, create=True) as opened:
        assert opened.search_names() == []


def test_place_of_the_weights_is_taken(url: str, tmp_path: Path) -> None:
    (tmp_path / "nas.db-checkpoints").write_text("")
    with pytest.raises(StoreError, match=r"nas\.db-checkpoints must be readable and writable, but: File exists"):
        Store(url, create=True)


def test_damaged_row(store: Store, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "nas.db") as connection:
        connection.execute("UPDATE nas_searches SET spec = '{'")
    connection.close()
    with pytest.raises(StoreError, match="must hold what this project wrote, but is damaged"):
        store.search("a")


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (schema.SCHEMA_VERSION + 1, "must have schema version .* or older, but has .*; install a newer version"),
        (
            schema.SCHEMA_VERSION - 1,
            "whose results were trained otherwise; keep it .* and name a new one with --storage",
        ),
    ],
)
def test_database_of_another_version_is_refused(
    store: Store, url: str, tmp_path: Path, version: int, message: str
) -> None:
    with sqlite3.connect(tmp_path / "nas.db") as connection:
        connection.execute("UPDATE nas_schema SET version = ?", [version])
    connection.close()
    with pytest.raises(StoreError, match=message):
        Store(url)


def test_optuna_tables_of_another_version(store: Store, url: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "nas.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0'")
    connection.close()
    with pytest.raises(StoreError, match=r"the Optuna tables of .* must be of the installed version"):
        Store(url)


def test_no_database_at_all(url: str, tmp_path: Path) -> None:
    (tmp_path / "nas.db").write_text("this is a letter, not a database; " * 100)
    with pytest.raises(StoreError, match="must be a SQLite database, but is another file"):
        Store(url)
    (tmp_path / "nas.db").unlink()
    (tmp_path / "nas.db").mkdir()
    with pytest.raises(StoreError, match="cannot be opened; check its rights"):
        Store(url)


def lock(path: Path) -> sqlite3.Connection:
    other = sqlite3.connect(path, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    return other


def test_locked_database(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _open(url)
    monkeypatch.setattr(schema, "LOCK_SECONDS", 1)
    other = lock(tmp_path / "nas.db")
    with pytest.raises(StoreError, match="must be free, but another process has locked it for 1 s"):
        Store(url)
    free = threading.Timer(0.5, other.rollback)  # a lock that goes away in time is waited for
    free.start()
    with Store(url) as opened:
        assert opened.search_names() == ["a"]
    free.join()
    other.close()


def test_writer_that_is_locked_out_and_readers_that_are_not(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "LOCK_SECONDS", 1)
    _open(url)
    with Store(url, create=True) as writer:
        other = lock(tmp_path / "nas.db")
        with pytest.raises(StoreError, match="must be free, but another process has locked it for 1 s"):
            writer.set_finished("a", True)
        with Store(url) as reader:
            assert reader.search_names() == ["a"]
        other.rollback()
        other.close()


def test_pack_of_results_is_kept_whole_or_not_at_all(store: Store) -> None:
    jobs = [replace(make_job(), seed=seed) for seed in range(3)]
    with pytest.raises(StoreError, match="is not JSON serializable"):
        store.record_results([(jobs[0], RESULT), (jobs[1], replace(RESULT, correct=object()))])  # type: ignore[arg-type]
    assert store.results(job.id for job in jobs) == {}
    store.record_results((job, RESULT) for job in jobs)
    assert store.results(job.id for job in jobs) == {job.id: RESULT for job in jobs}
    store.record_results([])


def test_closed_database_is_one_file_again(url: str, tmp_path: Path) -> None:
    with Store(url, create=True) as opened:
        opened.begin(SEARCH, ["maximize", "minimize"], ["validation accuracy", "macs"])
        assert (tmp_path / "nas.db-wal").exists()
        with Store(url) as reader:
            assert reader.search_names() == ["a"]
    assert {path.name for path in tmp_path.iterdir()} == {"nas.db", "nas.db-checkpoints"}
    before = (tmp_path / "nas.db").read_bytes()
    with Store(url) as reader:  # in a folder that cannot be written this would be an error in the log's format
        assert reader.search_names() == ["a"]
        assert {path.name for path in tmp_path.iterdir()} == {"nas.db", "nas.db-checkpoints"}
    assert (tmp_path / "nas.db").read_bytes() == before


def test_file_that_stays_in_use_keeps_its_log(url: str, tmp_path: Path) -> None:
    with Store(url, create=True) as opened:
        opened.begin(SEARCH, ["maximize", "minimize"], ["validation accuracy", "macs"])
        other = sqlite3.connect(tmp_path / "nas.db")
        other.execute("BEGIN").execute("SELECT * FROM nas_jobs").fetchall()
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
    with Store(url) as reader:
        assert reader.search_names() == ["a"]


def _record_and_die(url: str, jobs: int) -> None:
    with Store(url, create=True) as opened:
        opened.begin(SEARCH, ["maximize", "minimize"], ["validation accuracy", "macs"])
        for seed in range(jobs):
            job = replace(make_job(), seed=seed)
            opened.record_results([(job, RESULT)])
            opened.record_trial("a", record(job_id=job.id), RESULT)
        os.kill(os.getpid(), signal.SIGKILL)


def test_killed_process_loses_no_commit(url: str, tmp_path: Path) -> None:
    process = get_context("spawn").Process(target=_record_and_die, args=(url, 5))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "nas.db-wal").exists()
    with Store(url) as opened:
        assert len(opened.results(replace(make_job(), seed=seed).id for seed in range(5))) == 5
        assert len(opened.trials("a")) == 5


def test_search_that_is_finished(url: str, tmp_path: Path) -> None:
    assert not schema.search_is_finished(url, "a")
    assert list(tmp_path.iterdir()) == []
    _open(url)
    assert not schema.search_is_finished(url, "a")
    with Store(url, create=True) as opened:
        opened.set_finished("a", True)
    assert schema.search_is_finished(url, "a")
    assert not schema.search_is_finished(url, "b")


def _open(url: str) -> None:
    with Store(url, create=True) as opened:
        opened.begin(SEARCH, ["maximize", "minimize"], ["validation accuracy", "macs"])


def test_many_processes_on_a_fresh_file(url: str) -> None:
    context = get_context("spawn")
    processes = [context.Process(target=_open, args=(url,)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 6
    with Store(url) as opened:
        assert opened.search_names() == ["a"]
