"""Times training steps, on noise, thrown away."""

import time
from statistics import median

import numpy as np
import torch

from search_spaces import Architecture
from trials.images import Split
from trials.recipe import Recipe
from trials.train import Member, Training

WARM_UP, MEASURED = 2, 5


def measure_step(
    architecture: Architecture, recipe: Recipe, *, members: int = 1, device: str = "cpu", measured: int = MEASURED
) -> float:
    """Median seconds of a training step of so many fused members on one thread, after a warm-up."""
    threads = torch.get_num_threads()  # of the worker that is about to train
    torch.set_num_threads(1)
    noise = np.random.default_rng(0)
    count = recipe.batch_size
    data = Split(
        pixels=noise.integers(0, 256, (count, *architecture.input), np.uint8),
        indices=torch.arange(count),
        labels=torch.arange(count) % architecture.output[0],
        mean=torch.full((1, architecture.input[0], 1, 1), 0.5),
        std=torch.full((1, architecture.input[0], 1, 1), 0.25),
    )
    rate = recipe.learning_rate
    training = Training(
        architecture,
        [Member(seed=seed, learning_rate=rate) for seed in range(members)],
        data,
        recipe.model_copy(update={"epochs": WARM_UP + measured}),
        device,
    )
    seconds = []
    for _ in range(WARM_UP + measured):
        start = time.perf_counter()
        training.run_epoch()  # of one batch; ends with reading the loss, so a GPU is waited for
        seconds.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    return median(seconds[WARM_UP:])
