"""Intervals against closed forms, scipy's tests, and their coverage."""

import numpy as np
import pytest
from scipy import stats

from dashboards.differences import compare_originals, compare_paired, compare_seeds

A, B = [0.90, 0.91, 0.89, 0.92], [0.93, 0.92, 0.93, 0.94]


def test_paired_is_students_t() -> None:
    found = compare_seeds(dict(enumerate(A)), dict(enumerate(B)))
    known = stats.ttest_rel(B, A).confidence_interval(0.95)
    assert (found.how, found.n, found.n_other) == ("paired", 4, None)
    assert found.mean == pytest.approx(0.025)
    assert [found.low, found.high] == pytest.approx([known.low, known.high])
    by_hand = compare_paired([0.0, 0.0], [1.0, 3.0])  # t(1) = 12.706, s = sqrt 2, n = 2
    assert by_hand.high == pytest.approx(2 + 12.7062 * 1.0, abs=1e-3)


def test_only_common_seeds_are_paired() -> None:
    found = compare_seeds({0: 0.5, 1: 0.6, 2: 0.9}, {1: 0.7, 2: 0.95, 3: 0.1})
    assert (found.how, found.n) == ("paired", 2)
    assert found.mean == pytest.approx(0.075)


def test_other_seeds_are_welchs() -> None:
    found = compare_seeds(dict(enumerate(A)), dict(enumerate([*B, 0.9], start=10)))
    known = stats.ttest_ind([*B, 0.9], A, equal_var=False).confidence_interval(0.95)
    assert (found.how, found.n, found.n_other) == ("welch", 4, 5)
    assert [found.low, found.high] == pytest.approx([known.low, known.high])


@pytest.mark.parametrize(
    ("before", "after"), [({0: 0.5}, {0: 0.7}), ({0: 0.5}, {1: 0.7}), ({0: 0.5}, {1: 0.7, 2: 0.7})]
)
def test_one_seed_has_no_interval(before: dict[int, float], after: dict[int, float]) -> None:
    found = compare_seeds(before, after)
    assert found.mean == pytest.approx(0.2)
    assert (found.low, found.high, found.is_clear) == (None, None, None)


def test_equal_groups_have_an_interval_of_no_width() -> None:
    found = compare_seeds({0: 0.5, 1: 0.5}, {2: 0.7, 3: 0.7})
    assert [found.low, found.high] == pytest.approx([0.2, 0.2])
    assert found.is_clear


def test_originals_by_bootstrap_where_there_are_enough() -> None:
    random = np.random.default_rng(3)
    before, gains = random.normal(0.8, 0.05, 40), random.normal(0.02, 0.01, 40)
    found = compare_originals(before.tolist(), (before + gains).tolist())
    half = 1.96 * gains.std(ddof=1) / 40**0.5  # of many they agree with the normal one
    assert found.how == "bootstrap"
    assert found.low == pytest.approx(gains.mean() - half, abs=half / 5)
    assert found.high == pytest.approx(gains.mean() + half, abs=half / 5)
    assert found == compare_originals(before.tolist(), (before + gains).tolist()), "the same every time"
    assert compare_originals(A, B).how == "paired", "four are too few"
    assert compare_originals([0.5] * 6, [0.75] * 6).low == 0.25, "all equal"


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        luck = random.normal(0, 0.02, 3)  # which a seed gives both
        a, b = 0.8 + luck + random.normal(0, 0.01, 3), 0.83 + luck + random.normal(0, 0.01, 3)
        found = compare_seeds(dict(enumerate(a)), dict(enumerate(b)))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.03 <= found.high
    assert 0.92 <= held / 400 <= 0.98
