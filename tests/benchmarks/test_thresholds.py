"""The scan of the benchmark counts what thresholds give, and finds nothing that the exact frontier misses."""

import numpy as np
import pytest

from benchmarks.thresholds import GRID, draw_exits, missed, scan
from trials.thresholds import find_frontier, score_thresholds


@pytest.mark.parametrize("stages", [2, 3])
def test_scan_and_frontier(stages: int) -> None:
    confidence, correct = draw_exits(stages, images=300)
    macs = (1, 20, 300)[:stages]
    right, cost = scan(confidence, correct, macs)
    assert len(right) == len(GRID) ** (stages - 1)
    thresholds = np.stack(np.meshgrid(*[GRID] * (stages - 1), indexing="ij"), axis=-1).reshape(-1, stages - 1)
    for row in range(0, len(thresholds), 37):
        point = score_thresholds(thresholds[row].tolist(), confidence, correct, macs)
        assert (point.correct, point.macs) == (right[row], cost[row])
    gap = missed(find_frontier(confidence, correct, macs), right, cost)
    assert gap.min() >= 0
    assert gap.max() > 0
