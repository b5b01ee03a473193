"""Everything of one database into another, empty one: all rows in one transaction, and the files of the weights."""

from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Connection, Engine, MetaData, Table, func, select, text

from trials.artifacts import ARTIFACTS
from trials.database import StoreError, clear_errors, database_name, read_url, snapshot, sqlite_path, transaction
from trials.files import list_files, read_file, write_atomically
from trials.folders import folder_text, is_remote, open_path
from trials.migrate import VERSION_TABLE
from trials.schema import SchemaRow, SettingRow
from trials.settings import CHECKPOINTS
from trials.store import Store

# written where the tables are made; Optuna's two say of which version its own are
_OF_THE_TABLES = {SchemaRow.__tablename__, VERSION_TABLE, "alembic_version", "version_info"}
_ROWS = 1000  # read and written at once


def check_places(source: str, target: str) -> None:
    """Raises StoreError where both are one database."""
    paths = [sqlite_path(url) for url in (source, target)]
    same = read_url(source) == read_url(target)
    if same or (paths[0] is not None and paths[1] is not None and paths[0].resolve() == paths[1].resolve()):
        raise StoreError(f"a database must be moved to another one, but both are {database_name(target)}")


def move(source: Store, target: str, checkpoints: str | None, say: Callable[[str], None]) -> None:
    """Copy all rows of an open store to the database at `target`, and its files to `checkpoints`, where that is given.

    The files come first, then the rows: where it is killed the target is as empty as before. Raises StoreError for a
    target that holds something, FilesError for files that cannot be copied.
    """
    with Store(target, create=True) as made, clear_errors(made.shown):
        with made.engines[0].connect() as connection:
            _check_empty(connection, made.shown)
        folder = source.checkpoints
        if checkpoints is not None:
            folder = open_path(checkpoints)
            say(f"{copy_files(source.checkpoints, folder)} files copied to {folder_text(folder)}")
        with transaction(made.engines[0]) as into:
            _check_empty(into, made.shown)
            for table, rows in _copy_rows(source.engines[0], into):
                if rows:
                    say(f"{table}: {rows} rows")
            _settle(into, folder)
            if into.dialect.name == "postgresql":
                _set_sequences(into)


def _tables(engine: Engine | Connection) -> list[Table]:
    """Those with what was found, each behind those that it refers to."""
    metadata = MetaData()
    metadata.reflect(engine)
    return [table for table in metadata.sorted_tables if table.name not in _OF_THE_TABLES]


def _check_empty(connection: Connection, name: str) -> None:
    for table in _tables(connection):
        if connection.scalar(select(func.count()).select_from(table)):
            raise StoreError(
                f"the database to move to must be empty, but {name} has rows in {table.name}; name another"
            )


def _copy_rows(source: Engine, into: Connection) -> Iterator[tuple[str, int]]:
    """Copies table after table; their names and numbers of rows."""
    wanted = {table.name: table for table in _tables(source)}
    with snapshot(source) as connection:
        for table in _tables(into):
            if table.name not in wanted:
                continue
            copied = 0
            columns = [wanted[table.name].c[column.name] for column in table.columns]
            for rows in connection.execution_options(yield_per=_ROWS).execute(select(*columns)).partitions():
                into.execute(table.insert(), [dict(row._mapping) for row in rows])
                copied += len(rows)
            yield table.name, copied


def _settle(into: Connection, folder: Path) -> None:
    """Write down where the weights lie, by a name that holds in every folder."""
    settings = SettingRow.__table__
    assert isinstance(settings, Table), "a table of rows"
    into.execute(settings.delete().where(settings.c.name == CHECKPOINTS))
    into.execute(settings.insert().values(name=CHECKPOINTS, value=folder_text(folder)))


def _set_sequences(into: Connection) -> None:
    """Let the numbers of new rows go on behind those that were copied."""
    for table in _tables(into):
        for column in table.primary_key.columns:
            found = text("SELECT pg_get_serial_sequence(:table, :column)")
            sequence = into.scalar(found, {"table": table.name, "column": column.name})
            last = into.scalar(select(func.max(column))) if sequence else None
            if last is not None:
                into.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last})


def copy_files(source: Path, target: Path) -> int:
    """Copy weights, states, scores and artifacts, of which those that are there already are written anew; how many.

    Raises OSError for files that cannot be read, and FilesError for some that cannot be written.
    """
    copied = 0
    for place, to in ((source, target), (source / ARTIFACTS, target / ARTIFACTS)):
        files = [path for path in list_files(place, "", "") if not path.name.startswith(".") and path.suffix != ".lock"]
        if files and not is_remote(to):
            to.mkdir(parents=True, exist_ok=True)
        for path in files:
            write_atomically({to / path.name: read_file(path)})
        copied += len(files)
    return copied
