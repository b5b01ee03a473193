"""How tables and times look in the terminal."""

from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text


class _PlainTable(Table):
    """Cells are shown as they are: names of a database may look like Rich's markup."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        super().add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells), **options)


def make_table(*columns: str, title: str = "", left: tuple[str, ...] = (), folds: tuple[str, ...] = ()) -> Table:
    """A table that fits into 80 characters; numbers to the right, columns named in `left` to the left.

    Where it is too wide, the columns named in `folds` give way: words, never numbers.
    """
    shown = Text(title) if title else None
    table = _PlainTable(box=box.SIMPLE_HEAD, title=shown, title_justify="left", collapse_padding=True, pad_edge=False)
    for name in columns:
        folded = name in folds
        table.add_column(
            name,
            justify="left" if name in left else "right",
            no_wrap=not folded,
            overflow="fold" if folded else "ellipsis",
        )
    return table


def duration(seconds: float) -> str:
    """Seconds as 45 s, 3 min 10 s or 2 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def short_number(number: float, digits: int = 3) -> str:
    """So many digits: 904K, 4.23M, 18."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        shortened = float(f"{number / factor:.{digits}g}")
        if shortened >= 1:
            return f"{shortened:g}{letter}"
    return f"{float(f'{number:.{digits}g}'):g}"
