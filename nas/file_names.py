"""Names that are the same file on every system, in the folder where they are put; files that are to be written."""

import re
import unicodedata
from collections.abc import Collection
from pathlib import Path

from search_spaces import NasError
from trials.files import reasons
from trials.folders import is_remote

_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)
LONGEST = 255  # bytes, of most file systems


def is_file_name(name: str) -> bool:
    """Whether a name stays in its folder, is shown as it is, and is a file's on Linux, macOS and Windows.

    So no separator, also none that a file system may make of a look-alike; nothing that is not printed; no dot in front
    and no dot or space behind; no device of Windows.
    """
    return (
        name.isprintable()
        and not set(unicodedata.normalize("NFKC", name)) & set('/\\:*?"<>|')
        and name[:1] not in ("", ".", " ", "~", "-")
        and name[-1:] not in (".", " ")
        and not _RESERVED.fullmatch(name)
        and len(name.encode(errors="surrogatepass")) <= LONGEST
    )


def check_writable(
    path: Path, *beside: Path, suffixes: Collection[str], force: bool, error: type[NasError] = NasError
) -> None:
    """Raises the error where a file of this name, or those beside it, cannot be written."""
    if path.suffix not in suffixes or not all(is_file_name(one.name) for one in (path, *beside)):
        raise error(f"the file must have a plain name that ends with {' or '.join(suffixes)}, but is {str(path)!r}")
    try:
        with reasons(path):
            if not is_remote(path) and not path.parent.is_dir():
                raise error(f"the folder of the file must exist, but {path.parent} does not; create it")
            for target in (path, *beside):
                if target.is_dir() or (target.exists() and not force):
                    raise error(f"the file must be new, but {target} exists; choose another or pass --force")
    except OSError as found:
        raise error(f"the file must have a name that can be written, but: {found.strerror}") from found
