"""Costs as functions of one width K, and the widths that keep them within bounds, in closed form.

Every count of a network is a sum of terms of degree two at most in the width of one of its groups, with coefficients
that are not negative; activation memory is the largest of several such sums. So all grow with K, and the widths that a
window of costs allows are an interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_spaces.formulas import Integers

Column = NDArray[np.int64]
UNBOUNDED = 2**31 - 1  # filters that no cost bounds


@dataclass(frozen=True)
class Quadratic:
    """constant + linear K + square K^2; coefficients are integers, or integer arrays that broadcast together."""

    constant: Integers = 0
    linear: Integers = 0
    square: Integers = 0

    def __add__(self, other: "Quadratic") -> "Quadratic":
        return Quadratic(self.constant + other.constant, self.linear + other.linear, self.square + other.square)

    def __call__(self, width: Integers) -> Integers:
        """The value at a width."""
        return self.constant + (self.linear + self.square * width) * width

    def at(self, shape: tuple[int, ...], places: tuple[Column, ...]) -> "Quadratic":
        """Those at some places of the shape to which the coefficients are broadcast."""
        coefficients = (self.constant, self.linear, self.square)
        return Quadratic(*(np.broadcast_to(c, shape)[places] if np.ndim(c) else c for c in coefficients))


def largest_of(terms: Sequence[Quadratic], width: Integers) -> Integers:
    """The largest of several sums at a width."""
    value = terms[0](width)
    for term in terms[1:]:
        value = np.maximum(value, term(width))
    return value


def most_width(terms: Sequence[Quadratic], bound: int) -> Integers:
    """The largest K of 0 or more, at most UNBOUNDED, at which no term exceeds the bound; 0 where there is none."""
    most: Integers = UNBOUNDED
    for term in terms:
        most = np.minimum(most, _floor_root(term, bound))
    return np.maximum(most, 0)


def least_width(terms: Sequence[Quadratic], bound: int) -> Integers:
    """The smallest K of 1 or more at which a term reaches the bound; more than UNBOUNDED where none does."""
    least: Integers = UNBOUNDED + 1
    for term in terms:
        below = _floor_root(term, bound - 1)  # the largest at which it does not
        least = np.minimum(least, below + 1)
    return np.maximum(least, 1)


def _floor_root(term: Quadratic, bound: int) -> Integers:
    """The largest K <= UNBOUNDED with term(K) <= bound; -1 where there is none of 0 or more."""
    room = np.asarray(bound - term.constant)
    grows = np.asarray(term.linear) + term.square > 0
    if np.any(term.square):
        discriminant = np.maximum(np.square(term.linear, dtype=float) + 4.0 * term.square * room, 0)
        root = 2 * room / np.maximum(np.sqrt(discriminant) + term.linear, 1e-9)  # stable also where square is 0
        width = np.clip(np.nan_to_num(root), 0, UNBOUNDED).astype(np.int64)
        for step in (1, 1, -1, -1):  # floats may be off by one
            moved = width + step
            fits = term(moved) <= bound
            width = np.where(fits if step > 0 else term(width) > bound, moved, width)
    else:
        width = np.minimum(room // np.maximum(term.linear, 1), UNBOUNDED)
    return np.where(room < 0, -1, np.where(grows, width, UNBOUNDED))
