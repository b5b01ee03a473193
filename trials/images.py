"""From decoded images to what a network sees: resized, scaled to [0, 1], normalised."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.data import Dataset, SplitName


@dataclass(frozen=True)
class LabelledImages:
    """Images [N, C, H, W] as the module that gets them wants them, labels int64 [N]."""

    images: Tensor
    labels: Tensor


class Preprocess(nn.Module):
    """uint8 images [N, C, H, W] of any side to normalised float32 [N, C, resolution, resolution].

    Bilinear with antialiasing, as low resolution is simulated from the native image (Borji, section 4).
    Raises TypeError for other types: training on [0, 1] and testing on 0..255 is a mistake of the paper's code.
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
        if images.dtype != torch.uint8:
            raise TypeError(f"images must be uint8, 0 to 255, but are {images.dtype}")
        scaled = images.float() / 255
        if images.shape[-1] != self.resolution or images.shape[-2] != self.resolution:
            scaled = F.interpolate(scaled, size=(self.resolution, self.resolution), mode="bilinear", antialias=True)
        return (scaled - self.mean) / self.std


@lru_cache(maxsize=8)
def channel_statistics(dataset: Dataset) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over the training split, of pixels in [0, 1]."""
    pixels = dataset.images[dataset.splits["train"]] / 255.0
    return pixels.mean(axis=(0, 2, 3)).tolist(), pixels.std(axis=(0, 2, 3)).tolist()


@lru_cache(maxsize=8)
def prepare_split(dataset: Dataset, split: SplitName, resolution: int) -> LabelledImages:
    """One split at one resolution, made once per process."""
    preprocess = Preprocess(resolution, *channel_statistics(dataset))
    indices = dataset.splits[split]
    return LabelledImages(
        preprocess(torch.from_numpy(dataset.images[indices])), torch.from_numpy(dataset.labels[indices])
    )
