"""An export of what networks became that were trained in full: scored, routed anew, stated as a search states it."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from torch import Tensor

from nas.export_dynamic import count_dynamic
from nas.export_format import (
    FORMAT_VERSION,
    Accuracy,
    Costs,
    Data,
    Exit,
    ExportedNetwork,
    Found,
    Split,
    Training,
    Weights,
)
from search_spaces import LATENCY, LATENCY_WORST
from search_spaces.exits import exit_costs
from trials.checkpoint import weights_bytes
from trials.data import Dataset, SplitName, channel_statistics
from trials.images import open_split
from trials.job import Job, RouteFigures
from trials.keep_scores import exit_scores
from trials.route_job import RouteJob
from trials.scores import KeptScores
from trials.source_facts import public_name
from trials.train import score
from trials.weights import sha256

Tensors = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Retrained:
    """The networks of a file with the weights of one more training each, and the images of that."""

    info: ExportedNetwork
    jobs: tuple[Job, ...]
    weights: tuple[Tensors, ...]
    dataset: Dataset
    preset: str
    goes_on: bool  # from the weights of the file
    device: str = "cpu"

    @property
    def seed(self) -> int:
        """Of all networks."""
        return self.jobs[0].seed


@dataclass(frozen=True, kw_only=True)
class _Scored:
    """Right images by split, and what else of the file changes with the weights."""

    correct: Mapping[SplitName, int]
    changes: Mapping[str, Any]


def export_retrained(found: Retrained, weights_file: str) -> tuple[ExportedNetwork, bytes]:
    """The file and its weights; test is scored here, once."""
    scored = _score_one(found) if found.info.dynamic is None else _score_routed(found)
    content = weights_bytes(
        found.weights[0]
        if found.info.dynamic is None
        else {f"networks.{i}.{name}": tensor for i, own in enumerate(found.weights) for name, tensor in own.items()}
    )
    accuracies = {split: _accuracy(found, split, scored.correct[split]) for split in scored.correct}
    means, stds = channel_statistics(found.dataset)
    changes: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "preprocessing": found.info.preprocessing.model_copy(update={"mean": means, "std": stds}),
        "validation_accuracy": accuracies["validation"],
        "test_accuracy": accuracies["test"],
        "training": _training(found),
        "data": _data(found),
        "weights": Weights(
            file=weights_file,
            sha256=sha256(content),
            seed=found.seed,
            validation_accuracy=accuracies["validation"].mean,
            test_accuracy=accuracies["test"].mean,
        ),
        "versions": {name: version(name) for name in ("nas-service", "torch")} | {"python": platform.python_version()},
        "found": found.info.found or _as_found(found.info),
        **scored.changes,
    }
    return found.info.model_copy(update=changes), content


def _accuracy(found: Retrained, split: SplitName, correct: int) -> Accuracy:
    images = len(found.dataset.splits[split])
    accuracy = correct / images
    return Accuracy(mean=accuracy, std=None, n=1, images=images, by_seed={str(found.seed): accuracy})


def _training(found: Retrained) -> Training:
    recipe = found.jobs[0].recipe
    start = found.info.weights.sha256 if found.goes_on else ""
    return Training(preset=found.preset, epochs=recipe.epochs, seeds=1, recipe=recipe, start_sha256=start)


def _data(found: Retrained) -> Data:
    settings, dataset = found.jobs[0].data, found.dataset
    return Data(
        source=public_name(settings.source),
        side=settings.side,
        fingerprint=dataset.fingerprint,
        split=Split(**settings.split.model_dump()),
        split_fingerprint=dataset.split_fingerprint,
        sizes={split: len(rows) for split, rows in dataset.splits.items()},
    )


def _as_found(info: ExportedNetwork) -> Found:
    return Found(
        training=info.training,
        data=info.data,
        validation_accuracy=info.validation_accuracy,
        test_accuracy=info.test_accuracy,
    )


def _score_one(found: Retrained) -> _Scored:
    (job,), (weights,) = found.jobs, found.weights
    splits: tuple[SplitName, ...] = ("validation", "test")
    parts = {split: open_split(found.dataset, split, job.architecture.resolution) for split in splits}
    correct = {split: score(job.architecture, weights, data, found.device) for split, data in parts.items()}
    return _Scored(correct=correct, changes={})


def _score_routed(found: Retrained) -> _Scored:
    """Temperatures and thresholds found anew on validation, and applied on test.

    Latency is left out, also of the budget: its mean depends on where images leave, and nothing was measured here.
    """
    info, networks = found.info, [job.architecture for job in found.jobs]
    assert info.dynamic is not None
    macs = tuple(cost.macs for network in networks for cost in exit_costs(network))
    route = RouteJob(scores=(), macs=macs, bound=info.dynamic.bound, seed=found.seed)
    validation = route.run(_kept(found, "validation"))
    assert validation.route is not None, "an operating point has figures"
    test = route.on_test((), validation.route).run(_kept(found, "test"))
    assert test.route is not None, "an operating point has figures"
    dynamic = info.dynamic.model_copy(update={"exits": _exits(info.dynamic.exits, validation.route, test.route)})
    counted = count_dynamic(dynamic, networks)
    budget = {name: bound for name, bound in info.budget.items() if name not in (LATENCY, LATENCY_WORST)}
    return _Scored(
        correct={"validation": validation.correct, "test": test.correct},
        changes={
            "dynamic": dynamic,
            "costs": Costs.model_validate({name: counted[name] for name in Costs.model_fields if name in counted}),
            "latency": None,
            "budget": budget,
            "slack": {name: round(counted[name] - bound, 6) for name, bound in budget.items()},
        },
    )


def _kept(found: Retrained, split: SplitName) -> list[KeptScores]:
    kept = []
    for job, weights in zip(found.jobs, found.weights, strict=True):
        data = open_split(found.dataset, split, job.architecture.resolution)
        scores = exit_scores(job.architecture, weights, data, found.device)
        kept.append(KeptScores(scores=scores.numpy(), labels=data.labels.numpy()))
    return kept


def _exits(exits: list[Exit], validation: RouteFigures, test: RouteFigures) -> list[Exit]:
    thresholds: list[float | None] = [*validation.thresholds, None]
    return [
        one.model_copy(
            update={
                "threshold": thresholds[i],
                "temperature": validation.temperatures[i],
                "reached": {"validation": validation.reached[i], "test": test.reached[i]},
            }
        )
        for i, one in enumerate(exits)
    ]
