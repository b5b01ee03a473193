"""Archives, arrays and pictures that somebody made to do harm: refused in one line, and nothing left of them."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trials.test_image_cache import picture, settings
from trials.archives import MOST_IMAGE
from trials.data import DataError
from trials.image_cache import _decode_image, open_images

HUGE = 100 * 2**30
SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(HUGE)}


def png(seed: int = 0) -> bytes:
    file = io.BytesIO()
    picture(seed).save(file, "png")
    return file.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int | None = None, link: str = "") -> bytes:
    """A header, and the content of a small picture where it has no size of its own."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    content = png() if kind == tarfile.REGTYPE and size is None else b""
    info.size = len(content) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def plain() -> list[bytes]:
    return [member(f"{label}/{i}.png") for label in "ab" for i in range(3)]


def pax(**records: str) -> bytes:
    """The header that says what the next member is."""
    lines = b""
    for name, value in records.items():
        line = f" {name}={value}\n".encode()
        lines += f"{len(line) + 2}".encode() + line
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(lines)
    return info.tobuf(tarfile.USTAR_FORMAT) + lines + bytes(-len(lines) % 512)


def write_tar(path: Path, parts: list[bytes], pack: Callable[[bytes], bytes] = bytes) -> Path:
    path.write_bytes(pack(b"".join(parts) + bytes(1024)))
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What must stay as it is; the archive lies in a folder below it."""
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.png").write_bytes(png(7))
    return tmp_path / "in"


@pytest.mark.parametrize("name", ["../evil.png", "../a/evil.png", "a/../../evil.png", "/tmp/../evil.png"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_names_that_lead_outside(outside: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    path = write_tar(outside / "x.tar", [*plain(), member(name)], pack)
    with pytest.raises(DataError, match=r"names in an archive must stay inside of it, but '.*evil.png' does not"):
        open_images(settings(path))
    assert sorted(found.name for found in outside.parent.rglob("*")) == ["in", "secret.png", "x.tar"]


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        (tarfile.SYMTYPE, "../../secret.png"),
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.LNKTYPE, "../../secret.png"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
        (tarfile.DIRTYPE, ""),
    ],
)
def test_links_and_devices_are_no_images(outside: Path, kind: bytes, link: str) -> None:
    path = write_tar(outside / "x.tar", [*plain(), member("a/evil.png", kind, 0, link)])
    decoded = open_images(settings(path))
    assert (len(decoded.labels), decoded.unreadable) == (6, ())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([member("a/bomb.png", size=HUGE)], "an image must have at most 67,108,864 .*'a/bomb.png' has 107,374,182,400"),
        ([member("readme.txt", size=HUGE)], "another file of an archive 1,073,741,824, but 'readme.txt' has"),
        ([member("x", tarfile.GNUTYPE_LONGNAME, HUGE)], "names in an archive must be short, but one has 107,374"),
        ([member("x", tarfile.XHDTYPE, HUGE)], "the names in an archive must be short"),
        ([member("x", tarfile.XGLTYPE, HUGE)], "the names in an archive must be short"),
        ([pax(size=str(HUGE)), member("a/1.png")], "an image must have at most"),
        ([pax(size="-1024"), member("a/1.png")], "'a/1.png' has -1,024"),
        ([pax(**SPARSE), member("a/1.png")], "must be an archive that can be read|an image must have at most"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
def test_bombs(tmp_path: Path, parts: list[bytes], message: str, first: bool) -> None:
    """Told by the header: what it announces is not read, also not where it comes first."""
    path = write_tar(tmp_path / "x.tar.gz", parts + plain() if first else plain() + parts, gzip.compress)
    with pytest.raises(DataError, match=message) as caught:
        open_images(settings(path))
    assert "\n" not in str(caught.value)


def test_large_files_of_a_folder_are_unreadable(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "x" / label).mkdir(parents=True)
        (tmp_path / "x" / label / "1.png").write_bytes(png())
    with (tmp_path / "x" / "a" / "huge.png").open("wb") as file:
        file.truncate(HUGE)
    os.mkfifo(tmp_path / "x" / "a" / "pipe.png")
    decoded = open_images(settings(tmp_path / "x", unreadable_share=0.5))
    assert decoded.unreadable == ("a/huge.png",)


def array(shape: tuple[int, ...], dtype: str) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_2_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
    return header.getvalue()


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (((4, 8, 8), "|u1"), ((HUGE,), "<i8"), "one label each, but holds uint8 .* and labels"),
        (((1, HUGE, 8), "|u1"), ((1,), "<i8"), "must hold images of 1 to 67,108,864 bytes"),
        (((1, -8, 8), "|u1"), ((1,), "<i8"), "must hold images of 1 to 67,108,864 bytes"),
        (((0, 8, 8), "|u1"), ((0,), "<i8"), "must hold images of 1 to 67,108,864 bytes"),
        (((4, 8, 8), "|u1"), ((4,), "<U100000"), "must hold labels of at most 1024 bytes"),
        (((4, 8, 8), "|u1"), ((4,), "|O"), "Object arrays cannot be loaded"),
        (((4, 8, 8), "|O"), ((4,), "<i8"), "must hold uint8 images .*, but holds object"),
    ],
)  # fmt: skip
def test_arrays_that_are_larger_than_their_file(
    tmp_path: Path, images: tuple[tuple[int, ...], str], labels: tuple[tuple[int, ...], str], message: str
) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.npy", array(*images))
        archive.writestr("labels.npy", array(*labels))
        archive.writestr("../../evil.npy", array((1,), "|u1"))
    with pytest.raises(DataError, match=message) as caught:
        open_images(settings(tmp_path / "x.npz"))
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


class _Touches:
    """A pickle that leaves a mark when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def test_arrays_of_objects_run_nothing(tmp_path: Path) -> None:
    objects = np.array([_Touches(tmp_path / "mark")] * 4, dtype=object)
    np.savez(tmp_path / "x.npz", images=np.zeros((4, 8, 8), np.uint8), labels=objects)
    with pytest.raises(DataError, match="Object arrays cannot be loaded"):
        open_images(settings(tmp_path / "x.npz"))
    assert not (tmp_path / "mark").exists()


def large_png(width: int, height: int) -> bytes:
    """A picture of zeros, as small as a file of it can be."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(min(2**20, (width + 1) * height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (10_000, 10_000), (8193, 8192)])
def test_pictures_with_far_more_pixels_than_bytes(width: int, height: int) -> None:
    assert _decode_image(large_png(width, height), 32) is None


def test_a_line_of_pixels_makes_no_wide_band() -> None:
    found = _decode_image(large_png(1, 1000), 32)
    assert found is not None
    assert found.shape == (1, 32, 32)
    assert _decode_image(large_png(1, 60_000), 4096) is None


def test_no_program_is_run_for_a_picture(tmp_path: Path) -> None:
    """Pillow gives EPS to Ghostscript where that is installed."""
    file = io.BytesIO()
    picture(0).save(file, "eps")
    assert Image.open(file).format == "EPS"
    assert _decode_image(file.getvalue(), None) is None
    assert _decode_image(png(), None) is not None


def test_the_largest_image_that_may_be(tmp_path: Path) -> None:
    assert MOST_IMAGE > 3 * 4096**2
