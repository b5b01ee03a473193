"""Exact frontiers: against all thresholds and a grid, at both ends, with ties and confidences of exactly 1."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.trials.slow_exits import ALMOST, Exits, answer_slowly, draw_exits, frontier_slowly, small_exits
from trials.thresholds import Frontier, ThresholdError, apply, find_frontier, score_thresholds


def frontier_of(exits: Exits, **options: Any) -> Frontier:
    return find_frontier(exits.confidence, exits.correct, exits.macs, **options)


def pairs(frontier: Frontier) -> list[tuple[int, int]]:
    return list(zip(frontier.correct.tolist(), frontier.macs.tolist(), strict=True))


ALL_SURE = Exits(confidence=np.ones((2, 2)), correct=np.array([[False, False], [True, False]]), macs=[1, 2])


@given(small_exits())
@example(ALL_SURE)
@settings(max_examples=150)
def test_all_thresholds(exits: Exits) -> None:
    assert pairs(frontier_of(exits)) == frontier_slowly(exits)


@given(small_exits(), st.sampled_from([0, 2**28]))
@settings(max_examples=100)
def test_thresholds_give_what_is_reported(exits: Exits, most_cells: int) -> None:
    frontier = frontier_of(exits, most_cells=most_cells)
    for row in range(len(frontier)):
        point = frontier.point(row)
        assert (point.correct, point.reached, point.macs) == answer_slowly(exits, point.thresholds)
        assert point == score_thresholds(point.thresholds, exits.confidence, exits.correct, exits.macs)


@pytest.mark.parametrize("stages", [2, 3])
def test_a_grid_is_never_better(stages: int) -> None:
    exits = draw_exits(stages, stages, images=1000)
    frontier = frontier_of(exits)
    fewest = np.full(1002, np.inf)  # MACs of so many right images or more
    fewest[frontier.correct] = frontier.macs
    fewest = np.minimum.accumulate(fewest[::-1])[::-1]
    steps = np.linspace(0, 1, 100)
    lost = 0
    for thresholds in np.stack(np.meshgrid(*[steps] * (stages - 1)), axis=-1).reshape(-1, stages - 1):
        point = score_thresholds(thresholds.tolist(), exits.confidence, exits.correct, exits.macs)
        assert fewest[point.correct] <= point.macs
        lost += fewest[point.correct] < point.macs
    assert lost > 0


@given(small_exits())
@settings(max_examples=50)
def test_both_ends(exits: Exits) -> None:
    """Threshold 0 is the first network alone, threshold 1 the last one, with the MACs of all before it."""
    stages, images = exits.confidence.shape
    for threshold, exit_ in ((0.0, 0), (1.0, stages - 1)):
        point = score_thresholds([threshold] * (stages - 1), exits.confidence, exits.correct, exits.macs)
        assert (apply(point.thresholds, exits.confidence) == exit_).all()
        assert point.correct == exits.correct[exit_].sum()
        assert point.macs == images * sum(exits.macs[: exit_ + 1])
        assert point.reached == (images,) * (exit_ + 1) + (0,) * (stages - 1 - exit_)


def test_one_exit() -> None:
    frontier = find_frontier([[0.5, 0.9]], [[True, False]], [7])
    assert frontier.point(0) == score_thresholds([], [[0.5, 0.9]], [[True, False]], [7])
    assert (len(frontier), frontier.macs[0], frontier.accuracy[0], frontier.expected_macs[0]) == (1, 14, 0.5, 7)


def test_thresholds_lie_midway_between_images_that_reach_the_exit() -> None:
    """The second exit never sees the third image, whose 0.55 there would be the nearer one."""
    frontier = find_frontier(
        [[0.2, 0.4, 0.9], [0.5, 0.7, 0.55], [1.0, 1.0, 1.0]],
        [[False, False, True], [False, True, False], [True, False, False]],
        [1, 10, 100],
    )
    assert frontier.thresholds[-1].tolist() == [pytest.approx(0.65), pytest.approx(0.6)]
    assert frontier.reached[-1].tolist() == [3, 2, 1]
    assert frontier.thresholds[0].tolist() == [0, 0]


@pytest.mark.parametrize(("low", "high"), [(0.5, float(np.nextafter(0.5, 1))), (ALMOST, 1.0), (5e-324, 1e-323)])
def test_neighbours_in_float64_are_parted(low: float, high: float) -> None:
    frontier = find_frontier([[low, high], [1.0, 1.0]], [[False, True], [True, False]], [1, 1])
    assert frontier.point(1).correct == 2
    assert apply(frontier.thresholds[1].tolist(), [[low, high], [1.0, 1.0]]).tolist() == [1, 0]


def test_what_is_exactly_1_goes_on_at_threshold_1() -> None:
    frontier = frontier_of(ALL_SURE)
    assert frontier.thresholds.tolist() == [[0], [1]]
    assert frontier.macs.tolist() == [2, 6]


def test_operating_points() -> None:
    frontier = frontier_of(draw_exits(5, stages=3, images=300))
    for row in range(len(frontier)):
        assert frontier.most_accurate(frontier.expected_macs[row]) == frontier.point(row)
        assert frontier.cheapest(frontier.accuracy[row]) == frontier.point(row)
    assert frontier.most_accurate(np.inf) == frontier.point(-1)
    assert frontier.cheapest(0) == frontier.point(0)
    between = (frontier.expected_macs[3] + frontier.expected_macs[4]) / 2
    assert frontier.most_accurate(between) == frontier.point(3)
    assert frontier.cheapest(frontier.accuracy[3] + 1e-9) == frontier.point(4)
    point = frontier.point(3)
    assert (point.accuracy, point.expected_macs) == (point.correct / 300, point.macs / 300)


def test_nothing_fits() -> None:
    frontier = find_frontier([[0.5, 0.9]], [[True, False]], [7])
    with pytest.raises(
        ThresholdError, match=r"expected MACs must be at least 7, what the first .* but the bound is 6\.5"
    ):
        frontier.most_accurate(6.5)
    with pytest.raises(ThresholdError, match=r"accuracy must be at most 0\.5, the highest .* but 0\.6 is asked for"):
        frontier.cheapest(0.6)
    with pytest.raises(ThresholdError, match="is nan"):
        frontier.most_accurate(float("nan"))


def test_large_counts_stay_exact() -> None:
    macs = [2**49 + 1, 2**50 + 3]
    frontier = find_frontier([[0.5, 0.9], [1.0, 1.0]], [[False, True], [True, True]], macs)
    assert frontier.macs.tolist() == [2 * macs[0], 2 * macs[0] + macs[1]]


@pytest.mark.parametrize(
    ("confidence", "correct", "macs", "message"),
    [
        ([0.5], [True], [1], "confidence must be"),
        ([[]], [[]], [1], "confidence must be"),
        ([[0.5]], [[1]], [1], "correct as many true or false"),
        ([[0.5]], [[True, True]], [1], "correct as many true or false"),
        ([[0.5, 0]], [[True, True]], [1], "above 0 and at most 1, but one is 0.0"),
        ([[0.5, 1.5]], [[True, True]], [1], "but one is 1.5"),
        ([[0.5, float("nan")]], [[True, True]], [1], "but one is nan"),
        ([[0.5]], [[True]], [1, 2], "macs must be 1 whole numbers"),
        ([[0.5]], [[True]], [1.5], "whole numbers"),
        ([[0.5]], [[True]], [-1], "at least 0"),
        ([[0.5]], [[True]], [2**63], "below 2\\^63"),
    ],
)
def test_what_says_nothing(confidence: Any, correct: Any, macs: Any, message: str) -> None:
    with pytest.raises(ThresholdError, match=message):
        find_frontier(confidence, correct, macs)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ([], "a threshold for each exit but the last, but there are 0"),
        ([0.1, 0.2], "but there are 2"),
        ([1.1], "from 0 to 1, but they are 1.1"),
        ([float("nan")], "but they are nan"),
    ],
)
def test_wrong_thresholds(thresholds: list[float], message: str) -> None:
    with pytest.raises(ThresholdError, match=message):
        apply(thresholds, [[0.5], [0.5]])
