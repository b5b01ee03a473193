"""Files that are there whole or not at all, on a disk or at a URL of fsspec's (`trials.folders`)."""

import errno
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from search_spaces import NasError
from trials.folders import is_remote
from trials.job import HaltingError
from trials.urls import hide_passwords

_LISTED_BY_PREFIX = {"s3", "s3a", "gs", "gcs"}


class FilesError(HaltingError):
    """Files that cannot be written."""


def read_file(path: Path) -> bytes:
    """The content; raises OSError with a reason and the name."""
    with reasons(path):
        return path.read_bytes()


def remove_file(path: Path) -> None:
    """Remove a file, where it is there and can be removed."""
    with suppress(OSError), reasons(path):
        path.unlink()


def list_files(folder: Path, prefix: str, suffix: str) -> list[Path]:
    """Files whose names begin and end so, in no order; none where there is no such folder.

    Raises OSError where it cannot be read.
    """
    if not is_remote(folder):
        return [path for path in folder.glob(f"{prefix}*{suffix}") if path.is_file()]
    system: Any = folder.fs  # type: ignore[attr-defined]
    place: str = folder.path  # type: ignore[attr-defined]
    with reasons(folder):
        system.invalidate_cache()  # other processes write there
        try:
            if prefix and _LISTED_BY_PREFIX & set(system.protocol):  # where all others are thousands
                found = system.find(place, prefix=prefix)
            else:
                found = [one["name"] for one in system.ls(place, detail=True) if one["type"] == "file"]
        except FileNotFoundError:
            return []
    names = {str(name).rstrip("/").rpartition("/")[2] for name in found}
    return [folder / name for name in sorted(names) if fnmatch(name, f"{prefix}*{suffix}")]


def try_folder(folder: Path) -> None:
    """Write a small file, read it and remove it; raises OSError where one of these fails."""
    path = folder / f".doctor.{_host()}.{os.getpid()}.part"  # which the next search sweeps where we are killed
    content = os.urandom(16)
    with reasons(path):
        try:
            path.write_bytes(content)
            if path.read_bytes() != content:
                raise OSError(errno.EIO, "what is read is not what was written", str(path))
            path.unlink()
        finally:
            remove_file(path)


def sweep_parts(folder: Path) -> None:
    """Remove what killed processes of this machine left half-written; a store that is not a disk has no such parts."""
    if is_remote(folder):
        return
    for part in folder.glob(f".*.{_host()}.*.part"):
        pid = part.name.split(".")[-2]
        if pid.isdigit() and not _lives(int(pid)):
            with suppress(OSError):
                part.unlink()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _host() -> str:
    """This machine's name, in which nothing is special to glob or divides a file's name."""
    return "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname())


def write_atomically(files: Mapping[Path, bytes]) -> None:
    """Write files so that another process, or a later run after a crash, sees each whole or as it was before.

    On a disk none is put in place before all are written. Elsewhere they are put one after the other, as given: an
    object store keeps an object whole or not at all. Raises FilesError where they cannot be, as on a full disk.
    """
    try:
        _write_on_disk({path: content for path, content in files.items() if not is_remote(path)})
        for path, content in files.items():
            if is_remote(path):
                with reasons(path):
                    path.write_bytes(content)
    except OSError as error:
        names = ", ".join(map(str, files))
        raise FilesError(f"files must be writable, but {names}: {error.strerror}") from error


def _write_on_disk(files: Mapping[Path, bytes]) -> None:
    parts = {path.with_name(f".{path.name}.{_host()}.{os.getpid()}.part"): path for path in files}
    try:
        for part, path in parts.items():
            with part.open("wb") as file:
                file.write(files[path])
                file.flush()
                os.fsync(file.fileno())
        for part, path in parts.items():
            part.replace(path)
    finally:
        for part in parts:
            with suppress(OSError):
                part.unlink()


@contextmanager
def reasons(path: Path) -> Iterator[None]:
    """What file systems of fsspec raise, as an OSError with a reason, which a disk's errors have."""
    try:
        yield
    except OSError as error:
        if error.strerror is not None:
            raise
        known = {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES, IsADirectoryError: errno.EISDIR}
        code = known.get(type(error), errno.EIO)
        reason = os.strerror(code) if code == errno.ENOENT else _one_line(error)
        raise OSError(code, reason, str(path)) from error
    except NasError:
        raise
    except Exception as error:
        if not is_remote(path):
            raise
        raise OSError(errno.EIO, _one_line(error), str(path)) from error


def _one_line(error: Exception) -> str:
    return hide_passwords(" ".join(f"{type(error).__name__}: {error}".split()))[:200]
