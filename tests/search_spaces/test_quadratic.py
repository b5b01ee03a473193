"""Widths within bounds in closed form: against a search, and for numbers where roots of floats are off by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.compensation.quadratic import UNBOUNDED, Quadratic, largest_of, least_width, most_width

NUMBER = st.integers(0, 12)
SMALL = st.lists(st.builds(Quadratic, NUMBER, NUMBER, NUMBER), min_size=1, max_size=3)
TIMES = st.sampled_from([1, 10**3, 10**7])


def search_most(terms: list[Quadratic], bound: int) -> int:
    """By bisection on Python's integers."""
    low, high = 0, UNBOUNDED
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if largest_of(terms, middle) <= bound else (low, middle - 1)
    return low


@given(terms=SMALL, bound=st.integers(-5, 400))
def test_against_a_loop(terms: list[Quadratic], bound: int) -> None:
    values = [int(largest_of(terms, width)) for width in range(500)]
    most = int(most_width(terms, bound))
    if values[-1] > bound:
        assert most == max((width for width, value in enumerate(values) if value <= bound), default=0)
    else:
        assert most == UNBOUNDED
    least = int(least_width(terms, bound))
    if values[-1] >= bound:
        assert least == min(width for width, value in enumerate(values) if value >= bound and width)
    else:
        assert least > UNBOUNDED


@settings(max_examples=400)
@given(
    constant=st.integers(0, 10**6),
    linear=st.integers(0, 10**9),
    square=st.integers(0, 10**6),
    width=st.integers(1, 10**5),
    off=st.integers(-1, 1),
)
def test_large_numbers(constant: int, linear: int, square: int, width: int, off: int) -> None:
    """Bounds at which a width just fits, or just does not."""
    term = Quadratic(constant, linear, square)
    bound = term(width) + off
    if bound < constant or not linear + square:
        return
    assert int(most_width([term], bound)) == search_most([term], bound)
    assert int(least_width([term], bound)) == max(search_most([term], bound - 1) + 1, 1)


@pytest.mark.parametrize("width", [3_162_277, 3_162_278, 94_906_267, 1_000_000_007])
@pytest.mark.parametrize("linear", [0, 1, 10**6])
def test_squares_that_floats_round(width: int, linear: int) -> None:
    term = Quadratic(7, linear, 1)
    for off in (-1, 0, 1):
        bound = term(width) + off
        assert int(most_width([term], bound)) == (width if off >= 0 else width - 1)
        assert int(least_width([term], bound)) == (width if off <= 0 else width + 1)


@given(
    coefficients=st.lists(st.tuples(NUMBER, NUMBER, NUMBER), min_size=1, max_size=4),
    bound=st.integers(0, 400),
    times=TIMES,
)
def test_arrays_are_elementwise(coefficients: list[tuple[int, int, int]], bound: int, times: int) -> None:
    """Also where some have squares and others do not."""
    columns = [np.array(column, np.int64) * times for column in zip(*coefficients, strict=True)]
    most = most_width([Quadratic(*columns)], bound * times)
    least = least_width([Quadratic(*columns)], bound * times)
    for i, own in enumerate(coefficients):
        term = Quadratic(*(number * times for number in own))
        assert most[i] == most_width([term], bound * times)
        assert least[i] == least_width([term], bound * times)


def test_places_of_a_broadcast() -> None:
    term = Quadratic(5, np.array([[1], [2]]), np.array([[3, 4, 5]]))
    taken = term.at((2, 3), (np.array([1, 0]), np.array([2, 0])))
    assert taken(10).tolist() == [5 + 20 + 500, 5 + 10 + 300]
