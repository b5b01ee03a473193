"""What `nas dynamic` shows and draws."""

from pathlib import Path

import numpy as np
from rich.console import Console

from dashboards import Front, read_front
from dashboards.dynamic import DynamicNetwork, SeedPoint, answered, dynamic_figure, read_dynamic
from nas.figures import write_figure
from nas.show import percent
from nas.tables import make_table, short_number
from search_spaces import LATENCY, LATENCY_WORST, MACS_WORST, NasError
from trials.store import Store


def load_dynamic(name: str, storage: str) -> tuple[list[DynamicNetwork], Front]:
    """The dynamic networks of a search, and its front; raises NasError where it has none."""
    with Store(storage) as store:
        front = read_front(store, name)
        found = read_dynamic(store, front)
    if not found:
        raise NasError(
            f"search {name!r} must have dynamic networks to show them, but has none: put msnet or cascade among its "
            "methods, and run nas search to its end"
        )
    return found, front


def print_dynamic(console: Console, found: list[DynamicNetwork], front: Front) -> None:
    """A row for each network with its costs, then one for each exit of it."""
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
        "network", "exit", "answers", "above", "temperature", "error", "calibrated", title="exits", left=("network",)
    )
    for one in found:
        for i, cells in enumerate(_exits(one.points)):
            exits.add_row(one.network.method if i == 0 else "", str(i + 1), *cells)
    console.print(exits)
    console.print(
        "means over seeds; answers: share of the images, on test where that is known; error: expected calibration "
        "error before and after the temperature, on validation",
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


def draw_dynamic(found: list[DynamicNetwork], front: Front, path: Path) -> None:
    """The picture as one file that opens without a network."""
    write_figure(dynamic_figure(found, front), path)
