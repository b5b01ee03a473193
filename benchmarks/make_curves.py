"""Makes the table of learning curves that `benchmarks.racing` replays: `python -m benchmarks.make_curves`.

Feasible candidates of examples/quickstart.yaml (approach IV under a LeNet at 14 px, 5,000 real digits), each trained in
full with several seeds, scored on validation after every epoch. 20 minutes on two cores. The recipe's learning rate is
constant, so the first epochs of a curve are those of a shorter training, too.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from benchmarks.quickstart import quickstart
from nas.planning import make_plan
from nas.problem import Candidate
from nas.spec import Spec
from search_spaces import COSTS
from trials.dataset import load_dataset
from trials.images import open_split
from trials.run import keep_memory
from trials.train import Member, Training, score

NETWORKS, SEEDS, EPOCHS = 100, 3, 27
TABLE = Path(__file__).with_name("curves-mnist5k.npz")


def choose_networks(spec: Spec, count: int) -> list[Candidate]:
    """The base and so many feasible candidates, spread as a search chooses them."""
    more = spec.model_copy(update={"search": spec.search.model_copy(update={"max_candidates": count})})
    return make_plan(more).networks


def train_curves(
    network: Candidate, seeds: Sequence[int], spec: Spec, epochs: int
) -> tuple[list[list[float]], list[list[float]]]:
    """Validation accuracy and training loss after every epoch, of every seed; the seeds train fused."""
    torch.set_num_threads(1)
    keep_memory()
    dataset, resolution = load_dataset(spec.data), network.architecture.resolution
    recipe = spec.train.recipe("fp32").model_copy(update={"epochs": epochs})
    members = [Member(seed=seed, learning_rate=recipe.learning_rate) for seed in seeds]
    training = Training(network.architecture, members, open_split(dataset, "train", resolution), recipe)
    validation = open_split(dataset, "validation", resolution)
    accuracies: list[list[float]] = [[] for _ in members]
    while training.epoch < recipe.epochs:
        training.run_epoch()
        for curve, weights in zip(accuracies, training.weights(), strict=True):
            curve.append(score(network.architecture, weights, validation) / len(validation))
    return accuracies, training.losses


def make_table(spec: Spec) -> dict[str, NDArray[Any]]:
    """The table's arrays; networks that diverge are left out."""
    networks = choose_networks(spec, NETWORKS)
    with ProcessPoolExecutor(max_workers=2) as pool:
        curves = list(
            track(
                pool.map(train_curves, networks, repeat(range(SEEDS)), repeat(spec), repeat(EPOCHS)),
                total=len(networks),
            ),
        )
    names = sorted({name for network in networks for name in network.choice})
    return {
        "accuracy": np.array([accuracy for accuracy, _ in curves], np.float32),
        "loss": np.array([loss for _, loss in curves], np.float32),
        "costs": np.array([[network.costs[name] for name in COSTS] for network in networks], np.int64),
        "cost_names": np.array(COSTS),
        "features": np.array(
            [[n.architecture.resolution, *(n.choice[name] for name in names)] for n in networks], np.int64
        ),
        "feature_names": np.array(["resolution", *names]),
    }


if __name__ == "__main__":
    np.savez_compressed(TABLE, allow_pickle=False, **make_table(quickstart()))
    print(f"wrote {TABLE}")
