"""Numbers as people write them."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from trials.fields import Count, Real, parse_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.58M", 580_000),
        ("300K", 300_000),
        ("1e6", 1_000_000),
        (1e6, 1_000_000),
        ("2G", 2 * 10**9),
        ("1.5e3K", 1_500_000),
        (12, 12),
        (0.05, Fraction(1, 20)),
        (".5", Fraction(1, 2)),
        (" 7 ", 7),
    ],
)
def test_numbers(text: Any, value: Any) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text", ["", "three", "-1", "1e", "0x10", "1,000", "1 M", "nan", "inf", "1e999", True, None, []]
)
def test_not_numbers(text: Any) -> None:
    with pytest.raises(ValueError, match="must be a number such as"):
        parse_number(text)


@given(st.integers(0, 10**15))
def test_integers_are_exact(number: int) -> None:
    assert parse_number(str(number)) == parse_number(number) == number


class _Settings(BaseModel):
    count: Count = 1
    real: Real = 1.0


def test_counts_are_whole() -> None:
    assert _Settings.model_validate({"count": "1.5K", "real": "5e-2"}) == _Settings(count=1500, real=0.05)
    with pytest.raises(ValidationError, match="whole number"):
        _Settings.model_validate({"count": "0.5"})
    with pytest.raises(ValidationError, match="must be a number"):
        _Settings.model_validate({"count": True})
