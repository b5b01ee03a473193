"""What dynamic networks of a search show: accuracy against expected MACs as thresholds move, and shares of the exits.

MSNet's figure 5 and the cascade report's figures 2.6 and 2.7, beside the networks all of which runs for every image.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from dashboards.front import Front
from dashboards.scored import ScoredNetwork
from trials.calibration import confidences
from trials.job import JobResult, RouteFigures
from trials.route_job import RouteJob
from trials.scores import KeptScores, read_scores
from trials.store import Store
from trials.thresholds import find_frontier, score_thresholds

MOST_POINTS = 200  # of a curve that is drawn


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Accuracy against expected MACs [P] of one seed, cheapest first: of thresholds that validation found."""

    seed: int
    macs: tuple[float, ...]
    validation: tuple[float, ...]
    test_macs: tuple[float, ...] = ()
    test: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SeedPoint:
    """The operating point of a seed: what was chosen on validation, and what it gives on test, where that is known."""

    seed: int
    validation: RouteFigures
    images: int
    test: RouteFigures | None = None
    test_images: int = 0

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
    """A dynamic network with its operating points and curves; `parts` are the trained networks that it consists of."""

    network: ScoredNetwork
    parts: tuple[ScoredNetwork, ...]
    points: tuple[SeedPoint, ...]
    curves: tuple[Curve, ...]

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
    """The dynamic networks of a search, in the order of their first trials; raises CheckpointError for lost scores."""
    networks = {network.id: network for network in front.networks}
    return [
        DynamicNetwork(
            network=network,
            parts=tuple(networks[id_] for id_ in network.stages if id_ in networks),
            points=tuple(_point(store, seed, network.final_job_ids[seed]) for seed in network.final_job_ids),
            curves=tuple(_curve(store, seed, network.final_job_ids[seed]) for seed in network.final_job_ids),
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


def _curve(store: Store, seed: int, job_id: str) -> Curve:
    found, test = _figures(store, job_id)
    assert found.route is not None, "an operating point has figures"
    route = store.route(job_id)
    confidence, correct = _routed(store, route, found.route.temperatures)
    frontier = find_frontier(confidence, correct, route.macs)
    rows = np.unique(np.linspace(0, len(frontier.correct) - 1, MOST_POINTS).round().astype(int))
    images = confidence.shape[1]
    curve = Curve(
        seed=seed,
        macs=tuple((frontier.macs[rows] / images).tolist()),
        validation=tuple((frontier.correct[rows] / images).tolist()),
    )
    if test is None:
        return curve
    on_test = route.on_test([replace(store.job(id_), split="test").id for id_ in route.scores], found.route)
    confidence, correct = _routed(store, on_test, found.route.temperatures)
    counted = [score_thresholds(frontier.thresholds[row], confidence, correct, route.macs) for row in rows]
    images = confidence.shape[1]
    return replace(
        curve,
        test_macs=tuple(one.macs / images for one in counted),
        test=tuple(one.correct / images for one in counted),
    )


def _routed(
    store: Store, route: RouteJob, temperatures: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidences [S, N] of all exits, and whether each is right [S, N]."""
    results = store.results(route.scores)
    kept: list[KeptScores] = [read_scores(store.checkpoints, id_, results[id_].scores_sha256) for id_ in route.scores]
    exits = [one for of_network in kept for one in of_network.scores]
    found = [confidences(one, temperature) for one, temperature in zip(exits, temperatures, strict=True)]
    return np.stack([sure for sure, _ in found]), np.stack([answer == kept[0].labels for _, answer in found])


def dynamic_figure(dynamic: Sequence[DynamicNetwork], front: Front) -> go.Figure:
    """Left accuracy against expected MACs, a line a seed, beside the other networks; right the shares of the exits."""
    tested = all(curve.test for one in dynamic for curve in one.curves)
    split = "test" if tested else "validation"
    titles = (f"{split} accuracy against expected MACs", "share of images by the exit that answers")
    figure = make_subplots(rows=1, cols=2, column_widths=[0.65, 0.35], subplot_titles=titles, horizontal_spacing=0.1)
    colours = sample_colorscale("Turbo", [0.05 + 0.9 * i / max(1, len(dynamic) - 1) for i in range(len(dynamic))])
    for one, colour in zip(dynamic, colours, strict=True):
        _add_curves(figure, one, colour, tested=tested)
    _add_singles(figure, [one for one in front.networks if not one.stages], tested=tested)
    _add_shares(figure, dynamic, tested=tested)
    figure.update_xaxes(title_text="expected MACs", type="log", row=1, col=1)
    figure.update_yaxes(title_text="accuracy in %", row=1, col=1)
    figure.update_layout(template="plotly_white", title=front.name, height=640, barmode="stack")
    return figure


def _add_curves(figure: go.Figure, one: DynamicNetwork, colour: str, *, tested: bool) -> None:
    name = one.network.method
    for i, curve in enumerate(one.curves):
        figure.add_scatter(
            x=curve.test_macs if tested else curve.macs,
            y=[100 * value for value in (curve.test if tested else curve.validation)],
            name=name,
            legendgroup=name,
            showlegend=i == 0,
            line={"color": colour, "width": 1},
            mode="lines",
            row=1,
            col=1,
        )
    score = one.network.test if tested and one.network.test else one.network.final
    points = [_macs(point, tested=tested) for point in one.points]
    figure.add_scatter(
        x=[float(np.mean(points))],
        y=[100 * score.mean],
        error_y={"array": [100 * (score.std or 0.0)]},
        name=f"{name}, chosen",
        legendgroup=name,
        showlegend=False,
        marker={"color": colour, "size": 11, "symbol": "diamond"},
        mode="markers",
        row=1,
        col=1,
    )


def _macs(point: SeedPoint, *, tested: bool) -> float:
    if tested and point.test is not None:
        return point.test.macs / point.test_images
    return point.validation.macs / point.images


def _add_singles(figure: go.Figure, networks: Sequence[ScoredNetwork], *, tested: bool) -> None:
    scores = [one.test if tested and one.test else one.final for one in networks]
    figure.add_scatter(
        x=[one.costs["macs"] for one in networks],
        y=[100 * score.mean for score in scores],
        error_y={"array": [100 * (score.std or 0.0) for score in scores], "thickness": 1},
        text=[f"{one.method}, {one.resolution} px" for one in networks],
        name="all of it for every image",
        marker={"color": "grey", "symbol": "star"},
        mode="markers",
        row=1,
        col=1,
    )


def _add_shares(figure: go.Figure, dynamic: Sequence[DynamicNetwork], *, tested: bool) -> None:
    shares: list[list[float]] = []
    for one in dynamic:
        rows = [
            answered(point.test, point.test_images)
            if tested and point.test
            else answered(point.validation, point.images)
            for point in one.points
        ]
        shares.append(np.mean(rows, axis=0).tolist())
    names = [one.network.method for one in dynamic]
    for exit_ in range(max(map(len, shares))):
        figure.add_bar(
            x=names,
            y=[100 * own[exit_] if exit_ < len(own) else 0 for own in shares],
            name=f"exit {exit_ + 1}",
            marker={"color": sample_colorscale("Viridis", [exit_ / max(1, max(map(len, shares)) - 1)])[0]},
            row=1,
            col=2,
        )
