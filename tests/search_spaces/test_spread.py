"""The choice of a few among many."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import choose_spread


@given(total=st.integers(1, 200), count=st.integers(1, 40), seed=st.integers(0, 5))
def test_distinct_as_many_as_asked_and_reproducible(total: int, count: int, seed: int) -> None:
    points = np.random.default_rng(0).integers(0, 5, (total, 3))
    chosen = choose_spread(points, count, seed)
    assert len(chosen) == len(set(chosen)) == min(total, count)
    assert all(0 <= index < total for index in chosen)
    assert chosen == choose_spread(points, count, seed)


def test_one_from_each_equal_stratum_of_the_first_feature() -> None:
    resolution = np.repeat(np.arange(15, 27), 100)
    other = np.random.default_rng(1).integers(0, 9, len(resolution))
    shuffled = np.random.default_rng(2).permutation(len(resolution))
    points = np.stack([resolution, other], axis=1)[shuffled]
    chosen = choose_spread(points, 12, seed=3)
    assert points[chosen, 0].tolist() == list(range(15, 27))


def test_seeds_differ() -> None:
    points = np.zeros((1000, 2), np.int64)
    assert choose_spread(points, 5, seed=0) != choose_spread(points, 5, seed=1)
