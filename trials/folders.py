"""Folders of weights by their text: on a disk, or anywhere that fsspec reaches (s3://, gs://, sftp://)."""

from pathlib import Path, PurePath
from typing import cast

from search_spaces import NasError
from trials.urls import has_password, hide_passwords


class FolderError(NasError):
    """A folder that cannot be used."""


def beside(database: Path) -> Path:
    """The folder that goes with a SQLite file where no other is named."""
    return database.with_name(f"{database.name}-checkpoints")


def open_path(text: str) -> Path:
    """A file or folder by its path or URL; one that is not on a disk has the methods of Path that are used here.

    Raises FolderError for a URL that cannot be used.
    """
    protocol, separator, place = text.partition("://")
    if not separator or protocol == "file":
        return Path(place if separator else text)
    if has_password(text):
        raise FolderError(
            f"a URL of files must hold no password, but {hide_passwords(text)} does; give it by the environment, as "
            f"FSSPEC_{protocol.upper()}_PASSWORD"
        )
    from fsspec import available_protocols  # a twentieth of a second, for URLs alone
    from upath import UPath

    if protocol not in available_protocols():
        raise FolderError(f"files must be on a disk or at a URL that fsspec knows, but it knows no {protocol}://")
    if protocol == "memory":
        raise FolderError("files must be where other processes see them, but memory:// is this process's own")
    path = UPath(text.rstrip("/"))
    try:
        path.fs  # noqa: B018 loads the package
    except ImportError as error:
        raise FolderError(f"files at {protocol}:// need a package that is not installed: {error}") from error
    return cast("Path", path)  # code for Path goes on with it


def is_remote(path: PurePath) -> bool:
    """Whether a path that `open_path` gave is not on a disk."""
    return not isinstance(path, PurePath)


def folder_text(folder: Path) -> str:
    """What `open_path` takes back in another process, whatever folder it runs in."""
    return str(folder) if is_remote(folder) else str(folder.resolve())
