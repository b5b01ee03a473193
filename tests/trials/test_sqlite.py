"""Databases in SQLite files: which are refused, locks, the write-ahead log, what a killed process leaves."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trials.test_store import SEARCH
from trials import database
from trials.store import Store, StoreError


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/nas.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url, create=True) as opened:
        begin(opened)
        yield opened


def begin(store: Store) -> None:
    store.begin(SEARCH, ["maximize", "minimize"], ["validation accuracy", "macs"])


def test_reading_makes_no_file(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is none; run a search, or use --storage"):
        Store(url)
    assert list(tmp_path.iterdir()) == []


def test_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere does not; create it"):
        Store(f"sqlite:///{tmp_path}/nowhere/nas.db", create=True)


def test_foreign_database_is_left_alone(url: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "nas.db") as connection:
        connection.execute("CREATE TABLE customers (id INTEGER)")
    connection.close()
    before = (tmp_path / "nas.db").read_bytes()
    with pytest.raises(StoreError, match="must be one of this service, but holds other tables"):
        Store(url, create=True)
    assert (tmp_path / "nas.db").read_bytes() == before


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
    with Store(url, create=True) as opened:
        begin(opened)
    monkeypatch.setattr(database, "LOCK_SECONDS", 1)
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
    monkeypatch.setattr(database, "LOCK_SECONDS", 1)
    monkeypatch.setenv("NAS_WAIT_SECONDS", "0")
    with Store(url, create=True) as opened:
        begin(opened)
    with Store(url, create=True) as writer:
        other = lock(tmp_path / "nas.db")
        with pytest.raises(StoreError, match="must be free, but another process has locked it for 1 s"):
            writer.set_finished("a", True)
        with Store(url) as reader:
            assert reader.search_names() == ["a"]
        other.rollback()
        other.close()


def test_closed_database_is_one_file_again(url: str, tmp_path: Path) -> None:
    with Store(url, create=True) as opened:
        begin(opened)
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
        begin(opened)
        other = sqlite3.connect(tmp_path / "nas.db")
        other.execute("BEGIN").execute("SELECT * FROM nas_jobs").fetchall()
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
    with Store(url) as reader:
        assert reader.search_names() == ["a"]


def test_lock_of_another_process_is_waited_for(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.2)
    said: list[str] = []
    with Store(url, create=True, say=said.append) as writer:
        begin(writer)
        other = lock(tmp_path / "nas.db")
        free = threading.Timer(1.5, other.rollback)
        free.start()
        writer.set_finished("a", True)
        free.join()
        assert writer.search("a").finished
    other.close()
    assert "must be free, but another process has locked it" in said[0]
    assert said[-1].startswith("the database answers again, after this: database ")
