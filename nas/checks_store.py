"""The database, and the folder of the weights."""

import os
from collections.abc import Iterator
from pathlib import Path

from nas.begin import check_same_spec
from nas.checks_machine import nearest
from nas.findings import Finding, ok, problem, refused, warning
from nas.spec import Spec
from search_spaces import NasError
from trials.database import StoreError, database_name, sqlite_path
from trials.database_facts import (
    file_system,
    is_missing,
    is_over_network,
    read_database,
    read_folder,
    read_search,
)
from trials.files import try_folder
from trials.folders import beside, is_remote, open_path
from trials.urls import drop_passwords


def check_database(url: str, spec: Spec | None) -> Iterator[Finding]:
    """Raises StoreError for one that cannot be used."""
    path = sqlite_path(url)
    if path is not None:
        kind = file_system(nearest(path))
        if is_over_network(kind):
            text = f"{path} is on a file system of kind {kind}, where SQLite's locks may fail"
            yield warning("database", text, "keep it on a local disk, or use PostgreSQL (docs/storage.md)")
    if path is not None and is_missing(url):
        yield _check_place(path)
        return
    facts, name = read_database(url), database_name(url)
    used = ", with a write-ahead log: a search runs, or one was killed" if facts.in_use else ""
    text = f"{name}: {facts.server}{used}, {facts.searches} searches"
    if facts.cannot_write:
        yield problem("database", f"{text}, but {facts.cannot_write}", "change its rights, or name another storage")
    elif facts.revision is None:
        yield ok("database", f"{text}; its tables will be made")
    elif facts.revision != facts.newest:
        way_out = f"nas upgrade --storage {drop_passwords(url)}, or the next nas search"
        yield warning("database", f"{text}, of the older revision {facts.revision} ({facts.newest} is ours)", way_out)
    else:
        yield ok("database", f"{text}, revision {facts.revision}")
    if spec is not None:
        yield from _check_search(url, spec)


def _check_place(path: Path) -> Finding:
    folder = Path(os.path.abspath(path)).parent
    if not folder.is_dir():
        return problem("database", f"the folder {folder} does not exist", "create it, or name another storage")
    if not os.access(folder, os.W_OK):
        return problem("database", f"{folder} cannot be written", "change its rights, or name another storage")
    return ok("database", f"will be made at {path}")


def _check_search(url: str, spec: Spec) -> Iterator[Finding]:
    """What is there of the spec's name already."""
    try:
        earlier = read_search(url, spec.name)
        check_same_spec(spec, earlier)
    except NasError as error:
        yield refused("search", error)
        return
    if earlier is not None:
        stands = "complete" if earlier.finished else "begun; nas search goes on with it"
        yield ok("search", f"{spec.name} is there, and {stands}")


def check_checkpoints(url: str, named: str | None) -> Iterator[Finding]:
    """The folder that the database names, else the given one, else the one beside a SQLite file.

    Raises FolderError for one that cannot be used.
    """
    try:
        settled = read_folder(url)
        path = sqlite_path(url)
    except StoreError:  # the check of the database says so
        settled = path = None
    folder = settled or (open_path(named) if named else path and beside(path))
    if folder is None:
        text = "weights must lie where all machines reach them, but no folder is known"
        yield problem("checkpoints", text, "name one by checkpoints in the spec, or by NAS_CHECKPOINTS")
        return
    there = folder if is_remote(folder) or folder.is_dir() else nearest(folder)
    if not is_remote(there) and not there.is_dir():
        yield problem("checkpoints", f"{there} is a file, not a folder", "name another folder by checkpoints")
        return
    try:
        try_folder(there)
    except OSError as error:
        way_out = "change its rights or its keys, or name another folder by checkpoints"
        yield problem("checkpoints", f"{folder}: {error.strerror or error}", way_out)
        return
    later = "" if there == folder else "; it will be made"
    yield ok("checkpoints", f"{folder}: a file was written, read and removed{later}")
