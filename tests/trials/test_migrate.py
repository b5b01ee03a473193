"""Revisions of our tables: fresh databases, those of version 2, newer and foreign ones, on both kinds of databases."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.schema import CreateTable

from tests.trials.test_job import make_job
from tests.trials.test_store import RESULT
from trials.database import make_engine
from trials.migrate import VERSION_TABLE, known_revisions
from trials.schema import Table
from trials.store import Store, StoreError

VERSION_2 = Path(__file__).parents[1] / "reference" / "store-version-2.sql"
FRESH = pytest.mark.parametrize("url", ["sqlite", "fresh"], indirect=True)


def execute(url: str, *statements: str) -> None:
    engine = make_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def version_2(tmp_path: Path) -> str:
    """A database that the last version without revisions wrote."""
    with sqlite3.connect(tmp_path / "nas.db") as connection:
        connection.executescript(VERSION_2.read_text())
    connection.close()
    return f"sqlite:///{tmp_path}/nas.db"


@FRESH
def test_revisions_make_the_tables_of_the_code(url: str) -> None:
    with Store(url, create=True) as store:
        with store.engines[0].connect() as connection:
            context = MigrationContext.configure(
                connection,
                opts={
                    "version_table": VERSION_TABLE,
                    "include_object": lambda _, name, kind, *rest: kind != "table" or name.startswith("nas_"),
                },
            )
            assert compare_metadata(context, Table.metadata) == []
        assert set(Table.metadata.tables) <= set(inspect(store.engines[0]).get_table_names())


def test_database_of_version_2_is_taken_over(version_2: str) -> None:
    with pytest.raises(
        StoreError, match=r"but is of the older 0001; bring it there with: nas upgrade --storage sqlite"
    ):
        Store(version_2)
    with Store(version_2, create=True) as store:
        job = make_job()
        assert store.search("a").finished
        assert store.results([job.id]) == {job.id: RESULT}
        assert [trial["job_id"] for trial in store.trials("a")] == [job.id, "x"]
        assert store.trials("a")[1]["failure"] == "the loss must stay finite"
        with store.engines[0].connect() as connection:
            rows = connection.execute(text("SELECT training_id, correct, images, wall_seconds FROM nas_figures"))
            assert set(rows) == {(None, 90, 100, 2.5), (job.id, 17, 20, 0.5)}
            # what an older program, which knows no revisions, reads and refuses
            assert connection.scalar(text("SELECT version FROM nas_schema")) == 3
    with Store(version_2) as store:
        assert store.search_names() == ["a"]


def test_upgrade_that_fails_changes_nothing(version_2: str, tmp_path: Path) -> None:
    execute(version_2, "UPDATE nas_jobs SET job = '{' WHERE id = (SELECT max(id) FROM nas_jobs)")
    before = list(sqlite3.connect(tmp_path / "nas.db").iterdump())
    with pytest.raises(StoreError, match="must hold what this project wrote, but is damaged"):
        Store(version_2, create=True)
    assert list(sqlite3.connect(tmp_path / "nas.db").iterdump()) == before


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE nas_schema SET version = 1", "trained otherwise; keep it .* and name a new one with --storage"),
        ("UPDATE nas_schema SET version = 9", "must have revisions of its tables, but has version 9 without any"),
    ],
)
def test_other_versions_from_before_revisions(version_2: str, statement: str, message: str) -> None:
    execute(version_2, statement)
    for create in (False, True):
        with pytest.raises(StoreError, match=message):
            Store(version_2, create=create)


def test_newer_database_is_refused(url: str) -> None:
    with Store(url, create=True):
        pass
    execute(url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    for create in (False, True):
        with pytest.raises(StoreError, match="but is of 9999; install a newer version of this project"):
            Store(url, create=create)


@pytest.mark.parametrize("made", range(4))
def test_killed_while_the_tables_were_made(tmp_path: Path, made: int) -> None:
    """By a program from before there were revisions, which made one table after the other."""
    url = f"sqlite:///{tmp_path}/nas.db"
    (tmp_path / "nas.db").touch()
    old = ("nas_jobs", "nas_schema", "nas_searches")[:made]
    tables = [table for table in Table.metadata.sorted_tables if table.name in old]
    with sqlite3.connect(tmp_path / "nas.db") as connection:
        for table in tables:
            columns = "id VARCHAR(16) PRIMARY KEY, job JSON, result JSON, created_at DATETIME"
            own = f"CREATE TABLE nas_jobs ({columns})" if table.name == "nas_jobs" else str(CreateTable(table))
            connection.execute(own)
    connection.close()
    with pytest.raises(StoreError, match=r"there is none; run a search|none was begun in it; run nas search"):
        Store(url)
    with Store(url, create=True) as opened:
        assert opened.search_names() == []


def test_revisions_are_one_line() -> None:
    assert known_revisions() == sorted(known_revisions(), reverse=True)
