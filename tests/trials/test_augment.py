"""Augmentation of whole batches against one image after the other."""

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trials.augment import augment, padding
from trials.recipe import Augmentation

NAMES: tuple[Augmentation, ...] = get_args(Augmentation)


def distinct(batch: int, channels: int, height: int, width: int) -> torch.Tensor:
    """Images in which no two neighbouring pixels are equal, and none is 0."""
    numbers = torch.arange(batch * channels * height * width) * 7 % 255 + 1
    return numbers.to(torch.uint8).view(batch, channels, height, width)


def slow(image: NDArray[np.uint8], mirrored: bool, top: int, left: int, y: int, x: int) -> NDArray[np.uint8]:
    """One image [C, H, W] by numpy."""
    if mirrored:
        image = image[:, :, ::-1]
    _, height, width = image.shape
    return np.pad(image, ((0, 0), (y, y), (x, x)))[:, top : top + height, left : left + width]


SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 20), st.integers(1, 20))


@given(st.sampled_from(NAMES), SHAPES, st.integers(0, 99))
def test_one_image_after_the_other(name: Augmentation, shape: tuple[int, int, int, int], seed: int) -> None:
    images = distinct(*shape)
    batch, _, height, width = shape
    seen = augment(images, name, torch.Generator().manual_seed(seed))
    draws = torch.Generator().manual_seed(seed)  # the same draws, in the same order
    y, x = (padding(height), padding(width)) if "crop" in name else (0, 0)
    mirrored = torch.randint(0, 2, (batch,), generator=draws) if "flip" in name else torch.zeros(batch)
    top = torch.randint(0, 2 * y + 1, (batch,), generator=draws) if "crop" in name else torch.zeros(batch).int()
    left = torch.randint(0, 2 * x + 1, (batch,), generator=draws) if "crop" in name else torch.zeros(batch).int()
    choices = zip(images.numpy(), mirrored.bool().tolist(), top.tolist(), left.tolist(), strict=True)
    assert (seen.dtype, seen.shape) == (torch.uint8, images.shape)
    assert np.array_equal(seen.numpy(), np.stack([slow(i, m, t, left_, y, x) for i, m, t, left_ in choices]))


@pytest.mark.parametrize("name", NAMES)
def test_equal_generators_equal_images(name: Augmentation) -> None:
    images = distinct(64, 3, 16, 16)
    before = images.clone()
    first, again, other = (augment(images, name, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name == "none")
    assert torch.equal(images, before)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_layout_in_memory_does_not_matter(memory_format: torch.memory_format) -> None:
    images = distinct(64, 3, 16, 16)
    seen = augment(images.contiguous(memory_format=memory_format), "crop-flip", torch.Generator().manual_seed(1))
    assert torch.equal(seen, augment(images, "crop-flip", torch.Generator().manual_seed(1)))


def test_half_are_mirrored() -> None:
    images = distinct(1, 1, 1, 8).expand(10_000, 1, 1, 8)
    seen = augment(images, "flip", torch.Generator().manual_seed(0))
    mirrored = int((seen == images.flip(3)).all(3).sum())
    assert mirrored + int((seen == images).all(3).sum()) == 10_000
    assert abs(mirrored - 5000) < 200  # four standard deviations


def test_windows_are_uniform_and_padding_is_black() -> None:
    size = 2 * padding(16) + 1
    images = distinct(1, 1, 16, 16).expand(10_000, 1, 16, 16)
    seen = augment(images, "crop", torch.Generator().manual_seed(0))
    rows, columns = (seen != 0).any(3)[:, 0], (seen != 0).any(2)[:, 0]  # no pixel of the image itself is black
    counts = np.zeros((size, size), int)
    for part, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        top = padding(16) + row[::-1].index(True) - row.index(True)  # what is cut off above shows black below
        left = padding(16) + column[::-1].index(True) - column.index(True)
        counts[top, left] += 1
        shown = slow(images[part].numpy(), False, top, left, padding(16), padding(16))
        assert np.array_equal(seen[part].numpy(), shown)
    expected = 10_000 / counts.size
    assert ((counts - expected) ** 2 / expected).sum() < 51.2  # chi-squared with 24 degrees of freedom: 0.999


@pytest.mark.parametrize(("side", "pixels"), [(1, 1), (8, 1), (14, 1), (16, 2), (28, 3), (32, 4), (64, 8), (224, 28)])
def test_padding_is_in_proportion(side: int, pixels: int) -> None:
    assert padding(side) == pixels
