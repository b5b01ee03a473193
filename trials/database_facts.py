"""What a database is, looked at without changing it: no table is made, no journal is switched."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, func, inspect, select, text
from sqlalchemy.orm import Session

from trials.database import (
    LOCK_SECONDS,
    StoreError,
    clear_errors,
    database_name,
    make_engine,
    snapshot,
    sqlite_path,
    tell_when_gone,
)
from trials.migrate import find_revision, known_revisions
from trials.records import StoredSearch
from trials.schema import SearchRow, SettingRow
from trials.settings import CHECKPOINTS, find_folder

MOUNTS = Path("/proc/mounts")
OVER_NETWORKS = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "afs")


@dataclass(frozen=True, kw_only=True)
class DatabaseFacts:
    """A database: the server's version or SQLite's, the revision of our tables (None: not made), the searches in it.

    `in_use` says that a SQLite file has a write-ahead log beside it; `cannot_write` says why, where that is so.
    """

    server: str
    revision: str | None
    newest: str
    searches: int
    in_use: bool = False
    cannot_write: str = ""


def is_missing(url: str) -> bool:
    """Whether it is a SQLite file that is not there, or is empty; raises StoreError for a URL that is none."""
    path = sqlite_path(url)
    with clear_errors(database_name(url)):
        return path is not None and (not path.exists() or path.stat().st_size == 0)


def read_database(url: str) -> DatabaseFacts:
    """Raises StoreError for one that cannot be read, is locked, foreign, or newer than we are."""
    path, name = sqlite_path(url), database_name(url)
    with _engine(url) as engine:
        revision = find_revision(engine, name)
        with snapshot(engine) as connection:
            searches = 0
            if inspect(connection).has_table(SearchRow.__tablename__):
                searches = connection.scalar(select(func.count()).select_from(SearchRow)) or 0
            server, refusal = _server(connection) if path is None else (f"SQLite {sqlite3.sqlite_version}", "")
    in_use = path is not None and any(Path(f"{path}{end}").exists() for end in ("-wal", "-journal"))
    if path is not None:
        refusal = _cannot_write(path, name, in_use=in_use)
    return DatabaseFacts(
        server=server,
        revision=revision,
        newest=known_revisions()[0],
        searches=searches,
        in_use=in_use,
        cannot_write=refusal,
    )


def _server(connection: Connection) -> tuple[str, str]:
    """PostgreSQL's version, and why it cannot be written."""
    version = str(connection.scalar(text("SHOW server_version")))
    if connection.scalar(text("SELECT pg_is_in_recovery()")):
        return f"PostgreSQL {version}", "it is a standby"
    if connection.scalar(text("SHOW default_transaction_read_only")) == "on":
        return f"PostgreSQL {version}", "its transactions are read-only (default_transaction_read_only)"
    if not connection.scalar(text("SELECT has_schema_privilege(current_schema(), 'CREATE')")):
        return f"PostgreSQL {version}", "this user may make no tables in it"
    return f"PostgreSQL {version}", ""


def _cannot_write(path: Path, name: str, *, in_use: bool) -> str:
    """Why a SQLite file cannot be written; nothing where it can. Raises StoreError where it is locked."""
    for place in (path, path.parent):
        if not os.access(place, os.W_OK):
            return f"{place} is read-only"
    if not in_use:  # the last connection to a log would end it
        with closing(sqlite3.connect(_uri(path, "rw"), uri=True, timeout=LOCK_SECONDS)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError as error:
                raise StoreError(f"database {name} must be writable, but: {error}; end what has it open") from error
    return ""


def read_search(url: str, search: str) -> StoredSearch | None:
    """A search as it was begun, without its networks, jobs and images; None where there is none of this name."""
    with _engine(url) as engine:
        if not inspect(engine).has_table(SearchRow.__tablename__):
            return None
        with snapshot(engine) as connection:
            query = select(SearchRow.spec, SearchRow.versions, SearchRow.finished_at).where(SearchRow.name == search)
            row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return StoredSearch(
        name=search,
        spec=row.spec,
        networks=[],
        job_ids=[],
        data={},
        versions=row.versions,
        finished=row.finished_at is not None,
    )


def read_folder(url: str) -> Path | None:
    """Where the weights lie by what the database says of it; None where it says nothing."""
    if is_missing(url):
        return None
    with _engine(url) as engine:
        if not inspect(engine).has_table(SettingRow.__tablename__):
            return None
        with Session(engine) as session:
            if session.get(SettingRow, CHECKPOINTS) is None:
                return None
        return find_folder(engine, url)


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    """That cannot write to a SQLite file."""
    path, name = sqlite_path(url), database_name(url)
    with clear_errors(name):
        if path is None:
            engine = make_engine(url)
        else:
            uri = _uri(path, "ro")
            engine = create_engine(
                "sqlite://", creator=lambda: sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS), poolclass=NullPool
            )
            tell_when_gone(engine, name)
        try:
            yield engine
        finally:
            engine.dispose()


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path.resolve()))}?mode={mode}"


def file_system(place: Path) -> str:
    """The kind of the file system of an existing place, as ext4 or nfs4; nothing where that is not known."""
    try:
        lines = [line.split(" ") for line in MOUNTS.read_text().splitlines()]
    except OSError:
        return ""
    known = {line[1].encode().decode("unicode_escape"): line[2] for line in lines if len(line) > 2}
    real = place.resolve()
    return next((known[str(path)] for path in (real, *real.parents) if str(path) in known), "")


def is_over_network(kind: str) -> bool:
    """Whether a file system of this kind may be on another machine, where SQLite's locks fail."""
    return kind.startswith(OVER_NETWORKS)
