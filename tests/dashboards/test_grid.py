"""Tables and pictures of a grid, as data."""

from itertools import product

import pytest

from dashboards.grid import GridPoint, grid_figure, grid_tables
from search_spaces import COSTS, count_cost
from search_spaces.zoo import make_network


def point(depth: int, multiplier: float, internal: int, resolution: int) -> GridPoint:
    text = f"isometric:depth={depth},multiplier={multiplier},internal={internal}"
    costs = count_cost(make_network(text, resolution=resolution, classes=10, channels=1)).bounded()
    mean = (internal + resolution + depth + multiplier) / 100
    return GridPoint(
        depth=depth,
        multiplier=multiplier,
        internal=internal,
        resolution=resolution,
        costs=costs,
        mean=mean,
        std=0.01,
        seeds=3,
        split="test",
    )


POINTS = [point(*axes) for axes in product((1, 2), (0.25, 0.5), (4, 7), (7, 14)) if axes != (2, 0.5, 7, 14)]


def test_a_table_for_each_depth_and_multiplier() -> None:
    tables = grid_tables(POINTS)
    assert [(table.depth, table.multiplier) for table in tables] == [(1, 0.25), (1, 0.5), (2, 0.25), (2, 0.5)]
    assert all((table.internals, table.resolutions) == ((4, 7), (7, 14)) for table in tables)
    for table in tables:
        for internal, row in zip(table.internals, table.cells, strict=True):
            for side, cell in zip(table.resolutions, row, strict=True):
                axes = (table.depth, table.multiplier, internal, side)
                expected = [p for p in POINTS if (p.depth, p.multiplier, p.internal, p.resolution) == axes]
                assert cell == (expected[0] if expected else None)
    assert tables[-1].cells[1][1] is None, "the fullest first, and what is not trained is left open"


def test_the_heat_map_is_the_fullest_table() -> None:
    (heat,) = [trace for trace in grid_figure(POINTS, "s").data if trace.type == "heatmap"]
    assert list(heat.x) == ["7 px", "14 px"]
    assert list(heat.y) == ["4 px", "7 px"]
    assert [list(row) for row in heat.z] == [
        [pytest.approx(100 * (i + r + 1.25) / 100) for r in (7, 14)] for i in (4, 7)
    ]
    assert heat.text[0][0] == "12.2±1.0"


def test_lines_along_widths_resolutions_and_costs() -> None:
    figure = grid_figure(POINTS, "s")
    lines = [trace for trace in figure.data if trace.type == "scatter"]
    trade_off = [trace for trace in lines if trace.xaxis == "x2"]
    assert {trace.name for trace in trade_off} == {
        "widths, 4 px internal", "widths, 7 px internal", "resolutions, m 0.25", "resolutions, m 0.5",
    }  # fmt: skip
    for trace in trade_off:
        assert list(trace.x) == sorted(trace.x)
        assert len(trace.x) == 2
    for place, cost in enumerate(COSTS, start=3):
        own = {trace.name: trace for trace in lines if trace.xaxis == f"x{place}"}
        assert len(own) == 4
        shown = own["4 px internal, depth 2"]
        expected = [p for p in POINTS if (p.internal, p.depth, p.resolution) == (4, 2, 14)]
        assert list(shown.x) == [p.costs[cost] for p in expected]
        assert list(shown.y) == [pytest.approx(100 * p.mean) for p in expected]
