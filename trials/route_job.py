"""Which images each exit answers: an operating point of networks that are trained, found on scores that were kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from typing import Any, Literal

import numpy as np

from search_spaces import content_id
from trials.calibration import confidences, expected_calibration_error, fit_temperature
from trials.job import JobResult, RouteFigures
from trials.scores import KeptScores
from trials.thresholds import find_frontier, score_thresholds

# Raise it when an operating point is found otherwise: stored ones are then not taken for new ones.
ROUTE_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class RouteJob:
    """Where a dynamic network answers the images of a split, of one seed's weights. S exits.

    On validation thresholds are chosen: the most accurate ones whose expected MACs are at most `bound`. On test those
    are applied.
    """

    scores: tuple[str, ...]  # ids of the jobs that kept the scores, one a network; they know the weights' hashes
    macs: tuple[int, ...]  # [S] for going on to each exit
    bound: float | None  # on the expected multiply-adds of an image; None: no bound
    seed: int
    split: Literal["validation", "test"] = "validation"
    thresholds: tuple[float, ...] = ()
    temperatures: tuple[float, ...] = ()
    kind: Literal["route"] = "route"

    @cached_property
    def id(self) -> str:
        """Content id: equal jobs have equal ids, in every search."""
        return content_id({"route_version": ROUTE_VERSION, **self.to_json()})

    def on_test(self, scores: Sequence[str], found: RouteFigures) -> "RouteJob":
        """The job that applies what was chosen on validation, on the scores of the test split."""
        return replace(
            self, scores=tuple(scores), split="test", thresholds=found.thresholds, temperatures=found.temperatures
        )

    def run(self, kept: Sequence[KeptScores]) -> JobResult:
        """The images that are right, and where they were answered, of the scores of each network.

        Raises ThresholdError where the first exit alone is above the bound.
        """
        labels = kept[0].labels
        exits = [one for of_network in kept for one in of_network.scores]
        temperatures = self.temperatures or tuple(fit_temperature(one, labels) for one in exits)
        found = [confidences(one, temperature) for one, temperature in zip(exits, temperatures, strict=True)]
        confidence = np.stack([one for one, _ in found])
        correct = np.stack([prediction == labels for _, prediction in found])
        if self.split == "validation":
            bound = inf if self.bound is None else self.bound
            point = find_frontier(confidence, correct, self.macs).most_accurate(bound)
        else:
            point = score_thresholds(self.thresholds, confidence, correct, self.macs)
        before = [confidences(one, 1.0) for one in exits]
        return JobResult(
            correct=point.correct,
            images=len(labels),
            weights_sha256="",
            wall_seconds=0.0,
            route=RouteFigures(
                thresholds=point.thresholds,
                temperatures=tuple(temperatures),
                reached=point.reached,
                macs=point.macs,
                ece=tuple(
                    (expected_calibration_error(raw, right), expected_calibration_error(one, right))
                    for (raw, _), one, right in zip(before, confidence, correct, strict=True)
                ),
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` takes back."""
        lists = {name: list(getattr(self, name)) for name in ("scores", "macs", "thresholds", "temperatures")}
        return {"kind": self.kind, "bound": self.bound, "seed": self.seed, "split": self.split, **lists}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "RouteJob":
        """The job that `to_json` wrote."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
        }
        return RouteJob(**values)
