"""How fast the engine trains, as ratios against training as one writes it by hand, on the same cores in one run.

`python -m benchmarks.engine [digits] [colours] [neighbour]`; colours and neighbour read
../shared/data/cifar10-25k.tar.gz, or the archive that CIFAR names.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from rich.console import Console

from benchmarks.naive import quarter_vgg11
from benchmarks.quickstart import write_quickstart
from nas.tables import make_table
from trials import DataSettings
from trials.dataset import load_dataset
from trials.images import open_split
from trials.recipe import preset
from trials.run import keep_memory
from trials.train import Member, Training

CIFAR = Path(os.environ.get("CIFAR", "../shared/data/cifar10-25k.tar.gz"))
CANDIDATES, SEEDS, EPOCHS = 8, 3, 10
SECONDS = 20.0


def naive_environment() -> dict[str, str]:
    """A person's own: torch takes all cores."""
    return {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}


def run_naive(*arguments: str) -> str:
    """Output of `benchmarks.naive` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.naive", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=naive_environment()).stdout


def time_digits(console: Console) -> None:
    """Wall time of 8 LeNets with 3 seeds each, everything included: the search also trains and tests the base."""
    with tempfile.TemporaryDirectory() as folder:
        train = {"epochs": EPOCHS, "seeds": SEEDS, "confirm": 0}
        spec = write_quickstart(Path(folder), train=train, search={"max_candidates": CANDIDATES})
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "nas", "search", str(spec)],
            check=True,
            capture_output=True,
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
            cwd=folder,
        )
        ours = time.perf_counter() - start
        start = time.perf_counter()
        run_naive("digits", str(spec), str(CANDIDATES))
        theirs = time.perf_counter() - start
    images = 3000 * EPOCHS * SEEDS
    table = make_table("", "networks", "seconds", "images/s", title="LeNet on mnist5k, 3 seeds", left=("",))
    table.add_row("nas search", str(CANDIDATES + 1), f"{ours:.1f}", f"{images * (CANDIDATES + 1) / ours:,.0f}")
    table.add_row("by hand", str(CANDIDATES), f"{theirs:.1f}", f"{images * CANDIDATES / theirs:,.0f}")
    console.print(table)
    per_network = (theirs / CANDIDATES) / (ours / (CANDIDATES + 1))
    console.print(f"ratio of wall times {theirs / ours:.2f}, of times a network {per_network:.2f}\n", highlight=False)


def worker_rate(seconds: float) -> float:
    """Images a second of one worker on one core: VGG11 at a quarter of its width, flips and crops included."""
    torch.set_num_threads(1)
    keep_memory()
    data = open_split(load_dataset(DataSettings(source=str(CIFAR))), "train", 32)
    some = type(data)(
        pixels=data.pixels, indices=data.indices[:1280], labels=data.labels[:1280], mean=data.mean, std=data.std
    )
    recipe = preset("fast", batch_size=128, augmentation="crop-flip", epochs=10**6)
    training = Training(quarter_vgg11(), [Member(seed=0, learning_rate=0.1)], some, recipe)
    training.run_epoch()
    start, epochs = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        training.run_epoch()
        epochs += 1
    return epochs * len(some) / (time.perf_counter() - start)


def engine_rate() -> float:
    """Both workers' images a second."""
    with ProcessPoolExecutor(max_workers=2) as pool:
        return sum(pool.map(worker_rate, repeat(SECONDS, 2)))


@contextmanager
def extracted() -> Iterator[str]:
    """The training images as a folder."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(CIFAR) as archive:
        archive.extractall(folder, filter="data")
        yield str(next(path for path in Path(folder).rglob("train") if path.is_dir()))


def naive_rate(folder: str) -> float:
    """The better of no and two loading processes."""
    return max(float(run_naive("colours", folder, str(workers), str(SECONDS))) for workers in (0, 2))


def time_colours(console: Console) -> None:
    """Images a second over both cores."""
    with extracted() as folder:
        ours, theirs = engine_rate(), naive_rate(folder)
    table = make_table("", "images/s", title="VGG11 at a quarter of its width on CIFAR-10, both cores", left=("",))
    table.add_row("engine, two workers", f"{ours:,.0f}")
    table.add_row("by hand", f"{theirs:,.0f}")
    console.print(table)
    console.print(f"ratio {ours / theirs:.2f}\n", highlight=False)


def time_neighbour(console: Console) -> None:
    """What is left of the images a second while another process keeps one core busy."""
    table = make_table("", "quiet", "busy", "kept", title="VGG11 beside one busy process, images/s", left=("",))
    with extracted() as folder:
        for name, rate in (("engine, two workers", engine_rate), ("by hand", lambda: naive_rate(folder))):
            quiet = rate()
            neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            try:
                busy = rate()
            finally:
                neighbour.kill()
                neighbour.wait()
            table.add_row(name, f"{quiet:,.0f}", f"{busy:,.0f}", f"{busy / quiet:.0%}")
    console.print(table)


if __name__ == "__main__":
    parts = {"digits": time_digits, "colours": time_colours, "neighbour": time_neighbour}
    everything = [part for part in parts if part == "digits" or CIFAR.exists()]
    for part in sys.argv[1:] or everything:
        parts[part](Console())
