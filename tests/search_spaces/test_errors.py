"""What is told of an error."""

import pytest

from search_spaces import one_line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\n  b\tc", "a b c"),
        ("\x1b[31mred\x07 \u202egpj", "?[31mred? ?gpj"),
        ("postgresql+psycopg://me:se:cret@h/d fails", "postgresql+psycopg://me:***@h/d fails"),
        ("two: a://b:c@d e://:f@g, http://host:80/x", "two: a://b:***@d e://:***@g, http://host:80/x"),
        (ValueError("rule, value"), "rule, value"),
    ],
)
def test_one_line(text: object, told: str) -> None:
    assert one_line(text) == told


def test_the_way_out_stays() -> None:
    told = one_line(f"must be short, but got {'x' * 10_000}; take another")
    assert len(told) == 2500
    assert told.startswith("must be short, but got xxx")
    assert told.endswith("xxx; take another")
