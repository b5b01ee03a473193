"""Numbers as people write them, for checked settings: 1e6, 0.58M and 300K are numbers; true and "three" are not."""

import re
from fractions import Fraction
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator

PATTERN = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]{1,2}))?([KMG]?)"
_NUMBER = re.compile(PATTERN)
_T = TypeVar("_T")
_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def parse_number(value: Any) -> Fraction:
    """The exact value of a non-negative number; raises ValueError for anything else."""
    text = repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    match = _NUMBER.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must be a number such as 12, 0.05, 1e6, 0.58M or 300K")
    return Fraction(match[1]) * Fraction(10) ** int(match[2] or 0) * _FACTORS[match[3]]


def _count(value: Any) -> int:
    number = parse_number(value)
    if number.denominator != 1:
        raise ValueError("must be a whole number")
    return int(number)


def _real(value: Any) -> float:
    return float(parse_number(value))


def once_each(values: tuple[_T, ...]) -> tuple[_T, ...]:
    """The values of a list; raises ValueError where it has none, or one twice."""
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if not values or twice is not None:
        which = f" ({twice} stands twice)" if values else ""
        raise ValueError(f"must name at least one, and each once{which}")
    return values


Count = Annotated[int, BeforeValidator(_count)]
Real = Annotated[float, BeforeValidator(_real)]
