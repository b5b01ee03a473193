"""The search for cuts: against all cuts, in boxes of any size, and where it is not exact."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings

from tests.trials.slow_exits import Exits, draw_exits, small_exits, unbeaten
from trials import cuts
from trials.cuts import Points, find_points
from trials.thresholds import rank_confidences


def points_of(exits: Exits, most_cells: int = cuts.MOST_CELLS) -> Points:
    return find_points(rank_confidences(exits.confidence), exits.correct, np.array(exits.macs), most_cells)


def pairs(points: Points) -> list[tuple[int, int]]:
    return list(zip(points.correct.tolist(), points.macs.tolist(), strict=True))


def count_slowly(exits: Exits, cut: tuple[int, ...]) -> tuple[int, int]:
    ranks = rank_confidences(exits.confidence)
    here, correct, macs = np.ones(ranks.shape[1], bool), 0, 0
    for i, row in enumerate(exits.correct):
        macs += int(here.sum()) * exits.macs[i]
        goes_on = here & (ranks[i] < cut[i]) if i < len(cut) else np.zeros_like(here)
        correct += int((row & here & ~goes_on).sum())
        here = goes_on
    return correct, macs


@given(small_exits())
@settings(max_examples=100)
def test_all_cuts(exits: Exits) -> None:
    found = points_of(exits)
    ranges = [range(len(set(row.tolist())) + 1) for row in exits.confidence[:-1]]
    assert pairs(found) == unbeaten(count_slowly(exits, cut) for cut in product(*ranges))
    assert found.exact
    assert pairs(found) == [count_slowly(exits, tuple(cut)) for cut in found.cuts.tolist()]


@pytest.mark.parametrize("box", [1, 7, 100])
def test_boxes_of_any_size(box: int, monkeypatch: pytest.MonkeyPatch) -> None:
    exits = draw_exits(0, stages=4, images=40)
    whole = points_of(exits)
    monkeypatch.setattr(cuts, "BOX", box)
    parts = points_of(exits)
    assert pairs(parts) == pairs(whole)
    assert np.array_equal(parts.cuts, whole.cuts)  # of equals the first, however they are cut up


@given(small_exits(stages=(4, 4)))
@settings(max_examples=50)
def test_too_many_cells(exits: Exits) -> None:
    """Then every point is still what its cuts give, and none is worse than without the last exit."""
    found, without = (
        points_of(exits, most_cells=0),
        points_of(Exits(confidence=exits.confidence[:-1], correct=exits.correct[:-1], macs=exits.macs[:-1])),
    )
    assert not found.exact
    assert pairs(found) == [count_slowly(exits, tuple(cut)) for cut in found.cuts.tolist()]
    for correct, macs in pairs(without):
        assert any(c >= correct and m <= macs for c, m in pairs(found))


def test_improved_points_are_nearly_all() -> None:
    exits = draw_exits(1, stages=4, images=300)
    exact, improved = points_of(exits), points_of(exits, most_cells=0)
    assert exact.exact
    assert not improved.exact
    assert len(set(pairs(exact)) & set(pairs(improved))) >= 0.95 * len(pairs(exact))


def test_up_to_three_exits_are_always_exact() -> None:
    exits = draw_exits(2, stages=3, images=60)
    assert points_of(exits, most_cells=0).exact
