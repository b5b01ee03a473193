"""Pictures of a study of resolution: Sandler et al. 2019, table 4 as a heat map, figures 2, 3 and 9."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from dashboards.grid_points import (
    OF_FOLDED,
    GridPoint,
    Table,
    cell_text,
    fed_points,
    isometric_tables,
    multiplied_points,
    said_scores,
)
from search_spaces import COSTS

Place: TypeAlias = tuple[int, int]
Draw: TypeAlias = Callable[[go.Figure, Place], None]
Line: TypeAlias = tuple[str, str, list[GridPoint]]  # label, dash, points
COLUMNS = len(COSTS)
PANEL = 380  # px of height


def grid_figure(points: Sequence[GridPoint], name: str) -> go.Figure:
    """The panels that the points make, then accuracy against each cost."""
    panels = _panels(points)
    rows = -(-len(panels) // COLUMNS)
    titles = [title for title, _ in panels] + [""] * (rows * COLUMNS - len(panels))
    titles += [f"accuracy against {cost.replace('_', ' ')}" for cost in COSTS]
    figure = make_subplots(
        rows=rows + 1, cols=COLUMNS, subplot_titles=titles, horizontal_spacing=0.07, vertical_spacing=0.24 / (rows + 1)
    )
    for i, (_, draw) in enumerate(panels):
        draw(figure, (1 + i // COLUMNS, 1 + i % COLUMNS))
    for i in range(len(panels), rows * COLUMNS):
        place: dict[str, int] = {"row": 1 + i // COLUMNS, "col": 1 + i % COLUMNS}
        figure.update_xaxes(visible=False, **place)
        figure.update_yaxes(visible=False, **place)
    _add_costs(figure, points, rows + 1)
    _name_once(figure)
    title = f"{name}: {said_scores(points)}"
    figure.update_annotations(font_size=13)  # titles of panels: neighbours must not meet
    figure.update_layout(template="plotly_white", title=title, height=120 + PANEL * (rows + 1))
    return figure


def _name_once(figure: go.Figure) -> None:
    """One colour for each name, in all panels, and one entry of the legend."""
    named: dict[str, list[Any]] = {}
    for trace in figure.select_traces(selector={"type": "scatter"}):
        named.setdefault(trace.name, []).append(trace)
    for traces, colour in zip(named.values(), _shades(len(named)), strict=True):
        for i, trace in enumerate(traces):
            trace.update(showlegend=i == 0, line_color=colour, marker_color=colour)


def _panels(points: Sequence[GridPoint]) -> list[tuple[str, Draw]]:
    """Titles, and what draws each."""
    panels: list[tuple[str, Draw]] = [
        (f"input against internal ({table.title.removeprefix('isometric, ')})", _heat_map(table))
        for table in isometric_tables(points)[:1]
    ]
    for title, lines in (
        ("width against internal resolution (isometric)", _isometric_lines(points)),
        ("width against resolution (multipliers)", _multiplier_lines(points)),
    ):
        if lines:
            panels.append((title, _trade_off(lines)))
    panels += [
        (f"ways to feed a network made for {nominal} px", _ways(ways))
        for nominal, ways in sorted(fed_points(points).items())
    ]
    return panels


def _heat_map(table: Table) -> Draw:
    def draw(figure: go.Figure, place: Place) -> None:
        figure.add_heatmap(
            z=[[None if cell is None else 100 * cell.mean for cell in row] for row in table.cells],
            x=list(table.columns),
            y=[f"{row} internal" for row in table.rows],
            text=[[cell_text(cell, "±") for cell in row] for row in table.cells],
            texttemplate="%{text}",
            colorscale="Viridis",
            showscale=False,
            name=table.title,
            row=place[0],
            col=place[1],
        )
        figure.update_yaxes(tickangle=-90, row=place[0], col=place[1])

    return draw


def _isometric_lines(points: Sequence[GridPoint]) -> list[Line]:
    """At the largest images and the depth that most networks have: a line along widths, a line along resolutions."""
    own = _largest([point for point in points if point.is_isometric])
    depths = [point.choice["depth"] for point in own]
    own = [p for p in own if p.choice["depth"] == max(set(depths), key=lambda depth: (depths.count(depth), depth))]
    internals, multipliers = (
        sorted({point.choice[axis] for point in own}) for axis in ("internal_resolution", "multiplier")
    )
    return _long(
        *(
            (f"widths, {d} px internal", "solid", [p for p in own if p.choice["internal_resolution"] == d])
            for d in internals
        ),
        *((f"resolutions, m {m:g}", "dot", [p for p in own if p.choice["multiplier"] == m]) for m in multipliers),
    )


def _multiplier_lines(points: Sequence[GridPoint]) -> list[Line]:
    """The same of plain multipliers, at the base's depth."""
    own = {(width, side): point for (width, depth, side), point in multiplied_points(points).items() if depth == 1}
    widths, sides = (sorted({place[axis] for place in own}) for axis in (0, 1))
    return _long(
        *((f"widths, {s} px", "solid", [p for (_, side), p in own.items() if side == s]) for s in sides),
        *((f"resolutions, width x{w:g}", "dot", [p for (width, _), p in own.items() if width == w]) for w in widths),
    )


def _long(*lines: Line) -> list[Line]:
    return [line for line in lines if len(line[2]) > 1]


def _trade_off(lines: Sequence[Line]) -> Draw:
    def draw(figure: go.Figure, place: Place) -> None:
        for label, dash, line in lines:
            _add_line(figure, line, [point.costs["macs"] for point in line], label, place, line={"dash": dash})
        figure.update_xaxes(title_text="macs", type="log", row=place[0], col=place[1])

    return draw


def _ways(ways: Mapping[tuple[str, int], GridPoint]) -> Draw:
    """A line for each way along the resolution of the image, or of the folded image (figure 2)."""
    names = sorted({name for name, _ in ways})

    def draw(figure: go.Figure, place: Place) -> None:
        for name in names:
            line = {side: point for (way, side), point in ways.items() if way == name}
            _add_line(figure, list(line.values()), list(line), name, place)
        sides = sorted({side for _, side in ways})
        figure.update_xaxes(title_text=OF_FOLDED, type="log", tickvals=sides, row=place[0], col=place[1])

    return draw


def _add_costs(figure: go.Figure, points: Sequence[GridPoint], row: int) -> None:
    """A line for each internal resolution and depth, along the multipliers, at the largest images (figure 9).

    Beside them all other networks: isometric ones on smaller images as open markers, those of one method alike, the
    base as a star whatever it is.
    """
    own = sorted((point for point in points if point.is_isometric), key=_isometric_kind)
    on_largest = _largest(own)
    lines = _grouped(on_largest, _isometric_name)
    drawn = {id(point) for point in on_largest}
    smaller = _grouped([point for point in own if id(point) not in drawn and not point.is_base], _isometric_name)
    others = _grouped([point for point in points if not point.is_isometric or point.is_base], lambda point: point.kind)
    for column, cost in enumerate(COSTS, start=1):
        for groups, mode, symbol in (
            (lines, "lines+markers", "circle"),
            (smaller, "markers", "circle-open"),
            (others, "markers", "circle"),
        ):
            for name, some in groups.items():
                xs, shown = [point.costs[cost] for point in some], "star" if name == "base" else symbol
                _add_line(figure, some, xs, name, (row, column), mode=mode, symbol=shown)
        figure.update_xaxes(title_text=cost.replace("_", " "), type="log", row=row, col=column)


def _isometric_kind(point: GridPoint) -> tuple[float, float]:
    return point.choice["internal_resolution"], point.choice["depth"]


def _isometric_name(point: GridPoint) -> str:
    return f"{point.choice['internal_resolution']} px internal, depth {point.choice['depth']}"


def _grouped(points: Sequence[GridPoint], name_of: Callable[[GridPoint], str]) -> dict[str, list[GridPoint]]:
    """The points by their names."""
    groups: dict[str, list[GridPoint]] = {}
    for point in points:
        groups.setdefault(name_of(point), []).append(point)
    return groups


def _add_line(  # noqa: PLR0913
    figure: go.Figure,
    points: Sequence[GridPoint],
    xs: Iterable[float],
    label: str,
    place: Place,
    *,
    line: Mapping[str, Any] | None = None,
    mode: str = "lines+markers",
    symbol: str = "circle",
) -> None:
    ordered = sorted(zip(xs, points, strict=True), key=lambda pair: pair[0])
    figure.add_scatter(
        x=[x for x, _ in ordered],
        y=[100 * point.mean for _, point in ordered],
        error_y={"array": [100 * (point.std or 0.0) for _, point in ordered], "thickness": 1},
        text=[f"{point.method}{point.mark}" for _, point in ordered],
        name=label,
        legendgroup=label,
        line=dict(line or {}),
        marker={"symbol": symbol},
        mode=mode,
        row=place[0],
        col=place[1],
    )


def _largest(points: Sequence[GridPoint]) -> list[GridPoint]:
    """Those on the largest images."""
    side = max((point.resolution for point in points), default=0)
    return [point for point in points if point.resolution == side]


def _shades(count: int) -> list[str]:
    return list(sample_colorscale("Turbo", [0.05 + 0.9 * i / max(1, count - 1) for i in range(count)]))
