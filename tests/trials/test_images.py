"""From pixels to what a network sees."""

import pickle
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from trials import DataError, Dataset, DataSettings
from trials.data import CHUNK_BYTES, SplitSettings, channel_statistics, chunks
from trials.dataset import load_dataset
from trials.image_cache import open_images
from trials.images import Preprocess, normalise, open_pixels, open_split, resize_images


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def make_dataset(images: NDArray[np.uint8], memory_share: float = 0.25) -> Dataset:
    """Two classes in turn; one image in four for validation, one for test."""
    rows = np.arange(len(images))
    splits = {"train": rows[rows % 4 < 2], "validation": rows[rows % 4 == 2], "test": rows[rows % 4 == 3]}
    return Dataset(images, rows % 2, splits, memory_share=memory_share)  # type: ignore[arg-type]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache, empty, with nothing kept in this process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for function in (open_pixels, open_split):
        function.cache_clear()
    return tmp_path / "cache" / "nas-service" / "resized"


def test_native_resolution_is_normalised_and_nothing_else() -> None:
    images = torch.randint(0, 256, (3, 2, 8, 8), dtype=torch.uint8)
    seen = Preprocess(8, [0.25, 0.5], [0.5, 0.125])(images)
    assert torch.allclose(seen[:, 0], (images[:, 0] / 255 - 0.25) / 0.5)
    assert torch.allclose(seen[:, 1], (images[:, 1] / 255 - 0.5) / 0.125)


@pytest.mark.parametrize("side", [14, 19, 27, 40])
def test_resizing_is_pillows_bilinear(side: int) -> None:
    image = load_dataset(DataSettings(source="mnist5k")).images[1234, 0]
    ours = resize_images(torch.from_numpy(image)[None, None], side)[0, 0]
    pillow = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
    assert np.abs(ours.numpy().astype(int) - pillow).max() <= 1  # Pillow rounds twice, after rows and after columns


@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_an_image_is_resized_as_in_any_batch(channels: int, height: int, width: int, side: int, seed: int) -> None:
    images = torch.from_numpy(noise(5, channels, height, width, seed=seed))
    whole = resize_images(images, side)
    assert (whole.dtype, whole.shape) == (torch.uint8, (5, channels, side, side))
    assert torch.equal(whole, torch.cat([resize_images(image, side) for image in images.split(1)]))
    assert torch.equal(whole, resize_images(images.contiguous(memory_format=torch.channels_last), side))


def test_stored_images_are_those_resized_on_the_fly(cache: Path) -> None:
    dataset = make_dataset(noise(40, 3, 16, 16))
    mean, std = channel_statistics(dataset)
    part = open_split(dataset, "test", 11)
    images, _ = part.batch(torch.arange(len(part)))
    native = torch.from_numpy(dataset.images[dataset.splits["test"]])
    assert torch.equal(normalise(images, part.mean, part.std), Preprocess(11, mean, std)(native))


def test_floats_are_refused() -> None:
    images = torch.rand(1, 1, 8, 8)
    for function in (Preprocess(8, [0.0], [1.0]), lambda x: resize_images(x, 8), lambda x: resize_images(x, 4)):
        with pytest.raises(TypeError, match=r"must be uint8, 0 to 255, but are torch\.float32"):
            function(images)


def test_statistics_are_of_the_training_split() -> None:
    dataset = load_dataset(DataSettings(source="mnist5k"))
    mean, std = channel_statistics(dataset)
    pixels = dataset.images[dataset.splits["train"]] / 255.0
    assert mean == pytest.approx([pixels.mean()], rel=1e-12)
    assert std == pytest.approx([pixels.std()], rel=1e-12)
    part = open_split(dataset, "train", 28)
    seen = normalise(*part.batch(torch.arange(len(part)))[:1], part.mean, part.std)
    assert seen.mean().item() == pytest.approx(0, abs=1e-4)
    assert seen.std().item() == pytest.approx(1, abs=1e-3)


@given(st.integers(1, 3), st.integers(1, 30), st.integers(0, 99))
def test_statistics_are_numpys(channels: int, count: int, seed: int) -> None:
    dataset = make_dataset(noise(count, channels, 3, 5, seed=seed))
    pixels = dataset.images[dataset.splits["train"]] / 255.0
    mean, std = channel_statistics(dataset)
    assert mean == pytest.approx(pixels.mean(axis=(0, 2, 3)), rel=1e-12)
    assert std == pytest.approx(pixels.std(axis=(0, 2, 3)), rel=1e-9)


@given(st.integers(0, 200), st.integers(1, 2 * CHUNK_BYTES))
def test_chunks_are_small_and_complete(count: int, image_bytes: int) -> None:
    runs = list(chunks(count, image_bytes))
    assert [row for chunk in runs for row in range(count)[chunk]] == list(range(count))
    assert all((chunk.stop - chunk.start) * image_bytes <= max(CHUNK_BYTES, image_bytes) for chunk in runs)


def test_pixels_are_made_once_and_mapped(cache: Path) -> None:
    dataset = make_dataset(noise(60, 1, 12, 12))
    pixels = open_pixels(dataset, 7)
    (path,) = cache.glob("*.bin")
    made = path.stat().st_mtime_ns
    assert np.array_equal(pixels, resize_images(torch.from_numpy(dataset.images), 7).numpy())
    assert not pixels.flags.writeable
    assert open_pixels(pickle.loads(pickle.dumps(dataset)), 7) is pixels
    open_pixels.cache_clear()
    assert np.array_equal(open_pixels(dataset, 7), pixels)
    assert [(path.name, path.stat().st_mtime_ns)] == [(path.name, made) for path in cache.glob("*.bin")]


def test_native_pixels_are_the_datasets_own(cache: Path) -> None:
    dataset = make_dataset(noise(8, 1, 12, 12))
    assert np.shares_memory(open_pixels(dataset, 12), dataset.images)
    assert not cache.exists()


def test_oblong_images_become_square(cache: Path) -> None:
    assert open_pixels(make_dataset(noise(8, 3, 12, 16)), 12).shape == (8, 3, 12, 12)


def test_cut_files_and_leavings_are_made_anew(cache: Path) -> None:
    dataset = make_dataset(noise(60, 1, 12, 12))
    pixels = open_pixels(dataset, 7).copy()
    (path,) = cache.glob("*.bin")
    path.with_suffix(".part").write_bytes(b"of a process that was killed")
    path.write_bytes(path.read_bytes()[:-1])
    open_pixels.cache_clear()
    assert np.array_equal(open_pixels(dataset, 7), pixels)
    assert sorted(path.suffix for path in cache.iterdir()) == [".bin", ".lock"]


@pytest.mark.parametrize("memory_share", [0.0, 1.0])
def test_memory_share_changes_no_number(cache: Path, memory_share: float) -> None:
    images = noise(60, 1, 12, 12)
    assert make_dataset(images, memory_share).id == make_dataset(images).id
    pixels = open_pixels(make_dataset(images, memory_share), 9)
    assert np.array_equal(pixels, resize_images(torch.from_numpy(images), 9).numpy())


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    open_pixels.cache_clear()
    with pytest.raises(DataError, match=r"^resized images must be kept in .*resized \(0 MB\), but: .*XDG_CACHE_HOME$"):
        open_pixels(make_dataset(noise(60, 1, 12, 12)), 7)


def test_a_full_disk(cache: Path) -> None:
    dataset = make_dataset(noise(60, 1, 12, 12))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # as a full disk: the write fails half-way
    try:
        with pytest.raises(DataError, match=r"resized images must be kept in .*, but: File too large; make room there"):
            open_pixels(dataset, 7)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    assert open_pixels(dataset, 7).shape == (60, 1, 7, 7)


def test_batches(cache: Path) -> None:
    dataset = make_dataset(noise(50, 3, 8, 8))
    part = open_split(dataset, "validation", 8)
    images, labels = part.batch(torch.tensor([3, 0, 3]))
    own = dataset.splits["validation"]
    assert np.array_equal(images.numpy(), dataset.images[own[[3, 0, 3]]])
    assert labels.tolist() == dataset.labels[own[[3, 0, 3]]].tolist()
    batches = list(part.batches(5))
    assert [len(labels) for _, labels in batches] == [5, 5, 2]
    assert len(part) == 12
    assert np.array_equal(torch.cat([images for images, _ in batches]).numpy(), dataset.images[own])
    assert torch.equal(torch.cat([labels for _, labels in batches]), part.labels)


def test_opened_once_also_for_copies() -> None:
    dataset = load_dataset(DataSettings(source="mnist5k"))
    copy = pickle.loads(pickle.dumps(dataset))
    other = load_dataset(DataSettings(source="mnist5k", split=SplitSettings(seed=1)))
    assert copy is not dataset
    assert open_split(dataset, "test", 14) is open_split(copy, "test", 14)
    assert open_split(dataset, "test", 14) is not open_split(other, "test", 14)


def test_mapped_sources_are_read_ahead(tmp_path: Path, cache: Path) -> None:
    np.savez(tmp_path / "x.npz", images=noise(40, 6, 6), labels=np.arange(40) % 2)
    settings = DataSettings(source=str(tmp_path / "x.npz"), memory_share=1)
    pixels = open_pixels(load_dataset(settings), 6)
    assert np.array_equal(pixels, open_images(settings).images)
