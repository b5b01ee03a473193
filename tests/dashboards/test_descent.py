"""The picture of a descent, as data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dashboards.descent import DescentData, IterationRow, descent_figure, read_descent_data
from search_spaces.power_law import PowerLaw, fit_power_law
from trials.prune_job import PruneRow
from trials.store import Store, StoreError

TAU = (8000, 4000, 2000, 1000, 500, 250)
WIDTHS = [(round(tau**0.5), round(2 * tau**0.4), round(tau**0.3)) for tau in TAU]
ROWS = tuple(
    PruneRow(step=i, widths=widths, params=tau, macs=7 * tau, activation_elements=tau)
    for i, (tau, widths) in enumerate(zip(TAU, WIDTHS, strict=True), start=1)
)
FIRST = IterationRow(
    number=1,
    job_id="a",
    begun=(64, 32, 16),
    rows=ROWS,
    law=fit_power_law(WIDTHS, TAU),
    unfitted="",
    widths=(80, 30, 20),
    tau=9000.0,
    change=0.2,
    seconds=3.0,
)
DATA = DescentData(
    search="s",
    tau="params",
    groups=("conv1", "conv2", "conv3"),
    iterations=(FIRST, replace(FIRST, number=2, begun=(80, 30, 20), widths=(82, 31, 19))),
    ended="",
)


def test_left_are_the_widths_by_iteration() -> None:
    traces = [trace for trace in descent_figure(DATA).data if trace.xaxis == "x"]
    assert [trace.name for trace in traces] == ["base", "iteration 1", "iteration 2"]
    assert [tuple(trace.y) for trace in traces] == [(64, 32, 16), (80, 30, 20), (82, 31, 19)]
    assert all(tuple(trace.x) == DATA.groups for trace in traces)


def test_right_are_the_last_record_and_its_law() -> None:
    traces = [trace for trace in descent_figure(DATA).data if trace.xaxis == "x2"]
    points = [trace for trace in traces if trace.mode == "markers"]
    lines = [trace for trace in traces if trace.mode == "lines"]
    assert [trace.name for trace in points] == list(DATA.groups)
    for i, (point, line) in enumerate(zip(points, lines, strict=True)):
        assert tuple(point.x) == TAU
        assert tuple(point.y) == tuple(widths[i] for widths in WIDTHS)
        assert (min(line.x), max(line.x)) == pytest.approx((250, 8000))
        np.testing.assert_allclose(line.y, FIRST.law.widths_at(np.array(line.x))[:, i])
        assert line.line.color == point.marker.color


def test_without_a_fit_there_is_no_law_to_draw() -> None:
    uniform = PowerLaw(alpha=(1.0, 1.0, 1.0), beta=(0.5, 0.5, 0.5))
    unfitted = replace(FIRST, law=uniform, unfitted="too few")
    figure = descent_figure(replace(DATA, iterations=(unfitted,)))
    assert not [trace for trace in figure.data if trace.xaxis == "x2" and trace.mode == "lines"]
    assert "no law could be fitted" in {note.text for note in figure.layout.annotations}


def test_a_search_without_a_descent(finished_search: Path) -> None:
    with (
        Store(f"sqlite:///{finished_search}/nas.db") as store,
        pytest.raises(StoreError, match="search 'small' must have neuralscale among methods"),
    ):
        read_descent_data(store, "small")
