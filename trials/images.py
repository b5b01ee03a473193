"""From decoded images to what a network sees: resized once, gathered in batches, scaled to [0, 1], normalised."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from platformdirs import user_cache_path
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces import content_id
from trials.data import DataError, Dataset, SplitName, channel_statistics, chunks
from trials.memory import read_ahead

RESIZER_VERSION = 1  # raise it when resizing changes pixels
Pixels = NDArray[np.uint8]


def resize_images(images: Tensor, resolution: int) -> Tensor:
    """uint8 [N, C, H, W] to uint8 [N, C, resolution, resolution]; raises TypeError for other types.

    Bilinear with antialiasing, as low resolution is simulated from the native image (Borji, section 4), in float32,
    then rounded to whole grey levels, so that stored images and those resized on the fly are the same. torch's own
    way for uint8 is quicker on a CPU, but differs by a level in 10 to 25 % of the pixels and does not exist on GPUs.
    """
    _check_type(images)
    if images.shape[-2:] == (resolution, resolution):
        return images
    resized = F.interpolate(images.float(), size=(resolution, resolution), mode="bilinear", antialias=True)
    return resized.round().to(torch.uint8)


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 [N, C, H, W] to float32, scaled to [0, 1], minus mean over std [1, C, 1, 1].

    Raises TypeError for other types: training on [0, 1] and testing on 0..255 is a mistake of the paper's code.
    """
    _check_type(images)
    return images.float().div_(255).sub_(mean).div_(std)


def _check_type(images: Tensor) -> None:
    if images.dtype != torch.uint8:
        raise TypeError(f"images must be uint8, 0 to 255, but are {images.dtype}")


class Preprocess(nn.Module):
    """uint8 images [N, C, H, W] of any side to normalised float32 [N, C, resolution, resolution].

    Raises TypeError for other types.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, resolution: int, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.resolution = resolution
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images float32 [N, C, resolution, resolution]."""
        return normalise(resize_images(images, self.resolution), self.mean, self.std)


@lru_cache(maxsize=64)
def open_pixels(dataset: Dataset, resolution: int) -> Pixels:
    """All images of a dataset at a resolution, uint8 [N, C, resolution, resolution].

    Other resolutions than the native one are made once, into the user's cache, and mapped from there: all processes of
    a machine share their pages, and later searches find them. What is at most `dataset.memory_share` of the memory is
    read ahead. Raises DataError where the cache cannot be written.
    """
    count, channels, height, width = dataset.images.shape
    pixels = dataset.images
    if (height, width) != (resolution, resolution):
        folder = user_cache_path("nas-service") / "resized"
        path = folder / f"{content_id([RESIZER_VERSION, dataset.fingerprint])}-{resolution}px.bin"
        shape = (count, channels, resolution, resolution)
        try:
            if not _is_whole(path, shape):
                folder.mkdir(parents=True, exist_ok=True)
                with FileLock(path.with_suffix(".lock")):
                    if not _is_whole(path, shape):
                        _write_resized(dataset.images, resolution, path)
            pixels = np.memmap(path, np.uint8, "r", shape=shape)
        except OSError as error:
            raise DataError(
                f"resized images must be kept in {folder} ({math.prod(shape) / 1e6:,.0f} MB), but: "
                f"{error.strerror or error}; make room there and make it writable, or set XDG_CACHE_HOME"
            ) from error
    read_ahead(pixels, dataset.memory_share)
    return pixels.view(np.ndarray)


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    return path.is_file() and path.stat().st_size == math.prod(shape)


def _write_resized(images: Pixels, resolution: int, path: Path) -> None:
    part = path.with_suffix(".part")  # one process at a time, which holds the lock
    channels, height, width = images.shape[1:]
    try:
        with part.open("wb") as file:
            for rows in chunks(len(images), channels * max(height * width, resolution**2)):
                chunk = torch.from_numpy(np.array(images[rows]))  # a copy: torch warns of arrays that are read-only
                file.write(resize_images(chunk, resolution).numpy().data)
            file.flush()
            os.fsync(file.fileno())  # or a power cut may leave a file of the right size that holds zeros
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """A part of a dataset at one resolution.

    `pixels` uint8 [all images, C, side, side], mapped from a file and read-only; `indices` int64 [N] are the part's own
    rows of it, `labels` int64 [N] their classes; `mean` and `std` [1, C, 1, 1] are what to normalise with.
    """

    pixels: Pixels
    indices: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Images uint8 [B, C, side, side] and labels int64 [B] at positions int64 [B] of this part, as copies."""
        # as quick as torch's index_select, 20 times as quick as its indexing
        rows = np.take(self.pixels, self.indices[positions].numpy(), axis=0)
        return torch.from_numpy(rows), self.labels[positions]

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All of it once, in order, in batches of a size; the last one may be smaller."""
        return map(self.batch, torch.arange(len(self)).split(size))


@lru_cache(maxsize=64)
def open_split(dataset: Dataset, split: SplitName, resolution: int) -> Split:
    """One part at one resolution, opened once in a process; raises DataError as `open_pixels` does."""
    means, stds = channel_statistics(dataset)
    indices = dataset.splits[split]
    return Split(
        pixels=open_pixels(dataset, resolution),
        indices=torch.from_numpy(indices),
        labels=torch.from_numpy(dataset.labels[indices]),
        mean=torch.tensor(means).view(1, -1, 1, 1),
        std=torch.tensor(stds).view(1, -1, 1, 1),
    )
