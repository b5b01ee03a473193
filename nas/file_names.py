"""Names that are the same file on every system, in the folder where they are put."""

import re
import unicodedata

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
