"""Ray Tune with its defaults: each network a trial, trained in full by hand-written code. Prints the best one's id."""

import sys
from pathlib import Path
from typing import Any

import torch
from ray import tune

from benchmarks.make_curves import choose_networks
from benchmarks.naive import digit_loaders, score, train_epoch
from nas.spec import read_spec
from search_spaces import Architecture
from search_spaces.build import build
from trials.dataset import load_dataset


def train(config: dict[str, Any]) -> None:
    """One network in full; validation accuracy after every epoch."""
    architecture, spec = Architecture.from_json(config["architecture"]), read_spec(Path(config["spec"]))
    training, validation = digit_loaders(load_dataset(spec.data), architecture.resolution)
    torch.manual_seed(0)
    module = build(architecture)
    optimizer = torch.optim.Adadelta(module.parameters())
    for _ in range(spec.train.epochs):
        train_epoch(module, optimizer, training, float("inf"))
        tune.report({"accuracy": score(module, validation)})


if __name__ == "__main__":
    path, count = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    networks = choose_networks(read_spec(path), count)[1:]
    space = {
        "architecture": tune.grid_search([network.architecture.to_json() for network in networks]),
        "spec": str(path),
    }
    results = tune.Tuner(train, param_space=space, tune_config=tune.TuneConfig(metric="accuracy", mode="max")).fit()
    best = results.get_best_result().config
    assert best is not None
    print(Architecture.from_json(best["architecture"]).id)
