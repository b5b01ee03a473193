"""Files that are there whole or not at all."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from search_spaces import NasError


class FilesError(NasError):
    """Files that cannot be written."""


def write_atomically(files: Mapping[Path, bytes]) -> None:
    """Write files so that another process, or a later run after a crash, sees each whole or not at all.

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
