"""What `nas dynamic` shows and draws."""

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from dashboards import Front, read_front
from dashboards.dynamic import dynamic_figure
from dashboards.dynamic_points import DynamicNetwork, SeedPoint, SeedScores, answered, read_dynamic, read_seeds
from dashboards.scored import Score
from nas.figures import write_figure
from nas.show import percent
from nas.tables import make_table, short_number
from search_spaces import LATENCY, LATENCY_WORST, MACS_WORST, NasError
from trials.fields import parse_number
from trials.store import Store
from trials.thresholds import Frontier, OperatingPoint, ThresholdError


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What an operating point must keep: at most so many expected MACs, or at least this accuracy (0 to 1)."""

    macs: float | None = None
    accuracy: float | None = None

    def point(self, frontier: Frontier) -> OperatingPoint:
        """The most accurate one, or the cheapest, on validation. Raises ThresholdError where none is."""
        if self.macs is not None:
            return frontier.most_accurate(self.macs)
        assert self.accuracy is not None, "a wish wants one of the two"
        return frontier.cheapest(self.accuracy)

    def __str__(self) -> str:
        if self.macs is not None:
            return f"at most {self.macs:,.15g} expected MACs"
        return f"validation accuracy of at least {self.accuracy:.15g}"


def read_wish(macs: str | None, accuracy: float | None) -> Wish | None:
    """What was asked for, if anything; raises NasError for both, and for what no network can keep."""
    if macs is None and accuracy is None:
        return None
    if macs is not None and accuracy is not None:
        raise NasError("--macs and --accuracy must not both be given; leave one out")
    if accuracy is not None and not 0 < accuracy <= 1:
        raise NasError(f"--accuracy must be a share above 0 and at most 1, but is {accuracy:g}")
    if macs is None:
        return Wish(accuracy=accuracy)
    try:
        number = parse_number(macs)
    except ValueError as error:
        raise NasError(f"--macs must be a number such as 2M, but is {macs!r}") from error
    if not 0 < number < inf:
        raise NasError(f"--macs must be above 0, but is {macs}")
    return Wish(macs=float(number))


@dataclass(frozen=True, kw_only=True)
class Dynamics:
    """The dynamic networks of a search, and their kept scores by id, where these were read."""

    networks: list[DynamicNetwork]
    front: Front
    seeds: dict[str, tuple[SeedScores, ...]]


def load_dynamic(name: str, storage: str, *, scores: bool) -> Dynamics:
    """The dynamic networks of a search; raises NasError where it has none, or kept scores are wanted and lost."""
    with Store(storage) as store:
        front = read_front(store, name)
        found = read_dynamic(store, front)
        if not found:
            raise NasError(
                f"search {name!r} must have dynamic networks to show them, but has none: put msnet or cascade among "
                "its methods, and run nas search to its end"
            )
        seeds = {one.network.id: read_seeds(store, one.network) for one in found} if scores else {}
    return Dynamics(networks=found, front=front, seeds=seeds)


def grant(found: Dynamics, wish: Wish) -> list[dict[str, Any]]:
    """For each network and seed the operating point that validation chooses, and what it gives on both splits.

    Networks that differ in their bound alone stand there once. Raises ThresholdError where no network keeps the wish.
    """
    rows, reasons = [], []
    for one in {one.network.stages: one for one in reversed(found.networks)}.values():
        points = []
        try:
            for seed in found.seeds[one.network.id]:
                point = wish.point(seed.frontier)
                splits = {"validation": point, "test": seed.on_test(point)}
                points.append(
                    {"seed": seed.seed, "thresholds": point.thresholds}
                    | {name: _figures(split) for name, split in splits.items() if split is not None}
                )
        except ThresholdError as error:
            reasons.append(error)
            continue
        method = one.network.method.partition(" at ")[0]
        rows.append({"id": one.network.id, "method": method, "params": one.network.costs["params"], "points": points})
    if not rows:
        raise reasons[0]
    return rows[::-1]


def _figures(point: OperatingPoint) -> dict[str, float]:
    return {"accuracy": point.accuracy, "expected_macs": point.expected_macs}


def print_granted(console: Console, rows: list[dict[str, Any]], wish: Wish) -> None:
    """A row for each network: means over its seeds, and the spread of accuracy."""
    table = make_table(
        "network",
        "params",
        "above",
        "validation",
        "MACs",
        "test",
        "MACs",
        title=f"{wish}, accuracy in %",
        left=("network",),
    )
    for row in rows:
        cells = []
        for split in ("validation", "test"):
            own = [point[split] for point in row["points"] if split in point]
            accuracy = Score(by_seed=dict(enumerate(one["accuracy"] for one in own)), images=0)
            macs = short_number(float(np.mean([one["expected_macs"] for one in own])), digits=4) if own else ""
            cells += [percent(accuracy) if own else "", macs]
        thresholds = np.mean([point["thresholds"] for point in row["points"]], axis=0)
        above = ", ".join(f"{threshold:.3f}" for threshold in thresholds)
        table.add_row(row["method"], short_number(row["params"], digits=4), above, *cells)
    console.print(table)
    console.print(
        "thresholds are chosen on validation, seed by seed, and applied to test as they are; test only of networks "
        "that the search scored there",
        highlight=False,
        soft_wrap=True,
    )


def print_dynamic(console: Console, dynamics: Dynamics) -> None:
    """A row for each network with its costs, then one for each exit of it."""
    found, front = dynamics.networks, dynamics.front
    timed = any(LATENCY in one.network.costs for one in found)
    columns = ("network", "params", "MACs", "at worst", *(("ms", "worst") if timed else ()), "validation", "test")
    table = make_table(*columns, title=f"{front.name}: dynamic networks, accuracy in %", left=("network",))
    for one in found:
        network = one.network
        costs = network.costs["params"], network.costs["macs"], network.costs[MACS_WORST]
        scores = percent(network.final), percent(network.test) if network.test else ""
        times = [f"{network.costs[name]:.4g}" for name in (LATENCY, LATENCY_WORST)] if timed else []
        table.add_row(network.method, *(short_number(cost, digits=4) for cost in costs), *times, *scores)
    console.print(table)
    exits = make_table(
        "network", "exit", "answers", "above", "temperature", "ECE", "after", title="exits", left=("network",)
    )
    for one in found:
        for i, cells in enumerate(_exits(one.points)):
            exits.add_row(one.network.method if i == 0 else "", str(i + 1), *cells)
    console.print(exits)
    console.print(
        "means over seeds; answers: share of the images, on test where that is known; ECE: expected calibration "
        "error on validation, before and after the temperature",
        highlight=False,
        soft_wrap=True,
    )


def _exits(points: tuple[SeedPoint, ...]) -> list[list[str]]:
    shares = np.mean(
        [answered(p.test, p.test_images) if p.test else answered(p.validation, p.images) for p in points], 0
    )
    thresholds = np.mean([p.validation.thresholds for p in points], 0)
    temperatures = np.mean([p.validation.temperatures for p in points], 0)
    errors = np.mean([p.validation.ece for p in points], 0)
    return [
        [
            f"{share:.1%}",
            f"{thresholds[i]:.3f}" if i < len(thresholds) else "",
            f"{temperatures[i]:.2f}",
            f"{errors[i][0]:.1%}",
            f"{errors[i][1]:.1%}",
        ]
        for i, share in enumerate(shares)
    ]


def draw_dynamic(found: Dynamics, path: Path) -> None:
    """The picture as one file that opens without a network."""
    write_figure(dynamic_figure(found.networks, found.seeds, found.front), path)
