"""Tables and pictures of a grid, as data."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from dashboards.front import Front
from dashboards.grid import grid_figure
from dashboards.grid_points import GridPoint, cell_text, grid_points, grid_tables, said_scores
from dashboards.scored import Score, ScoredNetwork
from search_spaces import COSTS, Architecture, count_cost
from search_spaces.feeding import WAYS, feed
from search_spaces.widths import scale_widths
from search_spaces.zoo import make_network


def point(depth: int, multiplier: float, internal: int, resolution: int) -> GridPoint:
    text = f"isometric:depth={depth},multiplier={multiplier},internal={internal}"
    network = make_network(text, resolution=resolution, classes=10, channels=1)
    choice = {"depth": depth, "multiplier": multiplier, "internal_resolution": internal}
    name = f"isometric l{depth} m{multiplier:g} d{internal}"
    return trained("isometric", name, network, choice, (internal + resolution + depth + multiplier) / 100)


def trained(family: str, method: str, network: Architecture, choice: dict[str, float], mean: float) -> GridPoint:
    return GridPoint(
        method=method,
        family=family,
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
        shown = next(trace for trace in lines if (trace.xaxis, trace.name) == (f"x{place}", "4 px internal, depth 2"))
        smaller = own["4 px internal, depth 2"]
        assert (smaller.marker.symbol, smaller.mode, smaller.marker.color) == (
            "circle-open",
            "markers",
            shown.line.color,
        )
        expected = [p for p in POINTS if (axes_of(p)[2], axes_of(p)[0], p.resolution) == (4, 2, 14)]
        assert list(shown.x) == [p.costs[cost] for p in expected]
        assert list(shown.y) == [pytest.approx(100 * p.mean) for p in expected]


BASE = make_network("mobilenet_v3_small:alpha=0.25", resolution=28, classes=10, channels=1)
FED = [
    trained("base", "base", BASE, {}, 0.9),
    *(
        trained(
            "feeding",
            f"{way} x{factor}",
            feed(BASE, way, factor),
            {"factor": factor, "nominal_resolution": 28},
            0.5 + place / 10,
        )
        for factor in (2, 4)
        for place, way in enumerate(WAYS)
    ),
    trained(
        "multipliers", "width x0.5", scale_widths(BASE, 0.5), {"width_multiplier": 0.5, "depth_multiplier": 1.0}, 0.7
    ),
    trained(
        "multipliers",
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
        assert set(own) == {"base", "multipliers", *WAYS}
        assert list(own["base"].x) == [FED[0].costs[cost]]
        assert own["base"].mode == "markers"


ISOMETRIC_BASE = replace(point(1, 0.5, 4, 8), method="base", family="base")


def test_an_isometric_base_is_in_all_tables() -> None:
    network = make_network("isometric:depth=1,multiplier=0.5,internal=4", resolution=8, classes=10, channels=1)
    points = [
        ISOMETRIC_BASE,
        trained("feeding", "upsample x2", feed(network, "upsample", 2), {"factor": 2, "nominal_resolution": 8}, 0.6),
        trained("multipliers", "width x0.5", scale_widths(network, 0.5), {"width_multiplier": 0.5}, 0.7),
        point(1, 0.5, 4, 4),
    ]
    isometric, ways, multipliers = grid_tables(points)
    assert isometric.cells[0][1] == ISOMETRIC_BASE
    assert (ways.rows, ways.cells[1][1]) == (("upsample", "resolution"), ISOMETRIC_BASE)
    assert [row[0] for row in multipliers.cells] == [points[2], ISOMETRIC_BASE]


def test_a_network_of_two_methods_is_in_the_tables_of_both() -> None:
    """Half the resolution is a way to feed and a multiplier, whichever label is first."""
    half = feed(BASE, "resolution", 2)
    choice = {"factor": 2, "nominal_resolution": 28, "width_multiplier": 1.0, "depth_multiplier": 1.0}
    for family, name in (("feeding", "resolution x0.5"), ("isometric", "isometric l2 m0.5 d2")):
        shared = trained(family, name, half, choice, 0.8)
        ways, multipliers = grid_tables([FED[0], shared, *FED[-2:]])
        assert ways.cells[0] == (shared, FED[0])
        assert multipliers.cells[1] == (shared, FED[0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([{}, {}], "test accuracy in %; 3 seeds"),
        ([{"split": "validation"}, {"split": "validation"}], "validation accuracy in %; 3 seeds"),
        ([{"fresh": True}, {}], "test accuracy in %; 3 fresh seeds of base and front (1), 3 seeds of the others (1)"),
        ([{"seeds": 1}, {"split": "validation"}, {}], "test accuracy in %, * on validation; 1 seed of 1, 3 seeds of 2"),
    ],
)  # fmt: skip
def test_what_the_accuracies_are_is_said(changes: list[dict[str, Any]], said: str) -> None:
    points = [replace(POINTS[i], **change) for i, change in enumerate(changes)]
    assert said_scores(points) == said
    assert said in grid_figure(points, "s").layout.title.text


def test_one_colour_and_one_entry_a_name_and_all_networks() -> None:
    points = [ISOMETRIC_BASE, *POINTS, *FED[1:]]
    figure = grid_figure(points, "s")
    lines = [trace for trace in figure.data if trace.type == "scatter"]
    colours: dict[str, set[str]] = {}
    for trace in lines:
        colours.setdefault(trace.name, set()).add(trace.marker.color)
    assert all(len(found) == 1 for found in colours.values())
    assert len({next(iter(found)) for found in colours.values()}) == len(colours)
    shown = [trace.name for trace in lines if trace.showlegend]
    assert sorted(shown) == sorted(colours)
    last = [trace for trace in lines if trace.xaxis == lines[-1].xaxis]
    assert {text for trace in last for text in trace.text} == {p.method for p in points}
    assert next(trace for trace in last if trace.name == "base").marker.symbol == "star"


def scored(method: str, family: str, test: bool, confirmed: bool = False, **choice: float) -> ScoredNetwork:
    own, fresh = Score(by_seed={0: 0.5, 1: 0.6}, images=10), Score(by_seed={2: 0.7}, images=10)
    return ScoredNetwork(
        id=method, method=method, resolution=28, costs=dict.fromkeys(COSTS, 1), slack={}, validation=own,
        confirmed=fresh if confirmed else None, test=(fresh if confirmed else own) if test else None, seconds=1.0,
        job_ids={}, choice=choice, family=family,
    )  # fmt: skip


def test_points_of_a_search_that_is_not_finished() -> None:
    networks = (
        scored("base", "base", test=True, confirmed=True),
        scored("width x0.5", "multipliers", test=True),
        scored("dilated", "dilated", test=False),
        scored("uniform", "uniform", test=True),
    )
    front = Front(
        name="s", complete=False, base=networks[0], front=(), winner=None, trained=3, unconfirmed=(), failed=(),
        study=(), networks=networks, compares=True, data={},
    )  # fmt: skip
    points = grid_points(front)
    assert [(p.method, p.split, p.fresh, p.mark) for p in points] == [
        ("base", "test", True, ""), ("width x0.5", "test", False, ""), ("dilated", "validation", False, "*"),
    ]  # fmt: skip
    assert cell_text(points[2], " ± ") == "55.0 ± 7.1*"
    assert said_scores(points) == (
        "test accuracy in %, * on validation; 1 fresh seed of base and front (1), 2 seeds of the others (2)"
    )
    assert grid_points(replace(front, networks=networks[::3])) == [], "none of them is about resolution"


def test_stores_that_do_not_name_the_method() -> None:
    names = {
        "skip-stride x2": "feeding", "resolution x0.5 width": "multipliers", "width x2": "multipliers",
        "parallel-batch-first x2": "parallel", "isometric l2 m1 d7": "isometric", "compound 1/1/1.2": "compound",
    }  # fmt: skip
    networks = tuple(scored(name, "", test=True) for name in names)
    front = Front(
        name="s", complete=True, base=None, front=(), winner=None, trained=6, unconfirmed=(), failed=(), study=(),
        networks=networks, compares=True, data={},
    )  # fmt: skip
    assert {p.method: p.family for p in grid_points(front)} == names
