"""Archives of images, read where they lie: nothing is unpacked to disk, and nothing is as large as it pretends to be.

So no member can be written anywhere, whatever its name; links and devices are no images and are never followed.
"""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Self

from trials.data import DataError

MOST_IMAGE = 2**26  # bytes of an encoded image: 4096 x 4096 RGB without compression has 48 MiB
_MOST_OTHER = 2**30  # bytes of another member, which must be decompressed to get past it
_MOST_HEADER = 2**20  # bytes of a long name or of pax records, which tarfile reads as a whole
_HEADERS = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}


class _Member(tarfile.TarInfo):
    """A member whose header is looked at before what it announces is read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _HEADERS and not 0 <= member.size <= _MOST_HEADER:
            raise DataError(
                f"the names in an archive must be short, but one has {member.size:,} bytes; it is none of images"
            )
        return member


@contextmanager
def open_archive(path: Path) -> Iterator[tarfile.TarFile]:
    """The archive, whatever it is compressed with; what goes wrong meanwhile is a DataError of one line."""
    try:
        with tarfile.open(path, tarinfo=_Member) as archive:
            yield archive
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} must be an archive that can be read, but: {reason}") from error


def image_members(archive: tarfile.TarFile, suffixes: set[str]) -> Iterator[tuple[PurePosixPath, tarfile.TarInfo]]:
    """The images among the members, with their names; raises DataError for one that is far too large."""
    for member in archive:
        name = PurePosixPath(member.name)
        is_image = member.isfile() and name.suffix.lower() in suffixes
        if not 0 <= member.size <= (MOST_IMAGE if is_image else _MOST_OTHER):  # below 0 tarfile would go back for ever
            raise DataError(
                f"an image must have at most {MOST_IMAGE:,} bytes, another file of an archive {_MOST_OTHER:,}, but "
                f"{member.name[-80:]!r} has {member.size:,}; pack the images without it"
            )
        if is_image and ".." in name.parts:
            raise DataError(f"names in an archive must stay inside of it, but {member.name[-80:]!r} does not")
        if is_image:
            yield name, member
