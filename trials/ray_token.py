"""Ray's token as a file: whoever may read it may run code in the cluster, so its owner alone may."""

import os
import stat
from pathlib import Path

from search_spaces import NasError

PRIVATE = 0o600


class TokenError(NasError):
    """A token file that others may read, and whose mode cannot be changed."""


def token_path() -> Path:
    """Where Ray looks for a token that is not in RAY_AUTH_TOKEN."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def read_token(path: Path) -> tuple[str, int | None]:
    """The token of a file and the file's mode; nothing and None where none can be read. Nothing is changed."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)) as file:
            mode = os.fstat(file.fileno()).st_mode
            return (file.read(4096).strip(), stat.S_IMODE(mode)) if stat.S_ISREG(mode) else ("", None)
    except (OSError, ValueError):
        return "", None


def mend_token_file(path: Path) -> None:
    """Take from a token file, where there is one, what others may do with it: Ray writes its own with mode 0644.

    Raises TokenError where the file is another user's, is no file, or its mode cannot be changed.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not make this wait
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "there is no such name"
        raise TokenError(
            f"Ray's token file must be readable, but {path}: {reason}; unset RAY_AUTH_TOKEN_PATH"
        ) from error
    found = os.fstat(opened)  # of what was opened: the name may be another file's by now
    mode = stat.S_IMODE(found.st_mode)
    try:
        if not stat.S_ISREG(found.st_mode):
            raise TokenError(f"Ray's token file must be a file, but {path} is none; remove it")
        if found.st_uid not in (os.getuid(), 0):
            raise TokenError(f"Ray's token file must be your own, but {path} is of user {found.st_uid}; remove it")
        if mode & ~PRIVATE:
            os.fchmod(opened, PRIVATE)
    except OSError as error:
        raise TokenError(
            f"Ray's token file must be readable by its owner alone, but {path} has mode {mode:04o} and: "
            f"{error.strerror}; run: chmod 600 {path}"
        ) from error
    finally:
        os.close(opened)
