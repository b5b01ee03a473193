"""The database: our tables, and opening one that is ours, readable and not newer than we are."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import JSON, Engine, String, create_engine, event, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from search_spaces import NasError

SCHEMA_VERSION = 2
LOCK_SECONDS = 10  # how long a write waits for another process before the database counts as locked


class StoreError(NasError):
    """A database that cannot be used, or a search that is not in it."""


class Table(DeclarativeBase):
    """Base of our own tables; Optuna's stand beside them."""


class SchemaRow(Table):
    """One row: the version of our tables."""

    __tablename__ = "nas_schema"
    version: Mapped[int] = mapped_column(primary_key=True)


class SearchRow(Table):
    """A search as it began: its spec, its networks and job ids, its images, and the versions that run it."""

    __tablename__ = "nas_searches"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    networks: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    job_ids: Mapped[list[str]] = mapped_column(JSON)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    versions: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(default=datetime.now)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)


class JobRow(Table):
    """A job and what it found, by content id: searches share it."""

    __tablename__ = "nas_jobs"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    job: Mapped[dict[str, Any]] = mapped_column(JSON)
    result: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(default=datetime.now)


def sqlite_path(url: str) -> Path:
    """The file of a SQLite URL; raises StoreError for anything else."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StoreError("storage must be a URL such as sqlite:///nas.db, but cannot be read as one") from error
    plain = parsed.drivername in ("sqlite", "sqlite+pysqlite") and not parsed.query and not parsed.host
    if not plain or not parsed.database or parsed.database == ":memory:":
        shown = parsed.render_as_string(hide_password=True)
        raise StoreError(f"storage must be a SQLite file such as sqlite:///nas.db, but is {shown}")
    return Path(parsed.database)


def checkpoint_folder(url: str) -> Path:
    """The folder of weights that goes with a database: beside it, under its name."""
    path = sqlite_path(url)
    return path.with_name(f"{path.name}-checkpoints")


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Turns what a database says, and rows that cannot be read, into a StoreError of one line."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(_explain(path, str(getattr(error, "orig", None) or error))) from error
    except OSError as error:
        raise StoreError(f"{error.filename or path} must be readable and writable, but: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StoreError(f"database {path} must hold what this project wrote, but is damaged: {reason}") from error


def _explain(path: Path, reason: str) -> str:
    known = {
        "locked": f"database {path} must be free, but another process has locked it for {LOCK_SECONDS} s; end it",
        "not a database": f"{path} must be a SQLite database, but is another file; name one with --storage",
        "unable to open": f"database {path} must be readable and writable, but cannot be opened; check its rights",
        "readonly": f"database {path} must be writable, but is read-only; change its rights",
        "full": f"database {path} needs space, but the disk is full; free some and run the same command again",
    }
    first_line = reason.splitlines()[0] if reason else "it fails"
    return next((text for part, text in known.items() if part in reason), f"database {path}: {first_line}")


def open_engine(url: str, *, create: bool, begun: bool = True) -> Engine:
    """An engine on our database; nothing is written. `begun` asks for one in which a search was begun already.

    Raises StoreError for a file that is missing or empty (unless `create`), locked, unreadable, foreign or newer.
    """
    path = sqlite_path(url)
    with clear_errors(path):
        if not create and (not path.exists() or path.stat().st_size == 0):
            raise StoreError(f"there must be a database at {path}, but there is none; run a search, or use --storage")
        if not path.parent.is_dir():
            raise StoreError(f"the folder of the database must exist, but {path.parent} does not; create it")
        engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS})
        try:
            _check_ours(engine, path, whole=begun and not create)
        except BaseException:
            engine.dispose()
            raise
    return engine


def commit_quickly(engine: Engine) -> None:
    """Puts the file into SQLite's write-ahead log, in which a commit is an append that waits for no disk.

    A killed process loses nothing, as the system still holds what it wrote. After a power cut the file is whole, but
    the last commits may be missing. A file that cannot be switched (in use, or on a file system without shared
    memory) keeps its journal, and there every commit waits for the disk as before.
    """
    event.listen(engine, "connect", _wait_for_no_disk)
    engine.dispose()  # connections from before have no such setting
    with suppress(OperationalError), engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def _wait_for_no_disk(connection: Any, _: object) -> None:
    if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        connection.execute("PRAGMA synchronous=NORMAL")


def leave_as_one_file(engine: Engine) -> None:
    """Back to a file that can be read in a folder that cannot be written; nothing where others have it open."""
    with suppress(OperationalError), engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
        connection.exec_driver_sql("PRAGMA journal_mode=DELETE")


def search_is_finished(url: str, name: str) -> bool:
    """True when the search of this name is marked as complete; raises StoreError like `open_engine`."""
    path = sqlite_path(url)
    if not path.exists() or path.stat().st_size == 0:
        return False
    with clear_errors(path):
        engine = open_engine(url, create=True)
        try:
            if not inspect(engine).has_table(SearchRow.__tablename__):
                return False
            with Session(engine) as session:
                row = session.get(SearchRow, name)
                return row is not None and row.finished_at is not None
        finally:
            engine.dispose()


@contextmanager
def schema_lock(url: str) -> Iterator[None]:
    """Held by the one process that makes tables: Optuna's own making fails when two run at once."""
    folder = checkpoint_folder(url)
    with clear_errors(folder):
        folder.mkdir(exist_ok=True)
        try:
            with FileLock(folder / ".schema.lock", timeout=60):  # no search can have a name that begins with a dot
                yield
        except Timeout as error:
            raise StoreError(
                f"tables of {sqlite_path(url)} are being made by another process for 60 s; end it"
            ) from error


def _check_ours(engine: Engine, path: Path, *, whole: bool) -> None:
    """Ours is what holds one of our tables: a process may have been killed before it made the others."""
    tables = set(inspect(engine).get_table_names()) if path.exists() else set()
    ours = set(Table.metadata.tables)
    if tables and not tables & ours:
        raise StoreError(f"database {path} must be one of this service, but holds other tables; use another file")
    needed = {"studies", *(row.__tablename__ for row in (SchemaRow, SearchRow, JobRow))}  # others may come later
    if whole and not needed <= tables:
        raise StoreError(f"database {path} must hold a search, but none was begun in it; run nas search")
    if SchemaRow.__tablename__ not in tables:
        return
    with Session(engine) as session:
        version = session.scalars(select(SchemaRow.version)).one_or_none() or SCHEMA_VERSION
    if version < SCHEMA_VERSION:
        raise StoreError(
            f"database {path} must have schema version {SCHEMA_VERSION}, but has {version}, whose results were trained "
            "otherwise; keep it with the older version of this project and name a new one with --storage"
        )
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"database {path} must have schema version {SCHEMA_VERSION} or older, but has {version}; "
            "install a newer version of this project"
        )


def make_tables(engine: Engine) -> None:
    """Make those of our tables that are missing; call it under `schema_lock`."""
    with Session(engine) as session, session.begin():
        Table.metadata.create_all(session.connection())
        if session.scalars(select(SchemaRow.version)).one_or_none() is None:
            session.add(SchemaRow(version=SCHEMA_VERSION))
