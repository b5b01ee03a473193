"""How a search's front grew: its hypervolume over finished trainings and over time. M objectives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from moocore import hypervolume, is_nondominated
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from dashboards.front import Front
from dashboards.look import COLOURS, COST_NAMES, finish
from dashboards.points import bounds_of
from dashboards.scored import ScoredNetwork

BEYOND = 1.1  # of a cost's bound: methods scale networks to the bound itself, and those must count


@dataclass(frozen=True, kw_only=True)
class Course:
    """Hypervolume after each training that made a network known: how many were finished, and seconds since the start.

    A share of the box between the `reference` point and accuracy 1 at no cost. `hypervolumes` never falls.
    """

    reference: Mapping[str, float]
    trainings: tuple[int, ...]
    seconds: tuple[float, ...]
    hypervolumes: tuple[float, ...]


def reference_point(front: Front, classes: int) -> dict[str, float] | None:
    """The worst that counts: accuracy of chance; of each cost 1.1 times the budget, or the base's where it has none.

    None where that is not known yet, or measured of some networks only.
    """
    costs = {**(front.base.costs if front.base else {}), **bounds_of(front)}
    known = {name: BEYOND * cost for name, cost in costs.items()} | {"accuracy": 1 / classes}
    return {name: known[name] for name in front.objectives} if known.keys() >= set(front.objectives) else None


def hypervolume_of(networks: Sequence[ScoredNetwork], reference: Mapping[str, float]) -> float:
    """Of those that keep the budget, by the accuracy that a winner is named by; a share of the box."""
    values = _values(networks, reference, found=False)
    return _volume(values, reference)


def read_course(front: Front, reference: Mapping[str, float], seconds: Mapping[str, float]) -> Course | None:
    """In the order in which results came; by the accuracy of the seeds that networks are found with.

    `seconds` are those of jobs. None where no network keeps the budget.
    """
    known: list[tuple[float, ScoredNetwork]] = []
    ends: list[float] = []
    for network in front.networks:
        own = [seconds.get(network.job_ids[seed], 0.0) for seed in network.validation.by_seed]
        known.append((max(own), network))
        ends += [] if network.stages else own  # dynamic networks are known by what was trained before
    ends.sort()
    best, course = np.empty((0, len(reference))), []
    for end, network in sorted(known, key=lambda pair: pair[0]):
        own_values = _values([network], reference, found=True)
        if not len(own_values):
            continue
        best = np.concatenate([best, own_values])
        best = best[is_nondominated(best, maximise=_directions(reference), keep_weakly=False)]
        course.append((int(np.searchsorted(ends, end, side="right")), end, _volume(best, reference)))
    if not course:
        return None
    trainings, times, volumes = zip(*course, strict=True)
    return Course(reference=reference, trainings=trainings, seconds=times, hypervolumes=volumes)


def _values(networks: Sequence[ScoredNetwork], reference: Mapping[str, float], *, found: bool) -> NDArray[np.float64]:
    """Objectives [networks, M] of those that keep the budget and have all costs."""
    rows = [
        [(n.validation if found else n.final).mean if name == "accuracy" else n.costs[name] for name in reference]
        for n in networks
        if n.feasible and all(name in n.costs for name in reference if name != "accuracy")
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(reference))


def _directions(reference: Mapping[str, float]) -> list[bool]:
    return [name == "accuracy" for name in reference]


def _volume(values: NDArray[np.float64], reference: Mapping[str, float]) -> float:
    if not len(values):
        return 0.0
    worst = np.array(list(reference.values()))
    best = np.array([1.0 if name == "accuracy" else 0.0 for name in reference])
    scaled = np.abs(values - best) / np.abs(worst - best)  # 0 at the best that can be, 1 at the reference
    return float(hypervolume(scaled, ref=np.ones(len(worst))))


def hypervolume_figure(course: Course) -> go.Figure:
    """Steps, over finished trainings and over hours."""
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.06)
    last = course.seconds[-1]
    unit, divisor = ("hours", 3600) if last > 7200 else ("minutes", 60)
    times = [round(one / divisor, 4) for one in course.seconds]
    for column, (xs, title) in enumerate(
        ((list(course.trainings), "finished trainings"), (times, f"{unit} since the search began")), start=1
    ):
        figure.add_scatter(
            x=xs,
            y=[round(one, 5) for one in course.hypervolumes],
            mode="lines+markers",
            line={"color": COLOURS[0], "shape": "hv", "width": 2},
            marker={"size": 4},
            showlegend=False,
            row=1,
            col=column,
        )
        figure.update_xaxes(title_text=title, rangemode="tozero", row=1, col=column)
    figure.update_yaxes(title_text="hypervolume, share of the box", tickformat=".3~g", row=1, col=1)
    return finish(figure, height=380)


def said_reference(reference: Mapping[str, float]) -> str:
    """The reference point in words."""
    costs = [
        f"{format(value, ',.0f' if value >= 1000 else ',.4g')} {COST_NAMES.get(name, name)}"
        for name, value in reference.items()
        if name != "accuracy"
    ]
    return ", ".join([f"accuracy of chance ({100 * reference['accuracy']:.3g} %)", *costs])
