"""Tables and pictures of a grid, as data."""

from itertools import product

import pytest

from dashboards.grid import grid_figure
from dashboards.grid_points import GridPoint, grid_tables
from search_spaces import COSTS, Architecture, count_cost
from search_spaces.feeding import WAYS, feed
from search_spaces.widths import scale_widths
from search_spaces.zoo import make_network


def point(depth: int, multiplier: float, internal: int, resolution: int) -> GridPoint:
    text = f"isometric:depth={depth},multiplier={multiplier},internal={internal}"
    network = make_network(text, resolution=resolution, classes=10, channels=1)
    choice = {"depth": depth, "multiplier": multiplier, "internal_resolution": internal}
    name = f"isometric l{depth} m{multiplier:g} d{internal}"
    return trained(name, network, choice, (internal + resolution + depth + multiplier) / 100)


def trained(method: str, network: Architecture, choice: dict[str, float], mean: float) -> GridPoint:
    return GridPoint(
        method=method,
        resolution=network.resolution,
        choice=choice,
        costs=count_cost(network).bounded(),
        mean=mean,
        std=0.01,
        seeds=3,
        split="test",
    )


def axes_of(p: GridPoint) -> tuple[float, ...]:
    return *(p.choice[name] for name in ("depth", "multiplier", "internal_resolution")), p.resolution


POINTS = [point(*axes) for axes in product((1, 2), (0.25, 0.5), (4, 7), (7, 14)) if axes != (2, 0.5, 7, 14)]


def test_a_table_for_each_depth_and_multiplier() -> None:
    tables = grid_tables(POINTS)
    names = [f"isometric, depth {depth}, multiplier {m}" for depth, m in ((1, 0.25), (1, 0.5), (2, 0.25), (2, 0.5))]
    assert [table.title for table in tables] == names, "the fullest first"
    by_axes = {axes_of(p): p for p in POINTS}
    for table, (depth, multiplier) in zip(tables, product((1, 2), (0.25, 0.5)), strict=True):
        assert (table.corner, table.rows, table.columns) == (
            "internal",
            ("4 px", "7 px"),
            ("7 px input", "14 px input"),
        )
        for internal, row in zip((4, 7), table.cells, strict=True):
            for side, cell in zip((7, 14), row, strict=True):
                assert cell == by_axes.get((depth, multiplier, internal, side))
    assert tables[-1].cells[1][1] is None, "what is not trained is left open"


def test_the_heat_map_is_the_fullest_table() -> None:
    (heat,) = [trace for trace in grid_figure(POINTS, "s").data if trace.type == "heatmap"]
    assert list(heat.x) == ["7 px input", "14 px input"]
    assert list(heat.y) == ["4 px internal", "7 px internal"]
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
    for place, cost in enumerate(COSTS, start=4):
        own = {trace.name: trace for trace in lines if trace.xaxis == f"x{place}"}
        assert len(own) == 4
        shown = own["4 px internal, depth 2"]
        expected = [p for p in POINTS if (axes_of(p)[2], axes_of(p)[0], p.resolution) == (4, 2, 14)]
        assert list(shown.x) == [p.costs[cost] for p in expected]
        assert list(shown.y) == [pytest.approx(100 * p.mean) for p in expected]


BASE = make_network("mobilenet_v3_small:alpha=0.25", resolution=28, classes=10, channels=1)
FED = [
    trained("base", BASE, {}, 0.9),
    *(
        trained(
            f"{way} x{factor}", feed(BASE, way, factor), {"factor": factor, "nominal_resolution": 28}, 0.5 + place / 10
        )
        for factor in (2, 4)
        for place, way in enumerate(WAYS)
    ),
    trained("width x0.5", scale_widths(BASE, 0.5), {"width_multiplier": 0.5, "depth_multiplier": 1.0}, 0.7),
    trained(
        "width x0.5 resolution x0.5",
        scale_widths(feed(BASE, "resolution", 2), 0.5),
        {"width_multiplier": 0.5, "resolution_multiplier": 0.5, "depth_multiplier": 1.0},
        0.6,
    ),
]


def test_tables_of_ways_to_feed_and_of_multipliers() -> None:
    ways, multipliers = grid_tables(FED)
    assert (ways.title, ways.rows, ways.columns) == (
        "fed in other ways, made for 28 px",
        WAYS,
        ("7 px", "14 px", "28 px"),
    )
    for place, row in enumerate(ways.cells):
        assert [cell and round(cell.mean, 1) for cell in row[:2]] == [round(0.5 + place / 10, 1)] * 2
    assert [row[2] and row[2].method for row in ways.cells] == [None, None, None, None, "base"]
    assert (multipliers.rows, multipliers.columns) == (("x0.5", "x1"), ("7 px", "14 px", "28 px"))
    names = [[cell and cell.method for cell in row] for row in multipliers.cells]
    assert names == [[None, "width x0.5 resolution x0.5", "width x0.5"], ["resolution x4", "resolution x2", "base"]]


def test_pictures_of_ways_and_multipliers() -> None:
    figure = grid_figure(FED, "s")
    lines = [trace for trace in figure.data if trace.type == "scatter"]
    assert {trace.name for trace in lines if trace.xaxis == "x"} == {
        "widths, 14 px", "widths, 28 px", "resolutions, width x0.5", "resolutions, width x1",
    }  # fmt: skip
    ways = {trace.name: trace for trace in lines if trace.xaxis == "x2"}
    assert set(ways) == set(WAYS)
    assert list(ways["resolution"].x) == [7, 14, 28]
    assert list(ways["space-to-depth"].x) == [7, 14], "of the folded image"
    for place, cost in enumerate(COSTS, start=4):
        own = {trace.name: trace for trace in lines if trace.xaxis == f"x{place}"}
        assert set(own) == {"base", "width", *WAYS}
        assert list(own["base"].x) == [FED[0].costs[cost]]
        assert own["base"].mode == "markers"
