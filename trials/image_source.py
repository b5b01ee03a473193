"""Reads images one after the other from where people keep them: folders, archives, .npz files, torchvision's datasets.

An image comes with its split, if the source has splits of its own, and the name of its class.
"""

import math
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from trials.archives import MOST_IMAGE, image_members, open_archive
from trials.data import DataError, SourceImage, SplitName
from trials.torchvision_source import TORCHVISION, read_torchvision

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
LONGEST_LABEL = 1024  # bytes
# how data sets name their parts
SPLITS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


def own_path(text: str) -> Path:
    """A file or folder as people name it; one that no file can have, or of a user who is none, is none that exists.

    It is looked at with os.path, which says no where pathlib raises.
    """
    return Path(os.path.expanduser(text))


def read_source(source: str, root: str) -> Iterator[SourceImage]:
    """All images of a source in a fixed order; raises DataError where it is none."""
    path = own_path(source)
    if source.startswith(TORCHVISION):
        return read_torchvision(source.removeprefix(TORCHVISION), root)
    if os.path.isdir(path):
        return _read_folder(path)
    if path.name.endswith(ARCHIVES) and os.path.isfile(path):
        return _read_archive(path)
    if path.suffix == ".npz" and os.path.isfile(path):
        return _read_npz(path)
    raise DataError(
        f"data.source must be mnist5k, torchvision:NAME, or a folder, .tar, .tar.gz or .npz file that exists, "
        f"but is {source!r}"
    )


def list_folder(folder: Path) -> list[Path]:
    """Image files below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _read_folder(folder: Path) -> Iterator[SourceImage]:
    paths = [path.relative_to(folder) for path in list_folder(folder)]
    place = _placed([PurePosixPath(path.as_posix()) for path in paths])
    for path in paths:
        split, label = place(PurePosixPath(path.as_posix()))
        content = b""
        with suppress(OSError):  # one that may not be read is as one that is damaged
            if (folder / path).stat().st_size <= MOST_IMAGE:
                content = (folder / path).read_bytes()
        yield SourceImage(name=path.as_posix(), split=split, label=label, content=content)


def _read_archive(path: Path) -> Iterator[SourceImage]:
    """Twice through the archive: for the names, then for the images. Nothing is unpacked to disk."""
    with open_archive(path) as archive:
        names = [name for name, _ in image_members(archive, SUFFIXES)]
        _check_end(path, archive, len(names))
    depth = _common(names)
    names = [PurePosixPath(*name.parts[depth:]) for name in names]
    place = _placed(names)
    with open_archive(path) as archive:
        for (_, member), name in zip(image_members(archive, SUFFIXES), names, strict=True):
            file = archive.extractfile(member)
            assert file is not None
            split, label = place(name)
            yield SourceImage(name=str(name), split=split, label=label, content=file.read())


def _check_end(path: Path, archive: tarfile.TarFile, images: int) -> None:
    """An archive ends with zeros: tarfile takes a damaged header, or a cut file, for its end, without a word."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise DataError(
            f"{path} must be a whole archive, but is cut or damaged after {images:,} images; fetch it again"
        )


def _common(names: list[PurePosixPath]) -> int:
    """How many leading folders are of the whole archive: what stands above splits or classes."""
    depth = 0
    while names and len({name.parts[depth] for name in names if len(name.parts) > depth + 2}) == 1:
        if any(len(name.parts) <= depth + 2 for name in names) or names[0].parts[depth].lower() in SPLITS:
            break
        depth += 1
    return depth


def _placed(names: list[PurePosixPath]) -> Callable[[PurePosixPath], tuple[SplitName | None, str]]:
    """Where an image belongs: `train/dog/1.png` to a split and a class, `dog/1.png` to a class."""
    if not names:
        raise DataError("a folder or archive of images must hold class folders with images, but holds none")
    tops = {name.parts[0].lower() for name in names}
    splits = {SPLITS[top] for top in tops & SPLITS.keys()}
    beside = tops - SPLITS.keys()
    if "train" in splits and len(splits) > 1 and beside:  # a single folder "train" can be a class: of vehicles
        raise DataError(
            f"beside the folders of splits ({', '.join(sorted(tops & SPLITS.keys()))}) nothing else may stand, but "
            f"{sorted(beside)[0]!r} does; take its images elsewhere"
        )
    has_splits = "train" in splits and not beside
    depth = 1 if has_splits else 0
    for name in names:
        if len(name.parts) < depth + 2:
            raise DataError(f"every image must lie in the folder of its class, but {str(name)!r} does not")

    def place(name: PurePosixPath) -> tuple[SplitName | None, str]:
        return SPLITS[name.parts[0].lower()] if has_splits else None, name.parts[depth]

    return place


def _read_npz(path: Path) -> Iterator[SourceImage]:
    """Arrays `images` and `labels`, or those of each split: `x_train`, `y_train`, or `train_images`, `train_labels`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            pairs = _array_pairs(set(file.files))
            if not pairs:
                raise DataError(
                    f"{path} must hold images and labels, or x_train and y_train, or train_images and train_labels "
                    f"(and so on for val and test), but holds {', '.join(file.files)}"
                )
            for split, images, labels in pairs:
                _check_arrays(path, images, labels)
                yield from _read_arrays(path, split, images, file[labels])
    except (OSError, ValueError, TypeError, EOFError, BadZipFile) as error:
        raise DataError(f"{path} must be an .npz file of arrays, but: {error}") from error


def _array_pairs(names: set[str]) -> list[tuple[SplitName | None, str, str]]:
    """Splits with the names of their images and labels."""
    wanted: list[tuple[SplitName | None, str, str]] = [(None, "images", "labels")]
    for prefix, split in SPLITS.items():
        wanted += [(split, f"x_{prefix}", f"y_{prefix}"), (split, f"{prefix}_images", f"{prefix}_labels")]
    found = [pair for pair in wanted if {pair[1], pair[2]} <= names]
    return found[:1] if found and found[0][0] is None else found


def _check_arrays(path: Path, images: str, labels: str) -> None:
    """By their headers: an array of a small file may be larger than any memory."""
    (shape, by_columns, dtype), (count, _, kind) = (_read_header(path, name) for name in (images, labels))
    if dtype != np.uint8 or len(shape) not in (3, 4) or count not in ((shape[0],), (shape[0], 1)):
        raise DataError(
            f"{path} must hold uint8 images [N, H, W] or [N, H, W, C] and one label each, but holds "
            f"{dtype} {list(shape)} and labels {list(count)}"
        )
    if by_columns:
        raise DataError(f"{path} must hold {images} image by image (C order); save numpy.ascontiguousarray of it")
    if min(shape) < 1 or math.prod(shape[1:]) > MOST_IMAGE:
        raise DataError(f"{path} must hold images of 1 to {MOST_IMAGE:,} bytes, but holds {images} {list(shape)}")
    if kind.itemsize > LONGEST_LABEL:
        raise DataError(f"{path} must hold labels of at most {LONGEST_LABEL} bytes, but holds {kind.itemsize:,} each")


def _read_arrays(path: Path, split: SplitName | None, images: str, labels: NDArray[Any]) -> Iterator[SourceImage]:
    """One image after the other: an array in a file may be larger than the memory."""
    shape, _, _ = _read_header(path, images)
    with ZipFile(path) as archive, archive.open(f"{images}.npy") as file:
        _header(file)
        for i, label in enumerate(labels.reshape(len(labels))):
            content = np.frombuffer(file.read(math.prod(shape[1:])), np.uint8).reshape(shape[1:])
            yield SourceImage(name=f"{split or 'image'} {i}", split=split, label=f"{label:>9}", content=content)


def _read_header(path: Path, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    with ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        return _header(file)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first index runs fastest, and type."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)
