"""Datasets larger than the memory: decoded, resized and read in pieces."""

import io
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from tests.conftest import environment
from trials import DataSettings, images
from trials.data import CHUNK_BYTES, channel_statistics
from trials.dataset import load_dataset
from trials.image_cache import open_images
from trials.images import open_pixels


def write_archive(path: Path, count: int, side: int) -> None:
    """PNG files in colour: few different ones, many names."""
    random = np.random.default_rng(0)
    files = []
    for _ in range(50):
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(file, "png")
        files.append(file.getvalue())
    with tarfile.open(path, "w") as archive:
        for i in range(count):
            member = tarfile.TarInfo(f"images/class {i % 10}/{i:06d}.png")
            member.size = len(files[i % 50])
            archive.addfile(member, io.BytesIO(files[i % 50]))


def test_decoding_holds_a_few_images(tmp_path: Path) -> None:
    write_archive(tmp_path / "x.tar", 1000, 128)
    tracemalloc.start()
    decoded = open_images(DataSettings(source=str(tmp_path / "x.tar")))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert decoded.images.nbytes == 1000 * 3 * 128**2  # 49 MB
    assert peak < 15e6


def test_resizing_and_counting_hold_a_few_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((1000, 128, 128, 3), np.uint8), labels=np.arange(1000) % 2)
    dataset = load_dataset(DataSettings(source=str(tmp_path / "x.npz")))
    sizes: list[int] = []
    resize = images.resize_images

    def watched(chunk: Tensor, resolution: int) -> Tensor:
        resized = resize(chunk, resolution)
        sizes.extend((chunk.nbytes, resized.nbytes))
        return resized

    monkeypatch.setattr(images, "resize_images", watched)
    tracemalloc.start()
    open_pixels(dataset, 32)
    open_pixels(dataset, 160)
    channel_statistics(dataset)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert max(sizes) <= CHUNK_BYTES
    assert peak < 4 * 8 * CHUNK_BYTES / 3  # numpy counts one channel's grey levels as int64


def test_arrays_are_read_image_by_image(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", images=np.zeros((1000, 128, 128, 3), np.uint8), labels=np.arange(1000) % 2)
    tracemalloc.start()
    open_images(DataSettings(source=str(tmp_path / "x.npz")))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 15e6


STREAM = """
import resource, sys, threading, time
from pathlib import Path
LIMIT = 2 * 2**30
resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))  # anonymous memory; files that are mapped are not counted

peak = 0
def watch():
    global peak
    while True:
        lines = Path("/proc/self/status").read_text().splitlines()
        peak = max(peak, next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")))
        time.sleep(0.02)
threading.Thread(target=watch, daemon=True).start()

import torch
from trials import DataSettings
from trials.augment import augment
from trials.dataset import load_dataset
from trials.images import normalise, open_split
torch.set_num_threads(1)
dataset = load_dataset(DataSettings(source=sys.argv[1]))
generator = torch.Generator().manual_seed(0)
for resolution in (32, 40):
    part, seen, total = open_split(dataset, "train", resolution), 0, 0.0
    for positions in torch.randperm(len(part), generator=generator).split(128):
        batch, labels = part.batch(positions)
        total += normalise(augment(batch, "crop-flip", generator), part.mean, part.std).sum().item()
        seen += len(labels)
    print(resolution, len(part.pixels), seen)
print("peak RssAnon", peak // 1024, "MiB")
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_200_000_images_in_two_gigabytes(tmp_path: Path) -> None:
    write_archive(tmp_path / "x.tar", 200_000, 32)
    done = subprocess.run(
        [sys.executable, "-c", STREAM, str(tmp_path / "x.tar")],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env=environment() | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["32 200000 120000", "40 200000 120000"]
