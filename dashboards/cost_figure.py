"""Accuracy against one cost: every trained network of a search, what keeps the budget, the front, base and winner."""

from collections.abc import Sequence
from math import log10
from typing import Any

import plotly.graph_objects as go

from dashboards.look import COST_NAMES, GREY, INK, SYMBOLS, colour_of, cost_axis, finish
from dashboards.points import Point, plane_front

MOST_SPREADS = 120  # networks up to which all have error bars; of more, front, base and winner alone


def cost_figure(points: Sequence[Point], cost: str, bound: float | None) -> go.Figure:
    """Of the networks whose cost is known; `bound` is the budget's."""
    shown = [point for point in points if cost in point.costs]
    few = len(shown) <= MOST_SPREADS
    figure = go.Figure()
    over = [point for point in shown if not point.feasible and point.kind != "base"]
    if over:
        look = {"symbol": "x-thin", "size": 9, "color": GREY, "line": {"color": GREY, "width": 2}}
        _add(figure, over, cost, "over the budget", look, spread=few)
    sound = [point for point in shown if point.feasible]
    colours = colour_of(sorted({point.family for point in shown if point.kind != "base"}))
    for family, colour in colours.items():
        own = [point for point in sound if point.family == family and point.kind != "base"]
        if own:
            name = f"{family} (baseline)" if own[0].kind == "baseline" else family
            edges = [INK if point.on_front else colour for point in own]
            look = {"symbol": SYMBOLS[own[0].kind], "size": 9, "color": colour, "line": {"color": edges, "width": 1.5}}
            _add(figure, own, cost, name, look, spread=few)
    base = [point for point in shown if point.kind == "base"]
    if base:
        kept = base[0].feasible
        look = {"symbol": "star" if kept else "star-open", "size": 15, "color": INK if kept else GREY}
        _add(figure, base, cost, "base" if kept else "base, over the budget", look, spread=True)
    _add_front(figure, plane_front(shown, cost), cost, spread=not few)
    _add_winner(figure, [point for point in shown if point.is_winner], cost)
    values = [point.costs[cost] for point in shown]
    if bound is not None and bound <= 4 * max(values, default=0):
        figure.add_vline(x=bound, line={"color": GREY, "dash": "dash", "width": 1})
        figure.add_annotation(
            x=_place(bound, values), y=0.02, yref="paper", text="budget", showarrow=False, xanchor="right",
            font={"color": GREY, "size": 12},
        )  # fmt: skip
    figure.update_xaxes(**cost_axis([*values, *([bound] if bound else [])], cost))
    figure.update_yaxes(title_text="validation accuracy in %")
    return finish(figure)


def cost_title(cost: str) -> str:
    """What stands above it."""
    return f"Accuracy against {COST_NAMES.get(cost, cost)}"


def _place(bound: float, values: Sequence[float]) -> float:
    """Plotly wants the logarithm for annotations on a logarithmic axis."""
    return log10(bound) if cost_axis([*values, bound], "")["type"] == "log" else bound


def _add(
    figure: go.Figure, points: Sequence[Point], cost: str, name: str, marker: dict[str, Any], *, spread: bool
) -> None:
    error = {"array": [_percent(point.std or 0.0) for point in points], "thickness": 1, "width": 2, "color": GREY}
    figure.add_scatter(
        x=[point.costs[cost] for point in points],
        y=[_percent(point.mean) for point in points],
        error_y=error if spread else None,
        text=[f"{point.method}, {point.resolution} px" for point in points],
        hoverinfo="text+x+y",
        name=name,
        mode="markers",
        marker=marker,
    )


def _add_front(figure: go.Figure, front: Sequence[Point], cost: str, *, spread: bool) -> None:
    error = {"array": [_percent(point.std or 0.0) for point in front], "thickness": 1, "width": 2, "color": GREY}
    figure.add_scatter(
        x=[point.costs[cost] for point in front],
        y=[_percent(point.mean) for point in front],
        error_y=error if spread else None,
        name="front of these two",
        mode="lines",
        line={"color": INK, "width": 1, "shape": "hv"},
        hoverinfo="skip",
    )


def _add_winner(figure: go.Figure, winner: Sequence[Point], cost: str) -> None:
    if winner:
        look = {"symbol": "circle-open", "size": 20, "color": "#C00000", "line": {"width": 2.5}}
        _add(figure, winner, cost, "winner", look, spread=False)


def _percent(share: float) -> float:
    return round(100 * share, 3)
