"""Pictures of a study of resolution: Sandler et al. 2019, table 4 as a heat map, figures 2, 3 and 9."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from dashboards.grid_points import GridPoint, Table, cell_text, fed_points, isometric_tables, multiplied_points
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
        rows=rows + 1, cols=COLUMNS, subplot_titles=titles, horizontal_spacing=0.07, vertical_spacing=0.16 / (rows + 1)
    )
    for i, (_, draw) in enumerate(panels):
        draw(figure, (1 + i // COLUMNS, 1 + i % COLUMNS))
    for i in range(len(panels), rows * COLUMNS):
        place: dict[str, int] = {"row": 1 + i // COLUMNS, "col": 1 + i % COLUMNS}
        figure.update_xaxes(visible=False, **place)
        figure.update_yaxes(visible=False, **place)
    _add_costs(figure, points, rows + 1)
    title = f"{name}: accuracy on {points[0].split} in %, {points[0].seeds} seeds"
    figure.update_layout(template="plotly_white", title=title, height=120 + PANEL * (rows + 1))
    return figure


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
        for (label, dash, line), colour in zip(lines, _shades(len(lines)), strict=True):
            xs = [point.costs["macs"] for point in line]
            _add_line(figure, line, xs, label, {"color": colour, "dash": dash}, place)
        figure.update_xaxes(title_text="macs", type="log", row=place[0], col=place[1])

    return draw


def _ways(ways: Mapping[tuple[str, int], GridPoint]) -> Draw:
    """A line for each way along the resolution of the image, or of the folded image (figure 2)."""
    names = sorted({name for name, _ in ways})

    def draw(figure: go.Figure, place: Place) -> None:
        for name, colour in zip(names, _shades(len(names)), strict=True):
            line = {side: point for (way, side), point in ways.items() if way == name}
            _add_line(figure, list(line.values()), list(line), name, {"color": colour}, place)
        sides = sorted({side for _, side in ways})
        figure.update_xaxes(title_text="px", type="log", tickvals=sides, row=place[0], col=place[1])

    return draw


def _add_costs(figure: go.Figure, points: Sequence[GridPoint], row: int) -> None:
    """A line for each internal resolution and depth, along the multipliers, at the largest images (figure 9).

    Beside them the other networks, those of one method alike.
    """
    own = _largest([point for point in points if point.is_isometric])
    families = sorted({(point.choice["internal_resolution"], point.choice["depth"]) for point in own})
    others: dict[str, list[GridPoint]] = {}
    for point in points:
        if not point.is_isometric:
            others.setdefault(point.family, []).append(point)
    shades = _shades(len(families) + len(others))
    for column, cost in enumerate(COSTS, start=1):
        for (internal, depth), colour in zip(families, shades, strict=False):
            chosen = [p for p in own if (p.choice["internal_resolution"], p.choice["depth"]) == (internal, depth)]
            label = f"{internal} px internal, depth {depth}"
            xs = [point.costs[cost] for point in chosen]
            _add_line(figure, chosen, xs, label, {"color": colour}, (row, column), shown=column == 1)
        for (family, some), colour in zip(others.items(), shades[len(families) :], strict=True):
            xs = [point.costs[cost] for point in some]
            marked = {"color": colour, "width": 0}
            _add_line(figure, some, xs, family, marked, (row, column), shown=column == 1, mode="markers")
        figure.update_xaxes(title_text=cost.replace("_", " "), type="log", row=row, col=column)


def _add_line(  # noqa: PLR0913
    figure: go.Figure,
    points: Sequence[GridPoint],
    xs: Iterable[float],
    label: str,
    line: Mapping[str, Any],
    place: Place,
    *,
    shown: bool = True,
    mode: str = "lines+markers",
) -> None:
    ordered = sorted(zip(xs, points, strict=True), key=lambda pair: pair[0])
    figure.add_scatter(
        x=[x for x, _ in ordered],
        y=[100 * point.mean for _, point in ordered],
        error_y={"array": [100 * (point.std or 0.0) for _, point in ordered], "thickness": 1},
        text=[point.method for _, point in ordered],
        name=label,
        legendgroup=label,
        showlegend=shown,
        line=dict(line),
        marker={"color": line["color"], "symbol": "star" if label == "base" else "circle"},
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
