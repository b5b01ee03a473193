"""The database: our tables, and opening one that is ours, readable and not newer than we are."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import JSON, Engine, String, create_engine, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from search_spaces import NasError

SCHEMA_VERSION = 1
LOCK_SECONDS = 10  # how long a write waits for another process before the database counts as locked

optuna.logging.set_verbosity(optuna.logging.ERROR)


class StoreError(NasError):
    """A database that cannot be used, or a search that is not in it."""


class Table(DeclarativeBase):
    """Base of our own tables; Optuna's stand beside them."""


class SchemaRow(Table):
    """One row: the version of our tables."""

    __tablename__ = "nas_schema"
    version: Mapped[int] = mapped_column(primary_key=True)


class SearchRow(Table):
    """A search: its spec, its images' fingerprints and statistics, and the versions that began it."""

    __tablename__ = "nas_searches"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
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
    except ArgumentError as error:
        raise StoreError("storage must be a URL such as sqlite:///nas.db, but cannot be read as one") from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        shown = parsed.render_as_string(hide_password=True)
        raise StoreError(f"storage must be a SQLite file such as sqlite:///nas.db, but is {shown}")
    return Path(parsed.database)


def checkpoint_folder(url: str) -> Path:
    """The folder of weights that goes with a database: beside it, under its name."""
    path = sqlite_path(url)
    return path.with_name(f"{path.stem}-checkpoints")


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Turns what a database says into a StoreError of one line."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = str(getattr(error, "orig", None) or error.__cause__ or error)
        known = {
            "locked": f"database {path} must be free, but another process has locked it for {LOCK_SECONDS} s; end it",
            "not a database": f"{path} must be a SQLite database, but is another file; name one with --storage",
            "unable to open": f"database {path} must be readable and writable, but cannot be opened; check its rights",
            "readonly": f"database {path} must be writable, but is read-only; change its rights",
            "full": f"database {path} needs space, but the disk is full; free some and run the same command again",
        }
        said = next((text for part, text in known.items() if part in reason), None)
        first_line = reason.splitlines()[0] if reason else type(error).__name__
        raise StoreError(said or f"database {path} must be usable, but: {first_line}") from error


def open_database(url: str, *, create: bool) -> tuple[Engine, RDBStorage]:
    """Our engine and Optuna's storage on one SQLite file, its schema made first where there is none.

    Raises StoreError for a file that is missing (unless `create`), locked, unreadable, foreign or newer.
    """
    path = sqlite_path(url)
    if not path.exists() and not create:
        raise StoreError(f"there must be a database at {path}, but there is none; run a search, or use --storage")
    if not path.parent.is_dir():
        raise StoreError(f"the folder of the database must exist, but {path.parent} does not; create it")
    engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS})
    try:
        with clear_errors(path):
            _check_ours(engine, path)
            if create:
                _make_schema(engine, url)
            return engine, RDBStorage(url, engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}})
    except RuntimeError as error:  # what Optuna raises for tables of another version of its own
        engine.dispose()
        reason = " ".join(str(error).split())
        raise StoreError(f"the Optuna tables in {path} must be of the installed version, but: {reason}") from error
    except BaseException:
        engine.dispose()
        raise


def _check_ours(engine: Engine, path: Path) -> None:
    tables = inspect(engine).get_table_names() if path.exists() else []
    if tables and SchemaRow.__tablename__ not in tables:
        raise StoreError(f"database {path} must be one of this service, but holds other tables; use another file")
    if not tables:
        return
    with Session(engine) as session:
        version = session.scalars(select(SchemaRow.version)).one_or_none() or SCHEMA_VERSION
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"database {path} must have schema version {SCHEMA_VERSION} or older, but has {version}; "
            "install a newer version of this project"
        )


def _make_schema(engine: Engine, url: str) -> None:
    """Create what is missing; one process at a time, as Optuna's own creation fails when two run."""
    folder = checkpoint_folder(url)
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "schema.lock"):
        with Session(engine) as session, session.begin():
            Table.metadata.create_all(session.connection())
            if session.scalars(select(SchemaRow.version)).one_or_none() is None:
                session.add(SchemaRow(version=SCHEMA_VERSION))
        RDBStorage(url).engine.dispose()
