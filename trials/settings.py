"""What holds for a whole database: where its weights lie, written into it when the first search is begun."""

from pathlib import Path

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from trials.database import StoreError, database_name, sqlite_path
from trials.folders import beside, folder_text, is_remote, open_path
from trials.schema import SearchRow, SettingRow

CHECKPOINTS = "checkpoints"


def find_folder(engine: Engine, url: str) -> Path | None:
    """Where the weights of a database lie; None of one on a server for which nothing is settled yet."""
    with Session(engine) as session:
        row = session.get(SettingRow, CHECKPOINTS)
    if row is not None:
        return open_path(row.value)
    path = sqlite_path(url)
    return None if path is None else beside(path)


def settle_folder(engine: Engine, url: str, wanted: str) -> None:
    """Write down where the weights lie, before any does; call it under `schema_lock`.

    Raises StoreError where they lie elsewhere already, and FolderError for a folder that cannot be used.
    """
    folder, now = open_path(wanted), find_folder(engine, url)
    text = folder_text(folder)
    if now is not None and folder_text(now) == text:
        return
    with Session(engine) as session, session.begin():
        begun = session.scalar(select(SearchRow.name).limit(1)) is not None
        if now is not None and (begun or session.get(SettingRow, CHECKPOINTS) is not None):
            raise StoreError(
                f"weights of database {database_name(url)} must stay in {folder_text(now)}, but checkpoints is {text}; "
                "leave it out, or take everything to another database with nas move"
            )
        if not is_remote(folder):
            folder.mkdir(parents=True, exist_ok=True)
        session.add(SettingRow(name=CHECKPOINTS, value=text))
