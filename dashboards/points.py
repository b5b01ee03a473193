"""The trained networks of a search as points: accuracy with its spread, costs, and what each of them is."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from moocore import is_nondominated

from dashboards.front import Front
from dashboards.scored import ScoredNetwork

Kind: TypeAlias = Literal["base", "baseline", "candidate"]
BASELINES = ("uniform", "convcut", "morphnet", "magnitude", "multipliers", "compound")  # names of methods in the spec


@dataclass(frozen=True, kw_only=True)
class Point:
    """A trained network: what a winner is named by (`mean` over `seeds` with sample standard deviation, 0 to 1).

    `family` is the method's name in the spec, `fresh` says whether its seeds are fresh ones, `on_front` whether it
    stands on the search's front of all objectives.
    """

    id: str
    method: str
    family: str
    kind: Kind
    resolution: int
    costs: Mapping[str, float]
    mean: float
    std: float | None
    seeds: int
    fresh: bool
    feasible: bool
    on_front: bool
    is_winner: bool

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"costs": dict(self.costs)}


def make_points(front: Front) -> list[Point]:
    """All networks of a search that have all their seeds, the base first."""
    on_front = {network.id for network in front.front}
    winner = front.winner.id if front.winner else None
    points = [
        Point(
            id=network.id,
            method=network.method,
            family=family_of(network),
            kind=kind_of(network),
            resolution=network.resolution,
            costs=network.costs,
            mean=network.final.mean,
            std=network.final.std,
            seeds=len(network.final.by_seed),
            fresh=network.confirmed is not None,
            feasible=network.feasible,
            on_front=network.id in on_front,
            is_winner=network.id == winner,
        )
        for network in front.networks
    ]
    return sorted(points, key=lambda point: point.kind != "base")


def family_of(network: ScoredNetwork) -> str:
    """The method's name in the spec; in stores that do not say it, the label's first word."""
    return network.family or re.sub(r"-[0-9]+$", "", network.method.partition(" ")[0])


def kind_of(network: ScoredNetwork) -> Kind:
    """What a network is in a comparison."""
    if network.method == "base":
        return "base"
    return "baseline" if family_of(network) in BASELINES else "candidate"


def plane_front(points: Sequence[Point], cost: str) -> list[Point]:
    """Of the networks that keep the budget those that no other beats in accuracy and this one cost, cheapest first."""
    sound = [point for point in points if point.feasible and cost in point.costs]
    if not sound:
        return []
    values = np.array([[point.mean, point.costs[cost]] for point in sound])
    keep = is_nondominated(values, maximise=[True, False], keep_weakly=False)
    return sorted((p for p, kept in zip(sound, keep, strict=True) if kept), key=lambda point: point.costs[cost])


def bounds_of(front: Front) -> dict[str, float]:
    """The budget in numbers, as the base's costs and slack tell it; empty before the base is trained, or in a study."""
    known = front.base or next(iter(front.networks), None)
    if known is None or front.study:
        return {}
    return {name: known.costs[name] - slack for name, slack in known.slack.items() if name in known.costs}
