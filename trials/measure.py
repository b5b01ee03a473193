"""Times one training step, on blank images, thrown away."""

import time
from statistics import median

import torch

from search_spaces import Architecture
from search_spaces.build import build
from trials.recipe import Recipe
from trials.train import make_optimizer, train_step

WARM_UP, MEASURED = 2, 5


def measure_step(architecture: Architecture, recipe: Recipe) -> float:
    """Median seconds of a training step on one thread, after a warm-up."""
    torch.set_num_threads(1)
    network = build(architecture)
    optimizer = make_optimizer(network, recipe)
    images = torch.rand(recipe.settings.batch_size, *architecture.input)
    labels = torch.zeros(recipe.settings.batch_size, dtype=torch.int64)
    seconds = []
    for _ in range(WARM_UP + MEASURED):
        start = time.perf_counter()
        train_step(network, optimizer, images, labels)
        seconds.append(time.perf_counter() - start)
    return median(seconds[WARM_UP:])
