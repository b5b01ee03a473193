"""Numbers as people read them."""

from io import StringIO

import pytest
from rich.console import Console

from nas.tables import duration, make_table, short_number


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.5, "0.5"),
        (18, "18"),
        (999.4, "999"),
        (999.6, "1K"),
        (13_979, "14K"),
        (904_431, "904K"),
        (999_600, "1M"),
        (4_234_222, "4.23M"),
        (1e9, "1G"),
    ],
)
def test_short_numbers(number: float, text: str) -> None:
    assert short_number(number) == text


def test_cells_are_shown_as_they_are() -> None:
    """A name that a hostile database holds is neither a link nor a colour."""
    table = make_table("name", "number", title="[b]title", left=("name",))
    table.add_row("[link=http://x]name[/]", "[red]1")
    table.add_row("[/]", "2")
    shown = StringIO()
    Console(file=shown, width=80, force_terminal=True).print(table)
    for text in ("[b]title", "[link=http://x]name[/]", "[red]1", "[/]"):
        assert text in shown.getvalue()
    assert "\x1b]8" not in shown.getvalue()


def test_more_digits() -> None:
    assert [short_number(number, digits=4) for number in (579_786, 9_880_832, 12)] == ["579.8K", "9.881M", "12"]


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (190, "3 min 10 s"), (7500, "2 h 5 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
