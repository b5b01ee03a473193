"""At which revision our tables are, whether that can be used, and how they come to the newest."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, inspect, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from trials.database import (
    StoreError,
    advisory_lock,
    clear_errors,
    database_name,
    make_engine,
    sqlite_path,
    transaction,
)
from trials.folders import beside
from trials.schema import SchemaRow, SearchRow
from trials.urls import drop_passwords

VERSION_TABLE = "nas_alembic_version"  # Optuna's own is alembic_version
FIRST = "0001"  # what databases from before there were revisions are at
_BEFORE_REVISIONS = 2  # their version of our tables
_LOCK_KEY = 0x6E61735F736368  # of pg_advisory_lock: nas_sch
_LOCK_SECONDS = 60


def make_config(connection: Connection | None = None) -> Config:
    """Alembic's settings; commands run on the connection."""
    config = Config()
    config.set_main_option("script_location", "trials:migrations")
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


def known_revisions() -> list[str]:
    """All revisions that this version of the project knows, the newest first."""
    return [script.revision for script in ScriptDirectory.from_config(make_config()).walk_revisions()]


def find_revision(engine: Engine, name: str) -> str | None:
    """The revision of our tables, None where they are not made yet; nothing is written.

    Raises StoreError for a database with other tables alone, and for one of a version that cannot be gone on with.
    """
    inspector = inspect(engine)
    tables = set(inspector.get_table_names())
    if tables and not any(table.startswith("nas_") for table in tables):
        raise StoreError(f"database {name} must be one of this service, but holds other tables; use another")
    with engine.connect() as connection:
        if VERSION_TABLE in tables:
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
            revision = context.get_current_revision()
            if revision is not None and revision not in known_revisions():
                raise StoreError(
                    f"database {name} must be of a version that is known, {known_revisions()[0]} or older, but is of "
                    f"{revision}; install a newer version of this project"
                )
            return revision
        version = connection.scalar(select(SchemaRow.version)) if SchemaRow.__tablename__ in tables else None
    return _first_revision(version, name)


def _first_revision(version: int | None, name: str) -> str | None:
    if version is not None and version < _BEFORE_REVISIONS:
        raise StoreError(
            f"database {name} must have schema version {_BEFORE_REVISIONS}, but has {version}, whose results were "
            "trained otherwise; keep it with the older version of this project and name a new one with --storage"
        )
    if version is not None and version > _BEFORE_REVISIONS:
        raise StoreError(f"database {name} must have revisions of its tables, but has version {version} without any")
    return FIRST if version else None


def check_readable(engine: Engine, url: str, *, begun: bool = True) -> None:
    """Raises StoreError where our tables, or with `begun` Optuna's, are not there whole or are of another version."""
    name = database_name(url)
    revision = find_revision(engine, name)
    if revision is None or (begun and not inspect(engine).has_table("studies")):
        raise StoreError(f"database {name} must hold a search, but none was begun in it; run nas search")
    newest = known_revisions()[0]
    if revision != newest:
        raise StoreError(
            f"database {name} must be of version {newest}, but is of the older {revision}; bring it there with: "
            f"nas upgrade --storage {drop_passwords(url)}"
        )


def upgrade(engine: Engine, name: str) -> None:
    """Make our tables, or bring them to the newest revision, whole or not at all; call it under `schema_lock`."""
    revision = find_revision(engine, name)
    if revision == known_revisions()[0]:
        return
    stamped = inspect(engine).has_table(VERSION_TABLE)
    with transaction(engine) as connection:
        config = make_config(connection)
        if revision == FIRST and not stamped:
            command.stamp(config, FIRST)
        command.upgrade(config, "head")


def check_exists(url: str) -> None:
    """Raises StoreError for a SQLite file that is not there or is empty."""
    path = sqlite_path(url)
    if path is not None and (not path.exists() or path.stat().st_size == 0):
        raise StoreError(f"there must be a database at {path}, but there is none; run a search, or use --storage")


def open_engine(url: str, *, create: bool, begun: bool = True) -> Engine:
    """An engine on our database; nothing is written. `begun` asks for one in which a search was begun already.

    Raises StoreError for one that is missing or empty or must be upgraded (unless `create`), and for one that is
    locked, unreadable, foreign or newer.
    """
    path, name = sqlite_path(url), database_name(url)
    with clear_errors(name):
        if not create:
            check_exists(url)
        if path is not None and not path.parent.is_dir():
            raise StoreError(f"the folder of the database must exist, but {path.parent} does not; create it")
        engine = make_engine(url)
        try:
            if not create:
                check_readable(engine, url, begun=begun)
            elif path is None or path.exists():
                find_revision(engine, name)
        except BaseException:
            engine.dispose()
            raise
    return engine


@contextmanager
def schema_lock(url: str, engine: Engine) -> Iterator[None]:
    """Held by the one process that makes tables: Optuna's own making fails when two run at once."""
    path, name = sqlite_path(url), database_name(url)
    busy = StoreError(f"tables of {name} are being made by another process for {_LOCK_SECONDS} s; end it")
    if path is None:
        try:
            with advisory_lock(engine, _LOCK_KEY, _LOCK_SECONDS):
                yield
        except OperationalError as error:
            raise (busy if "lock timeout" in str(error) else error) from error
        return
    folder = beside(path)
    with clear_errors(str(folder)):
        folder.mkdir(exist_ok=True)
        try:
            with FileLock(folder / ".schema.lock", timeout=_LOCK_SECONDS):  # no search has a name with a dot first
                yield
        except Timeout as error:
            raise busy from error


def search_is_finished(url: str, name: str) -> bool:
    """True when the search of this name is marked as complete; raises StoreError like `open_engine`."""
    path = sqlite_path(url)
    with clear_errors(database_name(url)):
        if path is not None and (not path.exists() or path.stat().st_size == 0):
            return False
    engine = open_engine(url, create=True)
    try:
        with clear_errors(database_name(url)), Session(engine) as session:
            if not inspect(engine).has_table(SearchRow.__tablename__):
                return False
            return session.scalar(select(SearchRow.finished_at).where(SearchRow.name == name)) is not None
    finally:
        engine.dispose()
