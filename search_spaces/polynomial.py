"""Polynomials in the widths of a network, with exact coefficients.

The formulas of the layers are evaluated on them once; `search_spaces.batch_cost` then evaluates the result for many
widths at a time. A variable is the index of a width group, or an `Unequal`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias, Union


@dataclass(frozen=True)
class Unequal:
    """1 where a linear polynomial, given by its terms, is not zero, else 0."""

    difference: tuple[tuple[tuple[int, ...], Fraction], ...]


Variable: TypeAlias = int | Unequal
Monomial: TypeAlias = tuple[Variable, ...]  # sorted; () is the constant
Number: TypeAlias = Union["Polynomial", int]


class Polynomial:
    """A sum of monomials with rational coefficients. Supports what the formulas of layers use: + - * // and !=."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, terms: Mapping[Monomial, Fraction]) -> None:
        self.terms = {monomial: value for monomial, value in terms.items() if value}

    @staticmethod
    def variable(index: int) -> "Polynomial":
        """The width of one group."""
        return Polynomial({(index,): Fraction(1)})

    @staticmethod
    def constant(value: int) -> "Polynomial":
        """A number."""
        return Polynomial({(): Fraction(value)})

    def __add__(self, other: Number) -> "Polynomial":
        terms = dict(self.terms)
        for monomial, value in _polynomial(other).terms.items():
            terms[monomial] = terms.get(monomial, Fraction(0)) + value
        return Polynomial(terms)

    __radd__ = __add__

    def __sub__(self, other: Number) -> "Polynomial":
        return self + _polynomial(other) * -1

    def __mul__(self, other: Number) -> "Polynomial":
        terms: dict[Monomial, Fraction] = {}
        for monomial, value in self.terms.items():
            for factor, times in _polynomial(other).terms.items():
                product = tuple(sorted(monomial + factor, key=_order))
                terms[product] = terms.get(product, Fraction(0)) + value * times
        return Polynomial(terms)

    __rmul__ = __mul__

    def __floordiv__(self, divisor: int) -> "Polynomial":
        """Exact where the divisor divides the value; the width groups' divisors say where it does."""
        return Polynomial({monomial: value / divisor for monomial, value in self.terms.items()})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Polynomial | int) and not (self - other).terms

    def __ne__(self, other: object) -> "Polynomial | bool":  # type: ignore[override]
        """1 where the two differ, as a polynomial: whether they do depends on the widths."""
        assert isinstance(other, Polynomial | int)
        difference = (self - other).terms
        if set(difference) <= {()}:
            return bool(difference)
        items = tuple(sorted(difference.items()))
        return Polynomial({(Unequal(items),): Fraction(1)})  # type: ignore[arg-type]


def _polynomial(number: Number) -> Polynomial:
    return number if isinstance(number, Polynomial) else Polynomial.constant(number)


def _order(variable: Variable) -> tuple[bool, str | int]:
    return (True, repr(variable)) if isinstance(variable, Unequal) else (False, variable)
