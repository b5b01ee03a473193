"""Decoded images on disk: made once from a source, opened in no time.

A folder of the user's cache holds the pixels of a source as one file of uint8 [N, C, H, W], its labels and splits, and
an index. It is known by what the source is (paths, sizes, times of change), so a changed source is decoded anew.
"""

import io
import json
import os
import shutil
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image
from platformdirs import user_cache_path

from search_spaces import content_id, one_line
from trials.data import DataError, DataSettings, SizesDiffer, SourceImage, SplitName, fingerprint_of
from trials.image_source import list_folder, own_path, read_source
from trials.torchvision_source import TORCHVISION

DECODER_VERSION = 2  # raise it when decoding changes pixels
AHEAD = 64  # images that are read and decoded before they are written
CHUNK = 1024  # images in memory while channels are dropped
# of files with our suffixes; Pillow would also give EPS to Ghostscript, whatever a file is called
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MOST_PIXELS = 2**26  # of one image: 8192 x 8192
SPLIT_CODES: tuple[SplitName | None, ...] = (None, "train", "validation", "test")
Pixels = NDArray[np.uint8]
warnings.simplefilter("error", Image.DecompressionBombWarning)  # in threads: no other way is safe in these


@dataclass(frozen=True, kw_only=True)
class DecodedImages:
    """Images uint8 [N, C, H, W] (mapped from disk), labels int64 [N], indices of the source's own splits, class names.

    `unreadable` names what was left out; `fingerprint` is of images and labels.
    """

    images: Pixels
    labels: NDArray[np.int64]
    splits: dict[SplitName, NDArray[np.int64]]
    classes: tuple[str, ...]
    unreadable: tuple[str, ...]
    fingerprint: str


def open_images(settings: DataSettings) -> DecodedImages:
    """The decoded images of a source; the first time they are decoded, which takes a while.

    Raises DataError for a source that is none, unreadable images above the share that is allowed, images of several
    sizes where no side is given, classes that differ between splits, and a cache that cannot be written.
    """
    folder = user_cache_path("nas-service") / "images" / content_id(_identity(settings))
    if not (folder / "index.json").exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock")):
                if not (folder / "index.json").exists():
                    _decode(settings, folder)
        except OSError as error:
            raise DataError(
                f"decoded images must be kept in {folder.parent}, but: {error.strerror or error}; make room there "
                "and make it writable, or set XDG_CACHE_HOME"
            ) from error
    return _open(folder, settings)


def _identity(settings: DataSettings) -> list[Any]:
    """What the source is: equal where it would be decoded to the same pixels."""
    path = own_path(settings.source)
    name = str(path.resolve())
    found: Any = None
    if settings.source.startswith(TORCHVISION):
        name, found = settings.source, str(own_path(settings.root).resolve())
    elif os.path.isdir(path):
        lines = (f"{p.relative_to(path)} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in list_folder(path))
        found = sha256("\n".join(lines).encode()).hexdigest()
    elif os.path.isfile(path):
        found = [path.stat().st_size, path.stat().st_mtime_ns]
    return [DECODER_VERSION, name, found, settings.side or 0]


def _open(folder: Path, settings: DataSettings) -> DecodedImages:
    try:
        index = json.loads((folder / "index.json").read_text())
        images = np.memmap(folder / "images.bin", np.uint8, "r", shape=tuple(index["shape"]))
        labels, codes = (np.load(folder / name, allow_pickle=False) for name in ("labels.npy", "splits.npy"))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"decoded images must be whole in {folder}, but: {error}; delete this folder") from error
    _check_share(settings, index["unreadable"], len(labels))
    own = {split: np.flatnonzero(codes == code) for code, split in enumerate(SPLIT_CODES) if split is not None}
    return DecodedImages(
        images=images,
        labels=labels,
        splits={split: indices for split, indices in own.items() if len(indices)},
        classes=tuple(index["classes"]),
        unreadable=tuple(index["unreadable"]),
        fingerprint=index["fingerprint"],
    )


def _decode(settings: DataSettings, folder: Path) -> None:
    """Make the folder: whole, or not at all."""
    part = folder.with_suffix(".part")  # one process at a time, which holds the lock; an old one is of a killed process
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        found = _write_pixels(settings, part / "images.bin")
        _check_share(settings, found.unreadable, len(found.labels))
        classes = _classes(settings, found)
        numbers = {name: number for number, name in enumerate(classes)}
        labels = np.array([numbers[label] for label in found.labels], np.int64)
        shape = _drop_colours(part / "images.bin", len(labels), found.side) if found.grey else found.shape
        np.save(part / "labels.npy", labels)
        np.save(part / "splits.npy", np.array([SPLIT_CODES.index(split) for split in found.splits], np.int8))
        images = np.memmap(part / "images.bin", np.uint8, "r", shape=shape)
        index = {
            "shape": shape,
            "classes": [name.split(maxsplit=1)[-1] if name[:9].strip().isdigit() else name for name in classes],
            "unreadable": found.unreadable,
            "fingerprint": fingerprint_of(images, labels),
        }
        (part / "index.json").write_text(json.dumps(index))
        for path in part.iterdir():  # or a power cut may leave files of the right size that hold zeros
            with path.open("rb") as file:
                os.fsync(file.fileno())
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


class _Found:
    """What was decoded so far."""

    def __init__(self, side: int | None) -> None:
        self.labels: list[str] = []
        self.splits: list[SplitName | None] = []
        self.unreadable: list[str] = []
        self.grey = True
        self.side = side or 0
        self.first = ""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self.labels), 3, self.side, self.side)


def _write_pixels(settings: DataSettings, path: Path) -> _Found:
    found = _Found(settings.side)
    with path.open("wb") as file:
        for image, pixels in _decoded(read_source(settings.source, settings.root), settings.side):
            if pixels is None:
                found.unreadable.append(one_line(image.name))
                continue
            _check_side(found, image.name, pixels)
            found.grey = found.grey and len(pixels) == 1
            found.labels.append(image.label)
            found.splits.append(image.split)
            file.write(np.broadcast_to(pixels, (3, *pixels.shape[1:])).tobytes())
    return found


def _decoded(images: Iterable[SourceImage], side: int | None) -> Iterator[tuple[SourceImage, Pixels | None]]:
    """The images in their order with their pixels, of which not more than AHEAD wait in memory."""
    waiting: deque[tuple[SourceImage, Future[Pixels | None]]] = deque()
    with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as threads:
        for image in images:
            waiting.append((image, threads.submit(_decode_image, image.content, side)))
            if len(waiting) == AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def _decode_image(content: Any, side: int | None) -> Pixels | None:
    """Pixels [1 or 3, H, W]; None where they cannot be read, or are far more than the file has bytes for."""
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS) if isinstance(content, bytes) else content
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image.squeeze(-1) if image.ndim == 3 and image.shape[-1] == 1 else image)
        _check_pixels(*image.size)
        image = _eight_bits(image)
        if side is not None and image.size != (side, side):
            image = _crop(image, side)
    except Exception:  # Pillow's readers raise some ten kinds of errors on damaged files
        return None
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _check_pixels(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise ValueError(f"an image must have at most {MOST_PIXELS:,} pixels, but has {width} x {height}")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey or RGB, without transparency; of sixteen bits the upper eight, where Pillow would make nearly all white."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    return image.convert("L" if image.mode in ("1", "L", "LA", "La", "F") else "RGB")


def _crop(image: Image.Image, side: int) -> Image.Image:
    """The shorter side brought to `side`, the middle of the longer one."""
    width, height = image.size
    scale = side / min(width, height)
    width, height = max(side, round(width * scale)), max(side, round(height * scale))
    _check_pixels(width, height)  # a line of pixels would become a wide band
    left, top = (width - side) // 2, (height - side) // 2
    return image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + side, top + side))


def _check_side(found: _Found, name: str, pixels: Pixels) -> None:
    height, width = pixels.shape[1:]
    if not found.side:
        found.side, found.first = height, name
    if (height, width) != (found.side, found.side):
        raise SizesDiffer(
            f"images must be square and of one size, but {name!r} has {width} x {height} px"
            f"{f' and {found.first!r} {found.side}' if found.first != name else ''}; give data.side, to which they are "
            "then resized and cropped"
        )


def _check_share(settings: DataSettings, unreadable: list[str], read: int) -> None:
    allowed = settings.unreadable_share * (len(unreadable) + read)
    if not read or len(unreadable) > allowed:
        raise DataError(
            f"at most {settings.unreadable_share:.1%} of the images may be unreadable (data.unreadable_share), but "
            f"{len(unreadable)} of {len(unreadable) + read} are"
            f"{f', the first {unreadable[0]!r}' if unreadable else ''}"
        )


def _classes(settings: DataSettings, found: _Found) -> list[str]:
    """Names in order of their numbers."""
    by_split: dict[SplitName | None, set[str]] = {}
    for label, split in zip(found.labels, found.splits, strict=True):
        by_split.setdefault(split, set()).add(label)
    classes = sorted(set[str]().union(*by_split.values()))
    for split, own in by_split.items():
        if own != set(classes):
            raise DataError(
                f"every split must have the same classes, but {split} has no {sorted(set(classes) - own)[0].strip()!r}"
            )
    if len(classes) < 2:
        raise DataError(f"{settings.source} must hold two classes or more, but holds {[c.strip() for c in classes]}")
    return classes


def _drop_colours(path: Path, count: int, side: int) -> tuple[int, int, int, int]:
    """Keep one of three equal channels; the new shape."""
    colour = np.memmap(path, np.uint8, "r", shape=(count, 3, side, side))
    grey = path.with_suffix(".grey")
    with grey.open("wb") as file:
        for start in range(0, count, CHUNK):
            file.write(np.ascontiguousarray(colour[start : start + CHUNK, :1]).tobytes())
    grey.replace(path)
    return (count, 1, side, side)
