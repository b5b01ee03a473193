"""What the layers of a network cost that an approach leaves as they are, as functions of the width that it frees."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from fractions import Fraction

from search_spaces.architecture import Architecture
from search_spaces.compensation.quadratic import Quadratic
from search_spaces.formulas import Integers
from search_spaces.polynomial import Polynomial, Unequal
from search_spaces.symbolic import symbolic_shapes
from search_spaces.width_groups import WidthGroups

_SUMS = ("params", "macs", "flops")


@dataclass(frozen=True, kw_only=True)
class Rest:
    """One function of K for each count that is a sum, several for activation memory, of which the largest counts.

    K is the free width over what it must be a multiple of. Where a residual shortcut is the identity, it costs less
    than the functions say: `exact` has the counts there, as constants.
    """

    generic: Mapping[str, list[Quadratic]]
    exact: Mapping[int, Mapping[str, list[Quadratic]]]

    @property
    def special(self) -> tuple[int, ...]:
        """The K that stand apart."""
        return tuple(self.exact)

    def at(self, fixed: int | None) -> Mapping[str, list[Quadratic]]:
        """The functions, or the counts at a width that is fixed."""
        return self.generic if fixed is None or fixed not in self.exact else self.exact[fixed]


def count_rest(base: Architecture, groups: WidthGroups, group: int | None, edited: Set[str]) -> Rest:
    """The costs of all nodes but the edited ones; without a group, those of the base."""
    widths: list[Integers] = list(groups.widths)
    if group is None:
        return Rest(generic=_count(base, groups, widths, edited), exact={})
    unit = groups.groups[group].divisor
    symbolic = [Polynomial.variable(group) * unit if i == group else width for i, width in enumerate(widths)]
    found = _terms(base, groups, symbolic, edited)
    special = {width for polynomials in found.values() for polynomial in polynomials for width in _special(polynomial)}
    exact = {}
    for width in sorted(special):
        exact[width] = _count(base, groups, [width * unit if i == group else w for i, w in enumerate(widths)], edited)
    return Rest(generic={name: list(map(_quadratic, terms)) for name, terms in found.items()}, exact=exact)


def _count(
    base: Architecture, groups: WidthGroups, widths: list[Integers], edited: Set[str]
) -> dict[str, list[Quadratic]]:
    return {name: list(map(_quadratic, terms)) for name, terms in _terms(base, groups, widths, edited).items()}


def _terms(
    base: Architecture, groups: WidthGroups, widths: list[Integers], edited: Set[str]
) -> dict[str, list[Integers]]:
    """Sums over the nodes, and every activation that can be the largest; integers or polynomials in one width."""
    shapes = symbolic_shapes(base.shapes, groups, widths)
    sums: dict[str, Integers] = dict.fromkeys(_SUMS, 0)
    held: dict[tuple[object, ...], Integers] = {}
    for node in base.nodes:
        if node.name in edited:
            continue
        sources, out = tuple(shapes[name] for name in node.inputs), shapes[node.name]
        counts = {"params": node.op.params, "macs": node.op.macs, "flops": node.op.flops}
        for name, count in counts.items():
            sums[name] = sums[name] + count(sources, out)
        activation = node.op.activation(sources, out)
        key = tuple(sorted(activation.terms.items(), key=str)) if isinstance(activation, Polynomial) else (activation,)
        held[key] = activation
    return {**{name: [value] for name, value in sums.items()}, "activation_elements": [0, *held.values()]}


def _quadratic(value: Integers) -> Quadratic:
    """The coefficients of a polynomial in one width, where shortcuts that can be convs are."""
    if not isinstance(value, Polynomial):
        return Quadratic(int(value))
    coefficients = [Fraction(0)] * 3
    for monomial, coefficient in value.terms.items():
        coefficients[sum(not isinstance(variable, Unequal) for variable in monomial)] += coefficient
    assert all(coefficient.denominator == 1 for coefficient in coefficients)
    return Quadratic(*(coefficient.numerator for coefficient in coefficients))


def _special(value: Integers) -> set[int]:
    """The K at which a condition of a polynomial is not met: those of which a linear function is zero."""
    if not isinstance(value, Polynomial):
        return set()
    conditions = {variable for monomial in value.terms for variable in monomial if isinstance(variable, Unequal)}
    found = set()
    for condition in conditions:
        terms = dict(condition.difference)
        slope = sum(factor for monomial, factor in terms.items() if monomial)
        width = -terms.get((), Fraction(0)) / slope
        if width.denominator == 1 and width >= 1:
            found.add(width.numerator)
    return found
