"""Costs of one network at many widths at once, exactly.

The layers' formulas are evaluated once on polynomials in the widths. Parameters and MACs are then quadratic forms,
activation memory is the maximum of linear ones, and a few matrix products count thousands of candidates.

T candidates, G width groups; a constant 1 stands behind the widths, so a row of widths has G + 1 numbers.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import lcm
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from search_spaces.architecture import Architecture
from search_spaces.cost import COSTS
from search_spaces.errors import NetworkError
from search_spaces.ops import LARGEST
from search_spaces.polynomial import Monomial, Polynomial, Unequal
from search_spaces.symbolic import symbolic_shapes
from search_spaces.width_groups import find_width_groups

EXACT_FLOAT = 2**53  # sums of products of integers below this are exact in float64
CHUNK = 2048  # candidates at a time: what they need stays in the cache of one core
Rows = NDArray[np.float64]


class BatchCost:
    """Counts the networks that differ from one in their widths, and, if asked, in resolution."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.groups = find_width_groups(architecture)
        self._compiled: dict[int, _Compiled] = {}

    def costs(self, widths: Any, resolution: int | None = None) -> NDArray[np.int64]:
        """Costs [T, 3], the columns those of `COSTS`, of widths [T, G], one a group in execution order.

        Raises NetworkError for widths that are no positive integers or that a layer's groups do not divide, and for a
        resolution that is too small.
        """
        return self._at(resolution).count(self._checked(np.asarray(widths)))

    def count_projections(self, widths: Any) -> NDArray[np.int64]:
        """How many shortcuts [T] are convs, as the widths that they join differ, of those that could be identities."""
        points = np.column_stack([self._checked(np.asarray(widths)), np.ones(len(widths), np.int64)])
        differences = [term.difference for term in self._at(None).conditional_forms]
        return sum((points @ row != 0 for row in differences), np.zeros(len(points), np.int64))

    def _at(self, resolution: int | None) -> "_Compiled":
        side = self.architecture.resolution if resolution is None else index(resolution)
        if side not in self._compiled:
            self._compiled[side] = _compile(self.architecture.with_ops({}, resolution=side))
        return self._compiled[side]

    def _checked(self, widths: NDArray[Any]) -> NDArray[np.int64]:
        count = len(self.groups.groups)
        if widths.ndim != 2 or widths.shape[1] != count or widths.dtype.kind not in "iu":
            raise NetworkError(f"widths must be integers [T, {count}], but are {widths.dtype} {list(widths.shape)}")
        if widths.size and not (widths.min() >= 1 and widths.max() <= LARGEST):
            raise NetworkError(f"widths must be at least 1 and at most 2^24, but are {widths.min()} to {widths.max()}")
        whole = widths.astype(np.int64)
        for i, group in enumerate(self.groups.groups):
            wrong = np.flatnonzero(whole[:, i] % group.divisor)
            if wrong.size:
                raise NetworkError(
                    f"width of {group.name} must be a multiple of {group.divisor}, as its layers part it in groups, "
                    f"but row {wrong[0]} has {whole[wrong[0], i]}"
                )
        return whole


@dataclass(frozen=True, kw_only=True)
class _Conditional:
    """What is added where `difference` [G + 1] times the widths is not zero."""

    difference: Rows
    form: Rows


@dataclass(frozen=True, kw_only=True)
class _Compiled:
    """Quadratic forms [2, G + 1, G + 1] of params and MACs over `denominator`, linear rows [L, G + 1] of activation."""

    forms: Rows
    denominator: int
    rows: Rows
    conditional_forms: tuple[_Conditional, ...]
    conditional_rows: tuple[tuple[Rows, _Conditional], ...]

    def count(self, widths: NDArray[np.int64]) -> NDArray[np.int64]:
        counted = np.empty((len(widths), len(COSTS)), np.int64)
        if not len(widths):
            return counted
        self._check_exact(widths.max(axis=0))
        points = np.ones((widths.shape[1] + 1, CHUNK))
        with _one_thread():
            for start in range(0, len(widths), CHUNK):
                part = widths[start : start + CHUNK]
                points[:-1, : len(part)] = part.T
                counted[start : start + CHUNK] = self._count_chunk(points[:, : len(part)]).T
        return counted

    def _count_chunk(self, points: Rows) -> Rows:
        """Costs [3, T] of points [G + 1, T]."""
        size = len(points)
        products = (self.forms.reshape(-1, size) @ points).reshape(2, size, -1)
        products *= points
        sums = products.sum(axis=1)
        for term in self.conditional_forms:
            applies = term.difference @ points != 0
            inner = (term.form.reshape(-1, size) @ points).reshape(2, size, -1)
            sums += applies * (inner * points).sum(axis=1)
        largest = (self.rows @ points).max(axis=0)
        for row, term in self.conditional_rows:
            largest = np.maximum(largest, row @ points + (term.difference @ points != 0) * (term.form @ points))
        return np.vstack([sums / self.denominator, largest])

    def _check_exact(self, widest: NDArray[np.int64]) -> None:
        """Sums have no negative term, so the widest candidate bounds all; floats are near enough to tell."""
        point = np.append(widest, 1).astype(np.float64)
        forms = self.forms + sum(term.form for term in self.conditional_forms)
        rows = [*self.rows, *(row + term.form for row, term in self.conditional_rows)]
        most = max(float((point @ forms @ point).max()), *(float(row @ point) for row in rows))
        if most >= EXACT_FLOAT:
            raise NetworkError(
                f"costs must stay below 2^53 to be exact, but widths up to {widest.max()} give about {most:.4g}"
            )


def _one_thread() -> AbstractContextManager[object]:
    """The products are small: on several threads BLAS would spend its time waiting."""
    limit: AbstractContextManager[object] = _blas().limit(limits=1, user_api="blas")
    return limit


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def _compile(architecture: Architecture) -> _Compiled:
    groups = find_width_groups(architecture)
    shapes = symbolic_shapes(architecture.shapes, groups, [Polynomial.variable(i) for i in range(len(groups.groups))])
    params = macs = Polynomial.constant(0)
    held: list[Polynomial] = []
    for node in architecture.nodes:
        sources, out = tuple(shapes[name] for name in node.inputs), shapes[node.name]
        params += node.op.params(sources, out)
        macs += node.op.macs(sources, out)
        held.append(Polynomial.constant(0) + node.op.activation(sources, out))
    size = len(groups.groups) + 1
    denominator = lcm(*(value.denominator for total in (params, macs) for value in total.terms.values()))
    totals = [params * denominator, macs * denominator]
    return _Compiled(
        forms=np.stack([_form(_plain(total), size) for total in totals]),
        denominator=denominator,
        rows=_undominated(np.array([_row(_plain(row), size) for row in held if not _conditions([row])])),
        conditional_forms=tuple(
            _Conditional(
                difference=_row(Polynomial(dict(condition.difference)), size),
                form=np.stack([_form(_under(total, condition), size) for total in totals]),
            )
            for condition in _conditions(totals)
        ),
        conditional_rows=tuple(
            (
                _row(_plain(row), size),
                _Conditional(
                    difference=_row(Polynomial(dict(condition.difference)), size),
                    form=_row(_under(row, condition), size),
                ),
            )
            for row in held
            for condition in _conditions([row])
        ),
    )


def _conditions(totals: Sequence[Polynomial]) -> list[Unequal]:
    found = [v for total in totals for monomial in total.terms for v in monomial if isinstance(v, Unequal)]
    return list(dict.fromkeys(found))


def _plain(total: Polynomial) -> Polynomial:
    return Polynomial({key: value for key, value in total.terms.items() if not _conditions_of(key)})


def _under(total: Polynomial, condition: Unequal) -> Polynomial:
    """What a condition multiplies."""
    return Polynomial(
        {
            tuple(v for v in key if v != condition): value
            for key, value in total.terms.items()
            if condition in _conditions_of(key)
        }
    )


def _conditions_of(monomial: Monomial) -> list[Unequal]:
    return [variable for variable in monomial if isinstance(variable, Unequal)]


def _form(total: Polynomial, size: int) -> Rows:
    """The quadratic form [G + 1, G + 1] of a polynomial of degree 2."""
    form = np.zeros((size, size))
    for monomial, value in total.terms.items():
        i, j = [*_groups_of(monomial), size - 1, size - 1][:2]
        form[i, j] = _integer(value)
    return form


def _row(total: Polynomial, size: int) -> Rows:
    """The coefficients [G + 1] of a polynomial of degree 1."""
    row = np.zeros(size)
    for monomial, value in total.terms.items():
        row[[*_groups_of(monomial), size - 1][0]] = _integer(value)
    return row


def _groups_of(monomial: Monomial) -> list[int]:
    return [variable for variable in monomial if isinstance(variable, int)]


def _integer(value: Fraction) -> int:
    assert value.denominator == 1
    return value.numerator


def _undominated(rows: Rows) -> Rows:
    """Rows that can be the largest at some widths of at least 1: no other is at least as large in every place."""
    rows = np.unique(rows, axis=0)
    kept = [row for row in rows if (rows >= row).all(axis=1).sum() == 1]  # covered by itself alone
    return np.array(kept)
