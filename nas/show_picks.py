"""Which networks of a front to look at first, and the front drawn with letters."""

from collections.abc import Sequence
from math import log10

from rich.console import Console

from dashboards import Front
from dashboards.picks import Pick, main_cost
from dashboards.points import Point, make_points, plane_front
from nas.tables import short_number

WIDTH, HEIGHT = 64, 17  # characters; with the axis it fits into 80 columns
LEGEND = "W winner, B base, o front, . others, x over the budget"


def print_picks(console: Console, picks: Sequence[Pick]) -> None:
    """A line for each."""
    for pick in picks:
        if pick.network is None:
            said = f"none, {pick.reason}"
        else:
            costs = [short_number(pick.network.costs[name], digits=4) for name in ("params", "macs")]
            accuracy = f"{100 * pick.network.final.mean:.1f} %"
            said = (
                f"{pick.network.method}, {pick.network.resolution} px: {accuracy}, {costs[0]} params, {costs[1]} MACs"
            )
        console.print(f"{pick.name}, {pick.rule}:", markup=False, highlight=False, soft_wrap=True)
        console.print(f"  {said}", markup=False, highlight=False, soft_wrap=True)


def plot_front(front: Front) -> str:
    """Validation accuracy against the first cost of the objectives, as text of at most 80 columns."""
    cost = main_cost(front.objectives)
    points = [point for point in make_points(front) if point.costs.get(cost, 0) > 0]
    if not points:
        return "nothing to draw: no network has all its seeds yet"
    on_front = {point.id for point in plane_front(points, cost)}
    # what matters most is drawn last, over what stands in the same place
    letters = sorted(((_letter(point, on_front), point) for point in points), key=lambda pair: "x.oBW".index(pair[0]))
    costs = [log10(point.costs[cost]) for point in points]
    accuracies = [100 * point.mean for point in points]
    cells = [[" "] * WIDTH for _ in range(HEIGHT)]
    for letter, point in letters:
        row = HEIGHT - 1 - _place(100 * point.mean, accuracies, HEIGHT)
        cells[row][_place(log10(point.costs[cost]), costs, WIDTH)] = letter
    low, high = min(accuracies), max(accuracies)
    lines = []
    for i, line in enumerate(cells):
        label = f"{high - (high - low) * i / (HEIGHT - 1):6.1f} " if i % 4 == 0 else " " * 7
        lines.append(f"{label}|{''.join(line)}".rstrip())
    left, right = short_number(10 ** min(costs)), short_number(10 ** max(costs))
    axis = f"{cost}, logarithmic"
    ends = f"{left}{axis.center(WIDTH - len(left) - len(right))}{right}"
    title = "validation accuracy in %"
    return "\n".join([title, *lines, " " * 7 + "+" + "-" * WIDTH, " " * 8 + ends, " " * 8 + LEGEND])


def _letter(point: Point, on_front: set[str]) -> str:
    if point.is_winner:
        return "W"
    if point.kind == "base":
        return "B"
    return "x" if not point.feasible else "o" if point.id in on_front else "."


def _place(value: float, values: Sequence[float], size: int) -> int:
    """Which of `size` cells between the least and the largest of the values."""
    low, high = min(values), max(values)
    return 0 if high == low else round((value - low) / (high - low) * (size - 1))
