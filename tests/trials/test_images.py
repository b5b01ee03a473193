"""From pixels to what a network sees."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from trials import DataSettings
from trials.data import SplitSettings
from trials.dataset import load_dataset
from trials.images import Preprocess, channel_statistics, prepare_split


def test_native_resolution_is_normalised_and_nothing_else() -> None:
    images = torch.randint(0, 256, (3, 2, 8, 8), dtype=torch.uint8)
    seen = Preprocess(8, [0.25, 0.5], [0.5, 0.125])(images)
    assert torch.allclose(seen[:, 0], (images[:, 0] / 255 - 0.25) / 0.5)
    assert torch.allclose(seen[:, 1], (images[:, 1] / 255 - 0.5) / 0.125)


@pytest.mark.parametrize("side", [14, 19, 27])
def test_resizing_is_pillows_bilinear(side: int) -> None:
    image = load_dataset(DataSettings(source="mnist5k")).images[1234, 0]
    ours = Preprocess(side, [0.0], [1.0])(torch.from_numpy(image)[None, None])[0, 0]
    pillow = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
    assert np.abs(ours.numpy() * 255 - pillow).max() <= 1.01  # Pillow rounds to whole grey levels, twice


def test_floats_are_refused() -> None:
    with pytest.raises(TypeError, match=r"must be uint8, 0 to 255, but are torch\.float32"):
        Preprocess(8, [0.0], [1.0])(torch.rand(1, 1, 8, 8))


def test_statistics_are_of_the_training_split() -> None:
    dataset = load_dataset(DataSettings(source="mnist5k"))
    mean, std = channel_statistics(dataset)
    seen = prepare_split(dataset, "train", 28)
    assert mean != [0.0]
    assert seen.images.shape == (3000, 1, 28, 28)
    assert seen.images.mean().item() == pytest.approx(0, abs=1e-4)
    assert seen.images.std().item() == pytest.approx(1, abs=1e-3)
    assert std == pytest.approx([(dataset.images[dataset.splits["train"]] / 255.0).std()])


def test_prepared_once_also_for_copies() -> None:
    dataset = load_dataset(DataSettings(source="mnist5k"))
    copy = pickle.loads(pickle.dumps(dataset))
    other = load_dataset(DataSettings(source="mnist5k", split=SplitSettings(seed=1)))
    assert copy is not dataset
    assert prepare_split(dataset, "test", 14) is prepare_split(copy, "test", 14)
    assert prepare_split(dataset, "test", 14) is not prepare_split(other, "test", 14)
