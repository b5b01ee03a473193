"""Reads images one after the other from where people keep them: folders, archives, .npz files, torchvision's datasets.

An image comes with its split, if the source has splits of its own, and the name of its class.
"""

import inspect
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trials.data import DataError, SplitName

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
TORCHVISION = "torchvision:"
# how data sets name their parts
SPLITS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


@dataclass(frozen=True, kw_only=True)
class SourceImage:
    """An image that is not decoded yet: encoded bytes, or pixels as PIL or numpy give them."""

    name: str
    split: SplitName | None
    label: str
    content: Any


def read_source(source: str, root: str) -> Iterator[SourceImage]:
    """All images of a source in a fixed order; raises DataError where it is none."""
    path = Path(source).expanduser()
    if source.startswith(TORCHVISION):
        return _read_torchvision(source.removeprefix(TORCHVISION), root)
    if path.is_dir():
        return _read_folder(path)
    if path.name.endswith(ARCHIVES) and path.is_file():
        return _read_archive(path)
    if path.suffix == ".npz" and path.is_file():
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
        yield SourceImage(name=path.as_posix(), split=split, label=label, content=(folder / path).read_bytes())


def _read_archive(path: Path) -> Iterator[SourceImage]:
    """Twice through the archive: for the names, then for the images. Nothing is unpacked to disk."""
    with _reading(path), tarfile.open(path) as archive:
        names = [PurePosixPath(member.name) for member in archive if _is_image(member)]
    depth = _common(names)
    names = [PurePosixPath(*name.parts[depth:]) for name in names]
    place = _placed(names)
    with _reading(path), tarfile.open(path) as archive:
        images = (member for member in archive if _is_image(member))
        for member, name in zip(images, names, strict=True):
            file = archive.extractfile(member)
            assert file is not None
            split, label = place(name)
            yield SourceImage(name=str(name), split=split, label=label, content=file.read())


def _is_image(member: tarfile.TarInfo) -> bool:
    return member.isfile() and PurePosixPath(member.name).suffix.lower() in SUFFIXES


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} must be an archive that can be read, but: {reason}") from error


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
    has_splits = tops <= SPLITS.keys() and "train" in {SPLITS[top] for top in tops}
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
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise DataError(f"{path} must be an .npz file of arrays, but: {error}") from error
    found = False
    for prefix, split in {"": None, **SPLITS}.items():
        for images, labels in ((f"x_{prefix}", f"y_{prefix}"), (f"{prefix}_images", f"{prefix}_labels")):
            names = ("images", "labels") if not prefix else (images, labels)
            if arrays.keys() >= set(names) and not (found and not prefix):
                found = True
                yield from _read_arrays(path, split, arrays[names[0]], arrays[names[1]])
            if not prefix:
                break
    if not found:
        raise DataError(
            f"{path} must hold images and labels, or x_train and y_train, or train_images and train_labels (and so on "
            f"for val and test), but holds {', '.join(arrays)}"
        )


def _read_arrays(
    path: Path, split: SplitName | None, images: NDArray[Any], labels: NDArray[Any]
) -> Iterator[SourceImage]:
    labels = labels.reshape(len(labels), -1)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or labels.shape != (len(images), 1):
        raise DataError(
            f"{path} must hold uint8 images [N, H, W] or [N, H, W, C] and one label each, but holds "
            f"{images.dtype} {list(images.shape)} and labels {list(labels.shape)}"
        )
    for i, (image, label) in enumerate(zip(images, labels[:, 0], strict=True)):
        yield SourceImage(name=f"{split or 'image'} {i}", split=split, label=f"{label:>9}", content=image)


def _read_torchvision(name: str, root: str) -> Iterator[SourceImage]:
    from torchvision import datasets

    kind = getattr(datasets, name, None) if name in datasets.__all__ else None
    if kind is None:
        raise DataError(f"{TORCHVISION} must be followed by a dataset such as CIFAR10 or SVHN, but got {name!r}")
    for split, settings in _torchvision_splits(kind):
        try:
            dataset = _open_torchvision(kind, root, settings)
        except Exception as error:  # each dataset raises its own
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"{TORCHVISION}{name} must be in data.root {root!r}, or be downloaded, but: {reason}"
            ) from error
        names = getattr(dataset, "classes", None)
        for i in range(len(dataset)):
            image, label = dataset[i]
            if not isinstance(label, int | np.integer):
                raise DataError(f"{TORCHVISION}{name} must give one class an image, but gives {type(label).__name__}")
            shown = f"{int(label):>9}" if names is None else f"{int(label):>9} {names[int(label)]}"
            yield SourceImage(name=f"{split or 'image'} {i}", split=split, label=shown, content=image)


def _open_torchvision(kind: Any, root: str, settings: dict[str, Any]) -> Any:
    try:
        return kind(root, **settings)
    except (RuntimeError, FileNotFoundError):
        if "download" not in inspect.signature(kind).parameters:
            raise
        return kind(root, download=True, **settings)


def _torchvision_splits(kind: Any) -> list[tuple[SplitName | None, dict[str, Any]]]:
    """The parts of a dataset, as its own arguments name them."""
    parameters = inspect.signature(kind).parameters
    if "train" in parameters:
        return [("train", {"train": True}), ("test", {"train": False})]
    if "split" not in parameters:
        return [(None, {})]
    text = (inspect.getdoc(kind) or "").lower()
    parts: list[tuple[SplitName | None, dict[str, Any]]] = [
        (SPLITS.get(word, "train"), {"split": word})
        for word in ("train", "trainval", "val", "valid", "test")
        if any(quoted in text for quoted in (f'"{word}"', f"``{word}``", f"'{word}'"))
    ]
    names = {settings["split"] for _, settings in parts}
    if "train" in names:
        parts = [part for part in parts if part[1]["split"] != "trainval"]
    if not any(split == "test" for split, _ in parts):  # Imagenette scores on val
        parts = [("test" if split == "validation" else split, settings) for split, settings in parts]
    return parts
