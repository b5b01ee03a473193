"""Files that are there whole or not at all."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from search_spaces import NasError


class FilesError(NasError):
    """Files that cannot be written."""


STALE_SECONDS = 3600.0  # a part that old is of a process that was killed


def sweep_parts(folder: Path) -> None:
    """Remove what killed processes left half-written."""
    for part in folder.glob(".*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > STALE_SECONDS:
                part.unlink()


def write_atomically(files: Mapping[Path, bytes]) -> None:
    """Write files so that another process, or a later run after a crash, sees each whole or as it was before.

    None is put in place before all are written. Raises FilesError where they cannot be, as on a full disk.
    """
    parts = {path.with_name(f".{path.name}.{os.getpid()}.part"): path for path in files}
    try:
        for part, path in parts.items():
            with part.open("wb") as file:
                file.write(files[path])
                file.flush()
                os.fsync(file.fileno())
        for part, path in parts.items():
            part.replace(path)
    except OSError as error:
        names = ", ".join(map(str, files))
        raise FilesError(f"files must be writable, but {names}: {error.strerror}") from error
    finally:
        for part in parts:
            with suppress(OSError):
                part.unlink()
