"""A database by its URL, a SQLite file or PostgreSQL: engines, transactions, and what errors mean."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from search_spaces import NasError
from search_spaces.errors import Retry
from trials.urls import drop_passwords, hide_passwords

LOCK_SECONDS = 10  # how long SQLite waits for another process before the database counts as locked
CONNECT_SECONDS = 10
WAIT_VARIABLE = "NAS_WAIT_SECONDS"
_SQLITE = ("sqlite", "sqlite+pysqlite")
_POSTGRES = ("postgresql", "postgresql+psycopg")
_LONGEST_PAUSE = 5.0
_T = TypeVar("_T")


class StoreError(NasError):
    """A database that cannot be used, or a search that is not in it."""


class DatabaseGone(StoreError):
    """A database that does not answer now, that another process keeps, or that has no space; waiting may help."""

    retry: ClassVar[Retry] = "later"


def wait_seconds() -> float:
    """How long a search waits for a database that is gone: NAS_WAIT_SECONDS, or five minutes."""
    given = os.environ.get(WAIT_VARIABLE, "300")
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise StoreError(f"{WAIT_VARIABLE} must be a number of seconds, but is {given!r}")
    return seconds


def read_url(url: str) -> URL:
    """The URL with its driver.

    Raises StoreError, which tells no password, for what is neither a SQLite file nor PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StoreError(
            "storage must be a URL such as sqlite:///nas.db or postgresql://user@host/name, but cannot be read as one"
        ) from error
    shown = hide_passwords(url)
    if parsed.drivername in _POSTGRES:
        if "@" in f"{parsed.host}{parsed.database}":
            raise StoreError("storage must have at most one @, before the host; write %40 for one in a password")
        if not parsed.database:
            raise StoreError(f"storage must name a database, as postgresql://user@host/name, but is {shown}")
        return parsed.set(drivername="postgresql+psycopg")  # SQLAlchemy 2.0 would take psycopg2 where none is named
    plain = parsed.drivername in _SQLITE and not parsed.query and not parsed.host
    if not plain or not parsed.database or parsed.database == ":memory:":
        raise StoreError(
            f"storage must be a SQLite file such as sqlite:///nas.db, or postgresql://user@host/name, but is {shown}"
        )
    return parsed


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite URL, None for PostgreSQL; raises StoreError for anything else."""
    parsed = read_url(url)
    return Path(str(parsed.database)) if parsed.drivername in _SQLITE else None


def database_name(url: str) -> str:
    """What people are shown of a database: its file, or its URL without the password."""
    path = sqlite_path(url)
    return drop_passwords(url) if path is None else str(path)


def make_engine(url: str) -> Engine:
    """An engine whose errors are DatabaseGone where waiting may help; it connects when it is used."""
    parsed, name = read_url(url), database_name(url)
    try:
        engine = create_engine(parsed, **engine_options(url))
    except ModuleNotFoundError as error:
        raise StoreError(
            f"storage on PostgreSQL needs the package psycopg, but it is not installed; for {name} run: "
            "pip install 'nas-service[postgres]'"
        ) from error
    tell_when_gone(engine, name)
    return engine


def engine_options(url: str) -> dict[str, Any]:
    """Keyword arguments of create_engine."""
    if sqlite_path(url) is not None:
        return {"connect_args": {"timeout": LOCK_SECONDS}}
    # a connection that the server has closed meanwhile is replaced; one whose host is silent ends after a minute
    silent = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT_SECONDS, **silent}}


def tell_when_gone(engine: Engine, name: str) -> None:
    """Have the engine raise DatabaseGone where the connection is lost, SQLite's file is locked, or the disk is full.

    Not an error of SQLAlchemy's: Optuna would take it for a deadlock and add a trial again whose commit may have come
    through.
    """
    event.listen(engine, "handle_error", partial(_raise_when_gone, name))


def _raise_when_gone(name: str, context: ExceptionContext) -> None:
    reason = str(context.original_exception)
    if context.is_pre_ping:  # the pool connects anew
        return
    if "disk is full" in reason or "No space left" in reason:
        raise DatabaseGone(
            f"database {name} needs space, but the disk is full; free some and run the same command again"
        ) from context.original_exception
    if context.dialect.name == "sqlite":
        if "locked" in reason:
            raise DatabaseGone(
                f"database {name} must be free, but another process has locked it for {LOCK_SECONDS} s; end it"
            ) from context.original_exception
    elif context.is_disconnect or context.connection is None:
        raise DatabaseGone(
            f"database {name} must answer, but: {_one_line(reason)}; see that it runs and takes you"
        ) from context.original_exception


@contextmanager
def clear_errors(name: str) -> Iterator[None]:
    """Turns what a database says, and rows that cannot be read, into a StoreError of one line."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(_explain(name, str(getattr(error, "orig", None) or error))) from error
    except OSError as error:
        raise StoreError(f"{error.filename or name} must be readable and writable, but: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        reason = _one_line(str(error))
        raise StoreError(f"database {name} must hold what this project wrote, but is damaged: {reason}") from error


def _explain(name: str, reason: str) -> str:
    known = {
        "not a database": f"{name} must be a SQLite database, but is another file; name one with --storage",
        "unable to open": f"database {name} must be readable and writable, but cannot be opened; check its rights",
        "readonly": f"database {name} must be writable, but is read-only; change its rights",
        "disk I/O error": f"database {name} must be on a disk that works, but: disk I/O error; see its space",
    }
    first_line = _one_line(reason.splitlines()[0]) if reason else "it fails"
    return next((line for part, line in known.items() if part in reason), f"database {name}: {first_line}")


def _one_line(reason: str) -> str:
    return hide_passwords(" ".join(reason.split()))[:200]


def wait_for(work: Callable[[], _T], seconds: float, say: Callable[[str], None]) -> _T:
    """What `work`, a whole transaction, gives; tried again for so many seconds while the database is gone.

    Raises DatabaseGone after that.
    """
    deadline, pause, fault = None, 0.25, ""
    while True:
        try:
            found = work()
        except DatabaseGone as error:
            now = time.monotonic()
            if deadline is None:
                deadline = now + seconds
                fault = str(error)
                if seconds:
                    say(f"{error}; trying again for {seconds:.0f} s")
            if now >= deadline:
                raise
            time.sleep(min(pause, deadline - now))
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            if deadline is not None:
                say(f"the database answers again, after this: {fault}")
            return found


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """All or nothing, changes of tables included, for which Python's SQLite begins no transaction by itself."""
    if engine.dialect.name != "sqlite":
        with engine.begin() as connection:
            yield connection
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            with suppress(SQLAlchemyError, DatabaseGone):
                connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection that sees the database as it is at one moment, whoever writes meanwhile."""
    on_server = engine.dialect.name == "postgresql"
    level = "REPEATABLE READ" if on_server else "AUTOCOMMIT"  # in which SQLite takes a BEGIN of ours
    with engine.connect().execution_options(isolation_level=level) as connection:
        if not on_server:
            connection.exec_driver_sql("BEGIN")
        yield connection
        if not on_server:
            connection.exec_driver_sql("ROLLBACK")


@contextmanager
def advisory_lock(engine: Engine, key: int, seconds: int) -> Iterator[None]:
    """PostgreSQL's lock by number, which the server frees when the connection ends, however it ends."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT set_config('lock_timeout', :wait, false)"), {"wait": f"{seconds}s"})
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
        try:
            yield
        finally:
            with suppress(SQLAlchemyError, DatabaseGone):
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
                connection.execute(text("RESET lock_timeout"))


def commit_quickly(engine: Engine) -> None:
    """Puts a SQLite file into its write-ahead log, in which a commit is an append that waits for no disk.

    A killed process loses nothing, as the system still holds what it wrote. After a power cut the file is whole, but
    the last commits may be missing. A file that cannot be switched (in use, or on a file system without shared
    memory) keeps its journal, and there every commit waits for the disk as before.
    """
    if engine.dialect.name != "sqlite":
        return
    event.listen(engine, "connect", _wait_for_no_disk)
    engine.dispose()  # connections from before have no such setting
    with suppress(OperationalError, DatabaseGone), engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def _wait_for_no_disk(connection: Any, _: object) -> None:
    if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        connection.execute("PRAGMA synchronous=NORMAL")


def leave_as_one_file(engine: Engine) -> None:
    """Back to a file that can be read in a folder that cannot be written; nothing where others have it open."""
    if engine.dialect.name != "sqlite":
        return
    with suppress(OperationalError, DatabaseGone), engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
        connection.exec_driver_sql("PRAGMA journal_mode=DELETE")
