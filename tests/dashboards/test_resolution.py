"""Resolution against accuracy, as data: of a search, and of a study (Borji's figures 3 and 4)."""

from dataclasses import replace

import pytest

from dashboards.points import make_points
from dashboards.resolution import originals_figure, resolution_figure, study_figure, study_originals
from dashboards.scored import ScoredNetwork
from dashboards.study import make_study_rows
from tests.dashboards.fronts import front, network


def test_a_line_joins_the_best_of_each_approach() -> None:
    own = [
        network("base", 0.5, 50, resolution=14),
        network("a", 0.6, 50, family="compensation-IV", resolution=16),
        network("b", 0.7, 50, family="compensation-IV", resolution=16),
        network("c", 0.65, 50, family="compensation-IV", resolution=20),
        network("d", 0.55, 50, family="compensation-I", resolution=20),
        network("over", 0.9, 500, family="compensation-I", resolution=28),
    ]
    figure = resolution_figure(make_points(front(own, ("b",))))
    lines = {trace.legendgroup: trace for trace in figure.data if trace.mode == "lines"}
    assert list(zip(lines["compensation-IV"].x, lines["compensation-IV"].y, strict=True)) == [(16, 70.0), (20, 65.0)]
    marks = {trace.name: trace for trace in figure.data if trace.mode == "markers"}
    assert list(marks["compensation-I"].x) == [20], "nothing over the budget"
    assert list(marks["compensation-IV"].error_y.array) == pytest.approx([1.0, 1.0, 1.0])
    assert (list(marks["base"].x), list(marks["base"].y)) == ([14], [50.0])
    assert list(figure.layout.xaxis.tickvals) == [14, 16, 20]


def study() -> list[ScoredNetwork]:
    """Two originals at 10 px with two solutions each; the one that is better on validation is worse on test."""
    networks = []
    for name, accuracy in (("o1", 0.5), ("o2", 0.6)):
        networks.append(replace(network(name, accuracy, 50, test=[accuracy] * 3, resolution=10), original=name))
        for i, gain in enumerate((0.02, 0.1)):
            one = network(f"{name}-{i}", 0.7 - i / 10, 50, test=[accuracy + gain] * 3, resolution=12 + i)
            networks.append(replace(one, method="compensation-IV", original=name))
    return networks


def test_each_original_and_its_solutions() -> None:
    found = study_originals(study())
    assert [(one.number, one.resolution, one.accuracy) for one in found] == [(1, 10, 0.5), (2, 10, 0.6)]
    assert [(side, round(accuracy, 6)) for side, accuracy, _ in found[0].solutions] == [(12, 0.52), (13, 0.6)]
    figure = originals_figure(found)
    solutions, original = figure.data[:2]
    assert (list(solutions.x), list(solutions.y)) == ([1, 1], [52.0, 60.0])
    assert (list(original.x), list(original.y)) == ([1], [50.0])
    assert [note.text for note in figure.layout.annotations] == ["compensation-IV, 10 px"]


def test_the_study_shows_what_validation_chose_and_what_was_best() -> None:
    named = {trace.name: trace for trace in study_figure(make_study_rows(study())).data}
    assert list(named["originals"].y) == [55.0]
    assert list(named["solution chosen on validation"].y) == [57.0]
    assert list(named["solution best on test (the paper's)"].y) == [65.0]
    assert list(named["originals"].error_y.array) == pytest.approx([7.071], abs=1e-3)
