"""Networks as points, and the picture of accuracy against a cost, as data."""

import pytest

from dashboards.cost_figure import MOST_SPREADS, cost_figure
from dashboards.points import bounds_of, make_points, plane_front
from tests.dashboards.fronts import front, network

NETWORKS = [
    network("a", 0.6, 20),
    network("base", 0.7, 50),
    network("uniform", 0.65, 40, family="uniform"),
    network("over", 0.9, 200),
    network("b", 0.8, 90, fresh=(0.0, 0.02), latency=3.0),
    network("c", 0.55, 95),
]
FRONT = front(NETWORKS, ("a", "uniform", "base", "b"))
POINTS = make_points(FRONT)


def test_points_say_what_each_network_is() -> None:
    assert [(p.method, p.kind, p.feasible, p.on_front, p.is_winner, p.fresh) for p in POINTS] == [
        ("base", "base", True, True, False, False),
        ("a", "candidate", True, True, False, False),
        ("uniform", "baseline", True, True, False, False),
        ("over", "candidate", False, False, False, False),
        ("b", "candidate", True, True, True, True),
        ("c", "candidate", True, False, False, False),
    ]
    assert POINTS[4].mean == pytest.approx(0.81)
    assert POINTS[4].seeds == 2
    assert POINTS[1].std == pytest.approx(0.01)


def test_what_keeps_the_budget_and_is_not_beaten_makes_the_line() -> None:
    assert [point.method for point in plane_front(POINTS, "macs")] == ["a", "uniform", "base", "b"]
    assert [point.method for point in plane_front(POINTS, "latency_ms")] == ["b"]
    assert bounds_of(FRONT) == {"params": 1000.0, "macs": 100.0}


def test_each_kind_has_marks_of_its_own() -> None:
    found = cost_figure(POINTS, "macs", 100.0)
    named = {trace.name: trace for trace in found.data}
    assert set(named) == {"over the budget", "isometric", "uniform (baseline)", "base", "front of these two", "winner"}
    assert (list(named["over the budget"].x), named["over the budget"].marker.symbol) == ([200.0], "x-thin")
    assert (list(named["base"].x), list(named["base"].y), named["base"].marker.symbol) == ([50.0], [70.0], "star")
    assert named["uniform (baseline)"].marker.symbol == "square"
    assert list(named["isometric"].x) == [20.0, 90.0, 95.0]
    assert list(named["isometric"].error_y.array) == pytest.approx([1.0, 1.414, 1.0], abs=1e-3)
    assert named["isometric"].marker.line.color[0] != named["isometric"].marker.line.color[2], "only one on the front"
    assert list(named["front of these two"].x) == [20.0, 40.0, 50.0, 90.0]
    assert list(named["winner"].x) == [90.0]
    (line,) = found.layout.shapes
    assert (line.x0, line.x1) == (100.0, 100.0), "the budget"
    assert found.layout.xaxis.type == "log"


def test_a_base_over_the_budget_stays_the_base() -> None:
    points = make_points(front([network("base", 0.7, 150), network("a", 0.6, 20)], ("a",)))
    named = {trace.name: trace for trace in cost_figure(points, "macs", 100.0).data}
    assert named["base, over the budget"].marker.symbol == "star-open"
    assert "over the budget" not in named


def test_what_was_not_measured_is_left_out() -> None:
    figure = cost_figure(POINTS, "latency_ms", None)
    assert {x for trace in figure.data for x in trace.x} == {3.0}
    assert not figure.layout.shapes


def test_of_very_many_networks_only_the_front_has_bars() -> None:
    many = [network(f"n{i}", 0.5 + i / 1000, 10 + i / 10) for i in range(MOST_SPREADS + 1)]
    named = {t.name: t for t in cost_figure(make_points(front(many, ("n0", f"n{MOST_SPREADS}"))), "macs", None).data}
    assert named["isometric"].error_y.array is None
    assert len(named["front of these two"].error_y.array) == len(named["front of these two"].x)
