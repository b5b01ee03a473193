"""Accuracies of ways to train: bf16 against fp32, fused against alone, `fast` against the papers' recipes.

`python -m benchmarks.accuracy [digits] [colours]`: mean and standard deviation over seeds on validation, training time
not compared. colours reads the archive that CIFAR names, ../shared/data/cifar10-25k.tar.gz by default.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import mean, stdev

import torch
from rich.console import Console

from benchmarks.engine import CIFAR
from benchmarks.naive import quarter_vgg11
from nas.tables import make_table
from search_spaces import Architecture, Conv, LeNet
from trials import DataSettings
from trials.dataset import load_dataset
from trials.images import open_split
from trials.recipe import Recipe, preset
from trials.run import keep_memory
from trials.train import Member, Training, score

LENET = LeNet(
    conv1=Conv(out_channels=30, kernel=3), conv2=Conv(out_channels=30, kernel=5), hidden=50, pool=False
).architecture((1, 14, 14), 10)


@dataclass(frozen=True, kw_only=True)
class Way:
    """A recipe, and how many seeds train together."""

    name: str
    recipe: Recipe
    members: int = 1


DIGITS = [
    Way(name="borji", recipe=preset("borji")),
    Way(name="borji, bf16", recipe=preset("borji", precision="bf16")),
    Way(name="borji, all seeds fused", recipe=preset("borji"), members=5),
    Way(name="fast", recipe=preset("fast")),
    Way(name="fast, 5 epochs", recipe=preset("fast", epochs=5)),
    Way(name="fast, averaged weights", recipe=preset("fast", ema=0.99)),
]
COLOURS = [
    Way(name="fast, crop-flip", recipe=preset("fast", augmentation="crop-flip", epochs=6)),
    Way(name="fast, crop-flip, bf16", recipe=preset("fast", augmentation="crop-flip", precision="bf16", epochs=6)),
    Way(name="fast, crop-flip, all seeds fused", recipe=preset("fast", augmentation="crop-flip", epochs=6), members=3),
    Way(name="neuralscale-cifar", recipe=preset("neuralscale-cifar", epochs=6)),
    Way(name="borji, crop-flip", recipe=preset("borji", augmentation="crop-flip", epochs=6)),
]


def train_seeds(source: str, architecture: Architecture, way: Way, seeds: list[int]) -> list[float]:
    """Validation accuracy of each seed, trained together or one after the other."""
    torch.set_num_threads(1)
    keep_memory()
    dataset = load_dataset(DataSettings(source=source))
    data, validation = (open_split(dataset, name, architecture.resolution) for name in ("train", "validation"))
    found = []
    for first in range(0, len(seeds), way.members):
        members = [
            Member(seed=seed, learning_rate=way.recipe.learning_rate) for seed in seeds[first : first + way.members]
        ]
        training = Training(architecture, members, data, way.recipe)
        while training.epoch < way.recipe.epochs:
            training.run_epoch()
        found += [score(architecture, weights, validation) / len(validation) for weights in training.weights()]
    return found


def compare(title: str, source: str, architecture: Architecture, ways: list[Way], seeds: int) -> None:
    """A row for each way."""
    table = make_table("", "epochs", "validation accuracy", title=f"{title}, {seeds} seeds", left=("",))
    with ProcessPoolExecutor(max_workers=2) as pool:
        runs = [pool.submit(train_seeds, source, architecture, way, list(range(seeds))) for way in ways]
        for way, run in zip(ways, runs, strict=True):
            accuracies = run.result()
            score_text = f"{mean(accuracies):.4f} ± {stdev(accuracies):.4f}"
            table.add_row(way.name, str(way.recipe.epochs), score_text)
            print(way.name, score_text, [round(accuracy, 4) for accuracy in accuracies], flush=True)
    Console().print(table)


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["digits", "colours"]
    if "digits" in wanted:
        compare("LeNet at 14 px on mnist5k", "mnist5k", LENET, DIGITS, seeds=5)
    if "colours" in wanted:
        compare("VGG11 at a quarter of its width on CIFAR-10", str(CIFAR), quarter_vgg11(), COLOURS, seeds=3)
