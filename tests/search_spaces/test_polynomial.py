"""Polynomials: their arithmetic is that of the integers at every point; formulas evaluate on them."""

from fractions import Fraction
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import formulas
from search_spaces.polynomial import Monomial, Number, Polynomial, Unequal, Variable


def value_of(number: Number, point: tuple[int, ...]) -> Fraction:
    """A polynomial at a point, from its terms."""
    if isinstance(number, int):
        return Fraction(number)
    return sum((value * prod(_variable(v, point) for v in key) for key, value in number.terms.items()), Fraction(0))


def _variable(variable: Variable, point: tuple[int, ...]) -> int:
    if isinstance(variable, Unequal):
        return int(value_of(Polynomial(dict(variable.difference)), point) != 0)
    return point[variable]


monomials: st.SearchStrategy[Monomial] = st.lists(st.integers(0, 2), max_size=2).map(lambda v: tuple(sorted(v)))
polynomials = st.dictionaries(monomials, st.integers(-5, 5).map(Fraction), max_size=4).map(Polynomial)
numbers = st.one_of(polynomials, st.integers(-5, 5))
points = st.tuples(*[st.integers(1, 9)] * 3)


@given(one=polynomials, other=numbers, point=points)
def test_arithmetic_is_that_of_every_point(one: Polynomial, other: Number, point: tuple[int, ...]) -> None:
    a, b = value_of(one, point), value_of(other, point)
    assert value_of(one + other, point) == value_of(other + one, point) == a + b
    assert value_of(one - other, point) == a - b
    assert value_of(one * other, point) == value_of(other * one, point) == a * b
    assert value_of(one // 3, point) == a / 3
    assert value_of(formulas.unequal(one, other), point) == (a != b)
    assert value_of(formulas.unequal(one, other) * one * other, point) == (a != b) * a * b


@given(one=polynomials, other=polynomials)
def test_equal_polynomials_have_equal_terms(one: Polynomial, other: Polynomial) -> None:
    assert (one == other) == (one.terms == other.terms)
    assert one + other - other == one
    assert one - one == 0


def test_what_differs_at_all_points_is_no_condition() -> None:
    width = Polynomial.variable(0)
    assert formulas.unequal(width + 1, width) == 1
    assert formulas.unequal(width, width) == 0
    (((condition,), factor),) = formulas.unequal(width, Polynomial.variable(1)).terms.items()
    assert isinstance(condition, Unequal)
    assert factor == 1
    assert 2 * width * 3 == Polynomial({(0,): Fraction(6)})
    with pytest.raises(TypeError, match="unhashable"):
        hash(width)


@given(widths=points, window=st.integers(1, 9), area=st.integers(1, 50), bias=st.booleans())
def test_formulas_are_exact_on_polynomials(widths: tuple[int, ...], window: int, area: int, bias: bool) -> None:
    a, b, _ = (Polynomial.variable(i) for i in range(3))
    six = tuple(6 * width for width in widths)
    on_polynomials = (
        formulas.conv_params(a, b, window=window, groups=3, bias=bias),
        formulas.conv_macs(a, b, window=window, area=area, groups=2),
        formulas.linear_params(a + b, b, bias=bias),
        formulas.linear_macs(a + 2, b),
        formulas.norm_params(a, affine=bias),
        formulas.map_elements(a, area),
        formulas.bias_additions(b * area, bias=bias),
    )
    on_integers = (
        formulas.conv_params(six[0], six[1], window=window, groups=3, bias=bias),
        formulas.conv_macs(six[0], six[1], window=window, area=area, groups=2),
        formulas.linear_params(six[0] + six[1], six[1], bias=bias),
        formulas.linear_macs(six[0] + 2, six[1]),
        formulas.norm_params(six[0], affine=bias),
        formulas.map_elements(six[0], area),
        formulas.bias_additions(six[1] * area, bias=bias),
    )
    assert [value_of(number, six) for number in on_polynomials] == list(on_integers)
