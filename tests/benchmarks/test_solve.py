"""The nested loops of the benchmark find what the solver finds."""

import pytest

from benchmarks.solve import LAYER, loop_fourth, solver
from search_spaces import Ranges, count_edited_layers, window
from search_spaces.zoo.lenet import lenet


@pytest.mark.parametrize("tolerance", [0.0, 0.05])
def test_loops_and_solver_agree(tolerance: float) -> None:
    base, ranges = lenet(channels1=5, channels2=4, resolution=14), Ranges(kernel=(3, 5), stride=(1, 2), padding=(1, 2))
    found = solver(base, "IV", LAYER, "params", tolerance, ranges)()
    by_hand = set(loop_fourth(base, window(count_edited_layers(base, "IV")["params"], tolerance), ranges))
    assert set(zip(*(found.columns[name].tolist() for name in found.free), strict=True)) == by_hand
