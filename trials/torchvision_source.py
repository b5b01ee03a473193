"""Reads torchvision's classification datasets: which parts each has, and under which arguments."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from trials.data import DataError, SourceImage, SplitName

TORCHVISION = "torchvision:"
_Parts = tuple[tuple[SplitName | None, Mapping[str, Any]], ...]


def _by_split(train: str, test: str, validation: str = "") -> _Parts:
    names: dict[SplitName, str] = {"train": train, "validation": validation, "test": test}
    return tuple((split, {"split": name}) for split, name in names.items() if name)


def _by_flag(**others: Any) -> _Parts:
    return (("train", {"train": True, **others}), ("test", {"train": False, **others}))


# What is labelled of each; where a test part has no labels, validation is taken for it, as it is in publications.
PARTS: dict[str, _Parts] = {
    **dict.fromkeys(("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "QMNIST", "USPS"), _by_flag()),
    "EMNIST": _by_flag(split="balanced"),
    **dict.fromkeys(("FER2013", "Food101", "GTSRB", "STL10", "StanfordCars", "SVHN"), _by_split("train", "test")),
    **dict.fromkeys(
        ("DTD", "FGVCAircraft", "Flowers102", "PCAM", "RenderedSST2"), _by_split("train", "test", validation="val")
    ),
    "Country211": _by_split("train", "test", validation="valid"),
    "OxfordIIITPet": _by_split("trainval", "test"),
    **dict.fromkeys(("CLEVRClassification", "ImageNet", "Imagenette"), _by_split("train", "val")),
    "Places365": tuple((split, {**part, "small": True}) for split, part in _by_split("train-standard", "val")),
    "INaturalist": (("train", {"version": "2021_train"}), ("test", {"version": "2021_valid"})),
    **dict.fromkeys(("Caltech101", "Caltech256", "EuroSAT", "Omniglot", "SEMEION", "SUN397"), ((None, {}),)),
}


def read_torchvision(name: str, root: str) -> Iterator[SourceImage]:
    """All images of a dataset, part by part; one that cannot be read comes without content.

    Raises DataError for a dataset that is not known, and where it is not in `root` and cannot be downloaded to it.
    """
    if name not in PARTS:
        raise DataError(f"{TORCHVISION} must be followed by one of {', '.join(sorted(PARTS))}, but got {name!r}")
    if not root:
        raise DataError(f"data.root must be the folder where {name} is, or is downloaded to, but is empty")
    for split, arguments in PARTS[name]:
        dataset = _open(name, root, arguments)
        names = getattr(dataset, "classes", None)
        for i in range(len(dataset)):
            place = f"{split or 'image'} {i}"
            try:
                image, label = dataset[i]
            except Exception:  # a damaged file: each dataset raises its own
                yield SourceImage(name=place, split=split, label="", content=b"")
                continue
            if not isinstance(label, int | np.integer):
                raise DataError(f"{TORCHVISION}{name} must give one class an image, but gives {type(label).__name__}")
            yield SourceImage(name=place, split=split, label=_class_name(int(label), names), content=image)


def is_downloaded(name: str, root: str) -> bool:
    """Whether all parts of a dataset that is known are in `root`; nothing is downloaded."""
    from torchvision import datasets

    try:
        for _, arguments in PARTS[name]:
            getattr(datasets, name)(root, **arguments)
    except Exception:  # each dataset raises its own
        return False
    return True


def _class_name(label: int, names: Any) -> str:
    """The number, so that it decides the order, and the name: the first where a dataset gives several."""
    if names is None:
        return f"{label:>9}"
    name = names[label]
    return f"{label:>9} {name if isinstance(name, str) else name[0]}"


def _open(name: str, root: str, arguments: Mapping[str, Any]) -> Any:
    """The part that is there, or downloaded."""
    from torchvision import datasets

    kind = getattr(datasets, name)
    try:
        try:
            return kind(root, **arguments)
        except (RuntimeError, FileNotFoundError):
            if not any("download" in inspect.signature(base).parameters for base in kind.__mro__[:-1]):
                raise
            return kind(root, download=True, **arguments)
    except Exception as error:  # each dataset raises its own
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{TORCHVISION}{name} must be in data.root {root!r}, or be downloaded, but: {reason}"
        ) from error
