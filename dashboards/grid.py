"""What a grid of isometric networks shows: input against internal resolution, width against resolution, costs.

Sandler et al. 2019: table 4, figures 3 and 9.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from dashboards.front import Front, Score
from search_spaces import COSTS

Family = tuple[int, float]  # depth, multiplier


@dataclass(frozen=True, kw_only=True)
class GridPoint:
    """A trained network of a grid, with its accuracy on test, or on validation while it has none there."""

    depth: int
    multiplier: float
    internal: int
    resolution: int
    costs: Mapping[str, float]
    mean: float
    std: float | None
    seeds: int
    split: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"costs": dict(self.costs)}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Accuracies of one depth and multiplier: a row an internal resolution, a column an input resolution (table 4)."""

    depth: int
    multiplier: float
    internals: tuple[int, ...]
    resolutions: tuple[int, ...]
    cells: tuple[tuple[GridPoint | None, ...], ...]


def grid_points(front: Front) -> list[GridPoint]:
    """The trained networks of a search that are points of a grid."""
    found = []
    for network in front.networks:
        choice = network.choice
        if {"depth", "multiplier", "internal_resolution"} <= set(choice):
            score: Score = network.test or network.validation
            found.append(
                GridPoint(
                    depth=int(choice["depth"]),
                    multiplier=float(choice["multiplier"]),
                    internal=int(choice["internal_resolution"]),
                    resolution=network.resolution,
                    costs={name: network.costs[name] for name in COSTS},
                    mean=score.mean,
                    std=score.std,
                    seeds=len(score.by_seed),
                    split="test" if network.test else "validation",
                )
            )
    return found


def grid_tables(points: Sequence[GridPoint]) -> list[Table]:
    """One table for each depth and multiplier, those with the most networks first."""
    families: dict[Family, list[GridPoint]] = {}
    for point in points:
        families.setdefault((point.depth, point.multiplier), []).append(point)
    tables = [_table(family, own) for family, own in families.items()]
    return sorted(tables, key=lambda table: (-_filled(table), table.depth, table.multiplier))


def _filled(table: Table) -> int:
    return sum(cell is not None for row in table.cells for cell in row)


def _table(family: Family, points: Iterable[GridPoint]) -> Table:
    places = {(point.internal, point.resolution): point for point in points}
    internals = tuple(sorted({internal for internal, _ in places}))
    resolutions = tuple(sorted({resolution for _, resolution in places}))
    return Table(
        depth=family[0],
        multiplier=family[1],
        internals=internals,
        resolutions=resolutions,
        cells=tuple(tuple(places.get((internal, side)) for side in resolutions) for internal in internals),
    )


def grid_figure(points: Sequence[GridPoint], name: str) -> go.Figure:
    """Above the fullest table as a heat map, and accuracy by MACs along widths and resolutions; below by all costs."""
    titles = ("input against internal resolution", "width against internal resolution", *map(_title, COSTS))
    places = [[{}, {"colspan": 2}, None], [{}, {}, {}]]
    figure = make_subplots(
        rows=2, cols=3, specs=places, subplot_titles=titles, horizontal_spacing=0.08, vertical_spacing=0.14
    )
    _add_heat_map(figure, grid_tables(points)[0])
    _add_trade_off(figure, points)
    _add_costs(figure, points)
    figure.update_layout(template="plotly_white", title=f"{name}: accuracy on {points[0].split} in %", height=860)
    return figure


def _title(cost: str) -> str:
    return f"accuracy against {cost.replace('_', ' ')}"


def _add_heat_map(figure: go.Figure, table: Table) -> None:
    figure.add_heatmap(
        z=[[None if cell is None else 100 * cell.mean for cell in row] for row in table.cells],
        x=[f"{side} px" for side in table.resolutions],
        y=[f"{side} px" for side in table.internals],
        text=[[_cell(cell) for cell in row] for row in table.cells],
        texttemplate="%{text}",
        colorscale="Viridis",
        showscale=False,
        name=f"depth {table.depth}, multiplier {table.multiplier:g}",
        row=1,
        col=1,
    )
    figure.update_xaxes(title_text="input", row=1, col=1)
    figure.update_yaxes(title_text=f"internal (depth {table.depth}, m {table.multiplier:g})", row=1, col=1)


def _cell(point: GridPoint | None) -> str:
    if point is None:
        return ""
    return f"{100 * point.mean:.1f}" + ("" if point.std is None else f"±{100 * point.std:.1f}")


def _add_trade_off(figure: go.Figure, points: Sequence[GridPoint]) -> None:
    """At the largest images and the depth that most networks have: a line along widths, a line along resolutions."""
    side = max(point.resolution for point in points)
    own = [point for point in points if point.resolution == side]
    depths = [point.depth for point in own]
    own = [point for point in own if point.depth == max(set(depths), key=lambda depth: (depths.count(depth), depth))]
    lines: list[tuple[str, str, list[GridPoint]]] = [
        *((f"widths, {d} px internal", "solid", [p for p in own if p.internal == d]) for d in _values(own, "internal")),
        *((f"resolutions, m {m:g}", "dot", [p for p in own if p.multiplier == m]) for m in _values(own, "multiplier")),
    ]
    for (label, dash, line), colour in zip(lines, _shades(len(lines)), strict=True):
        if len(line) > 1:
            _add_line(figure, line, "macs", label, {"color": colour, "dash": dash}, (1, 2))
    figure.update_xaxes(title_text="macs", type="log", row=1, col=2)


def _add_costs(figure: go.Figure, points: Sequence[GridPoint]) -> None:
    """A line for each internal resolution and depth, along the multipliers, at the largest images (figure 9)."""
    side = max(point.resolution for point in points)
    families = sorted({(point.internal, point.depth) for point in points if point.resolution == side})
    for (internal, depth), colour in zip(families, _shades(len(families)), strict=True):
        line = [p for p in points if (p.internal, p.depth, p.resolution) == (internal, depth, side)]
        for column, cost in enumerate(COSTS, start=1):
            label = f"{internal} px internal, depth {depth}"
            _add_line(figure, line, cost, label, {"color": colour}, (2, column), shown=column == 1)
            figure.update_xaxes(title_text=cost.replace("_", " "), type="log", row=2, col=column)


def _add_line(  # noqa: PLR0913
    figure: go.Figure,
    points: Sequence[GridPoint],
    cost: str,
    label: str,
    line: Mapping[str, Any],
    place: tuple[int, int],
    *,
    shown: bool = True,
) -> None:
    ordered = sorted(points, key=lambda point: point.costs[cost])
    figure.add_scatter(
        x=[point.costs[cost] for point in ordered],
        y=[100 * point.mean for point in ordered],
        error_y={"array": [100 * (point.std or 0.0) for point in ordered], "thickness": 1},
        name=label,
        legendgroup=label,
        showlegend=shown,
        line=dict(line),
        mode="lines+markers",
        row=place[0],
        col=place[1],
    )


def _values(points: Sequence[GridPoint], name: str) -> list[Any]:
    return sorted({getattr(point, name) for point in points})


def _shades(count: int) -> list[str]:
    return list(sample_colorscale("Turbo", [0.05 + 0.9 * i / max(1, count - 1) for i in range(count)]))
