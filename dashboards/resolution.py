"""What resolution is worth in a search: accuracy by resolution for each approach, with spread.

In a study, Borji's figures 3 (means over originals) and 4 (each original and its solutions) as well.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards.look import INK, SYMBOLS, colour_of, finish
from dashboards.points import Point
from dashboards.scored import ScoredNetwork
from dashboards.study import Estimate, StudyRow

_CHOSEN, _BEST = "#D55E00", "#56B4E9"
_PANEL = 300  # px of height


@dataclass(frozen=True, kw_only=True)
class Original:
    """A network of a study and those of one approach at its cost: resolution, test accuracy (0 to 1), spread of it."""

    method: str
    resolution: int
    number: int
    accuracy: float
    std: float | None
    solutions: tuple[tuple[int, float, float | None], ...]


def study_originals(networks: Sequence[ScoredNetwork]) -> list[Original]:
    """Numbered from 1 within each approach and resolution; of what is scored on test."""
    scored = [network for network in networks if network.test is not None]
    originals = {network.id: network for network in scored if network.id == network.original}
    groups: defaultdict[tuple[str, int], defaultdict[str, list[ScoredNetwork]]] = defaultdict(lambda: defaultdict(list))
    for network in scored:
        if network.id != network.original and network.original in originals:
            groups[network.method, originals[network.original].resolution][network.original].append(network)
    return [
        _original(method, number, originals[id_], found)
        for (method, _), own in sorted(groups.items(), key=lambda item: item[0])
        for number, (id_, found) in enumerate(own.items(), start=1)
    ]


def _original(method: str, number: int, original: ScoredNetwork, solutions: Sequence[ScoredNetwork]) -> Original:
    assert original.test is not None, "only what is scored on test is taken"
    return Original(
        method=method,
        resolution=original.resolution,
        number=number,
        accuracy=original.test.mean,
        std=original.test.std,
        solutions=tuple((one.resolution, one.test.mean, one.test.std) for one in solutions if one.test is not None),
    )


def resolution_figure(points: Sequence[Point]) -> go.Figure:
    """The base, and all networks that keep the budget, by resolution; a line joins the best of each approach."""
    sound = [point for point in points if point.feasible]
    families = sorted({point.family for point in sound if point.kind != "base"})
    figure = go.Figure()
    for family, colour in colour_of(families).items():
        own = sorted((point for point in sound if point.family == family), key=lambda point: point.resolution)
        best = _best_by_resolution(own)
        figure.add_scatter(
            x=[point.resolution for point in best],
            y=[_percent(point.mean) for point in best],
            mode="lines", line={"color": colour, "width": 1}, showlegend=False, hoverinfo="skip", legendgroup=family,
        )  # fmt: skip
        _add_points(figure, own, family, {"color": colour, "size": 8, "symbol": SYMBOLS[own[0].kind]})
    base = [point for point in points if point.kind == "base"]
    if base:
        name, symbol = ("base", "star") if base[0].feasible else ("base, over the budget", "star-open")
        _add_points(figure, base, name, {"color": INK, "size": 15, "symbol": symbol})
    sides = [point.resolution for point in (*sound, *base)]
    figure.update_xaxes(title_text="resolution in px", tickvals=_ticks(sides))
    figure.update_yaxes(title_text="validation accuracy in %")
    return finish(figure)


def _best_by_resolution(points: Sequence[Point]) -> list[Point]:
    """The most accurate at each resolution, in the order of resolutions."""
    best: dict[int, Point] = {}
    for point in points:
        if point.resolution not in best or point.mean > best[point.resolution].mean:
            best[point.resolution] = point
    return list(best.values())


def _ticks(sides: Sequence[int]) -> list[int] | None:
    """The resolutions themselves, where they are few."""
    own = sorted(set(sides))
    return own if len(own) <= 12 else None


def _add_points(figure: go.Figure, points: Sequence[Point], name: str, marker: Mapping[str, object]) -> None:
    figure.add_scatter(
        x=[point.resolution for point in points],
        y=[_percent(point.mean) for point in points],
        error_y={"array": [_percent(point.std or 0.0) for point in points], "thickness": 1, "width": 2},
        text=[point.method for point in points],
        hoverinfo="text+x+y",
        name=name,
        legendgroup=name,
        mode="markers",
        marker=dict(marker),
    )


def study_figure(rows: Sequence[StudyRow]) -> go.Figure:
    """Borji's figure 3: a panel for each approach; originals, and what stands for their solutions."""
    methods = sorted({row.method for row in rows})
    figure = make_subplots(rows=1, cols=len(methods), shared_yaxes=True, subplot_titles=methods)
    for column, method in enumerate(methods, start=1):
        own = sorted((row for row in rows if row.method == method), key=lambda row: row.resolution)
        for name, values, colour in (
            ("originals", [row.original for row in own], INK),
            ("solution best on test (the paper's)", [row.best_on_test for row in own], _BEST),
            ("solution chosen on validation", [row.chosen for row in own], _CHOSEN),
        ):
            _add_estimates(figure, own, values, name, colour, column)
        sides = [row.resolution for row in own]
        figure.update_xaxes(title_text="resolution of the originals in px", tickvals=_ticks(sides), row=1, col=column)
    figure.update_yaxes(title_text="test accuracy in %", row=1, col=1)
    return finish(figure)


def _add_estimates(
    figure: go.Figure, rows: Sequence[StudyRow], values: Sequence[Estimate], name: str, colour: str, column: int
) -> None:
    figure.add_scatter(
        x=[row.resolution for row in rows],
        y=[_percent(value.mean) for value in values],
        error_y={"array": [_percent(value.std or 0.0) for value in values], "thickness": 1, "width": 3},
        name=name,
        legendgroup=name,
        showlegend=column == 1,
        mode="lines+markers",
        marker={"color": colour, "size": 8},
        line={"color": colour, "width": 1},
        row=1,
        col=column,
    )


def originals_figure(originals: Sequence[Original]) -> go.Figure:
    """Borji's figure 4: a panel for each approach and resolution; each original and its solutions one above another."""
    methods = sorted({one.method for one in originals})
    sides = sorted({one.resolution for one in originals})
    figure = make_subplots(
        rows=len(methods),
        cols=len(sides),
        shared_yaxes=True,
        subplot_titles=[f"{method}, {side} px" for method in methods for side in sides],
        vertical_spacing=0.3 / len(methods),
    )
    for i, one in enumerate(originals):
        place = {"row": 1 + methods.index(one.method), "col": 1 + sides.index(one.resolution)}
        figure.add_scatter(
            x=[one.number] * len(one.solutions),
            y=[_percent(accuracy) for _, accuracy, _ in one.solutions],
            error_y={"array": [_percent(std or 0.0) for _, _, std in one.solutions], "thickness": 1, "width": 0},
            text=[f"{side} px" for side, _, _ in one.solutions],
            hoverinfo="text+y",
            name="solutions", legendgroup="solutions", showlegend=i == 0, mode="markers",
            marker={"color": _CHOSEN, "size": 6}, **place,
        )  # fmt: skip
        figure.add_scatter(
            x=[one.number],
            y=[_percent(one.accuracy)],
            error_y={"array": [_percent(one.std or 0.0)], "thickness": 1, "width": 0},
            name="original", legendgroup="original", showlegend=i == 0, mode="markers",
            marker={"color": INK, "size": 11}, **place,
        )  # fmt: skip
    for row in range(1, len(methods) + 1):
        figure.update_yaxes(title_text="test accuracy in %", row=row, col=1)
    figure.update_xaxes(title_text="original", dtick=1, row=len(methods))
    return finish(figure, height=140 + _PANEL * len(methods))


def _percent(share: float) -> float:
    return round(100 * share, 3)
