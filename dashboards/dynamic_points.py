"""What dynamic networks of a search do: the operating points that were chosen, and all others that could have been.

S exits, N images, P points.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboards.front import Front
from dashboards.scored import ScoredNetwork
from trials.calibration import confidences
from trials.job import JobResult, RouteFigures
from trials.route_job import RouteJob
from trials.scores import KeptScores, read_scores
from trials.store import Store
from trials.thresholds import Frontier, OperatingPoint, find_frontier, score_thresholds

MOST_POINTS = 100  # of a curve that is drawn

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class SeedPoint:
    """The operating point of a seed: what was chosen on validation, and what it gives on test, where that is known."""

    seed: int
    validation: RouteFigures
    images: int
    test: RouteFigures | None = None
    test_images: int = 0

    def expected_macs(self, *, tested: bool) -> float:
        """MACs an image, on test where that is known and asked for."""
        if tested and self.test is not None:
            return self.test.macs / self.test_images
        return self.validation.macs / self.images

    def to_json(self) -> dict[str, Any]:
        """Plain data, with shares in place of counts."""
        found: dict[str, Any] = {
            "seed": self.seed,
            "thresholds": self.validation.thresholds,
            "temperatures": self.validation.temperatures,
        }
        for split, figures, images in (
            ("validation", self.validation, self.images),
            ("test", self.test, self.test_images),
        ):
            if figures is not None:
                found[split] = {
                    "expected_macs": figures.macs / images,
                    "answered": answered(figures, images),
                    "calibration_error": [{"before": before, "after": after} for before, after in figures.ece],
                }
        return found


@dataclass(frozen=True, kw_only=True)
class DynamicNetwork:
    """A dynamic network with its operating points; `parts` are the trained networks that it consists of."""

    network: ScoredNetwork
    parts: tuple[ScoredNetwork, ...]
    points: tuple[SeedPoint, ...]

    def to_json(self) -> dict[str, Any]:
        """The listing of `nas dynamic --json`."""
        return {
            **self.network.to_json(),
            "parts": [{"id": one.id, "method": one.method, "resolution": one.resolution} for one in self.parts],
            "points": [point.to_json() for point in self.points],
        }


def answered(figures: RouteFigures, images: int) -> list[float]:
    """Shares of the images that each exit answers."""
    reached = [*figures.reached, 0]
    return [(here - beyond) / images for here, beyond in pairwise(reached)]


def read_dynamic(store: Store, front: Front) -> list[DynamicNetwork]:
    """The dynamic networks of a search, in the order of their first trials."""
    networks = {network.id: network for network in front.networks}
    return [
        DynamicNetwork(
            network=network,
            parts=tuple(networks[id_] for id_ in network.stages if id_ in networks),
            points=tuple(_point(store, seed, network.final_job_ids[seed]) for seed in network.final_job_ids),
        )
        for network in front.networks
        if network.stages
    ]


def _figures(store: Store, job_id: str) -> tuple[JobResult, JobResult | None]:
    """An operating point's result on validation, and on test where it is known."""
    found = store.results([job_id])[job_id]
    test_id = store.on_test(job_id, found)
    return found, store.results([test_id]).get(test_id)


def _point(store: Store, seed: int, job_id: str) -> SeedPoint:
    found, test = _figures(store, job_id)
    assert found.route is not None, "an operating point has figures"
    return SeedPoint(
        seed=seed,
        validation=found.route,
        images=found.images,
        test=test.route if test else None,
        test_images=test.images if test else 0,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class SeedScores:
    """What thresholds of a seed can be moved over: the frontier on validation, and the test images, where scored.

    `test` are confidences and correctness [S, N]; `macs` [S] those of going on to each exit.
    """

    seed: int
    frontier: Frontier
    macs: tuple[int, ...]
    test: tuple[Floats, Booleans] | None

    def on_test(self, point: OperatingPoint) -> OperatingPoint | None:
        """What the thresholds of a point give on the test images."""
        return score_thresholds(point.thresholds, *self.test, self.macs) if self.test else None


def read_seeds(store: Store, network: ScoredNetwork) -> tuple[SeedScores, ...]:
    """The kept scores of a dynamic network, seed by seed; raises CheckpointError where they are lost."""
    return tuple(_read_seed(store, seed, job_id) for seed, job_id in network.final_job_ids.items())


def _read_seed(store: Store, seed: int, job_id: str) -> SeedScores:
    found, test = _figures(store, job_id)
    assert found.route is not None, "an operating point has figures"
    route = store.route(job_id)
    frontier = find_frontier(*_routed(store, route, found.route.temperatures), route.macs)
    if test is None:
        return SeedScores(seed=seed, frontier=frontier, macs=route.macs, test=None)
    on_test = route.on_test([replace(store.job(id_), split="test").id for id_ in route.scores], found.route)
    scored = _routed(store, on_test, found.route.temperatures)
    return SeedScores(seed=seed, frontier=frontier, macs=route.macs, test=scored)


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Mean accuracy and expected MACs [P] over seeds, and the former's sample standard deviation, as bounds rise."""

    macs: Floats
    accuracy: Floats
    std: Floats


def mean_curve(seeds: Sequence[SeedScores], *, tested: bool) -> Curve:
    """What the best thresholds on validation give under rising bounds on expected MACs, on test or on validation.

    Each seed has thresholds of its own at each bound, as in a search.
    """
    first = max(one.frontier.expected_macs[0] for one in seeds)
    last = max(one.frontier.expected_macs[-1] for one in seeds)
    bounds = np.unique(np.geomspace(max(first, 1.0), max(last, 1.0), MOST_POINTS).clip(first, max(first, last)))
    rows = []
    for one in seeds:
        chosen = [one.frontier.most_accurate(bound) for bound in bounds.tolist()]
        shown = [one.on_test(point) for point in chosen] if tested else chosen
        rows.append([(point.expected_macs, point.accuracy) for point in shown if point is not None])
    macs, accuracy = np.moveaxis(np.array(rows), 2, 0)
    std = accuracy.std(axis=0, ddof=1) if len(seeds) > 1 else np.zeros(len(bounds))
    return Curve(macs=macs.mean(axis=0), accuracy=accuracy.mean(axis=0), std=std)


def _routed(store: Store, route: RouteJob, temperatures: Sequence[float]) -> tuple[Floats, Booleans]:
    """Confidences [S, N] of all exits, and whether each is right [S, N]."""
    results = store.results(route.scores)
    kept: list[KeptScores] = [read_scores(store.checkpoints, id_, results[id_].scores_sha256) for id_ in route.scores]
    exits = [one for of_network in kept for one in of_network.scores]
    found = [confidences(one, temperature) for one, temperature in zip(exits, temperatures, strict=True)]
    return np.stack([sure for sure, _ in found]), np.stack([answer == kept[0].labels for _, answer in found])
