"""What `nas grid` shows and draws."""

from pathlib import Path

from rich.console import Console

from dashboards import read_front
from dashboards.grid import grid_figure
from dashboards.grid_points import GridPoint, Table, cell_text, grid_points, grid_tables, said_scores
from nas.figures import write_figure
from nas.tables import make_table
from search_spaces import NasError
from trials.store import Store


def read_grid(name: str, storage: str) -> list[GridPoint]:
    """The trained points of a search; raises NasError where it has none."""
    with Store(storage) as store:
        points = grid_points(read_front(store, name))
    if not points:
        raise NasError(
            f"search {name!r} must have trained networks of isometric, feeding, dilated, parallel, multipliers or "
            "compound to show how resolution matters, but has none; run nas search"
        )
    return points


def print_grid(console: Console, points: list[GridPoint]) -> None:
    """A table of each kind: input against internal resolution, ways to feed, width against resolution."""
    tables = grid_tables(points)
    console.print(said_scores(points), highlight=False)
    for table in tables:
        console.print(f"\n{table.title}", highlight=False)
        console.print(_shown(table))
        if table.note:
            console.print(table.note, highlight=False)
    if not tables:
        console.print("no two of the networks differ in resolution or width alone: nas front lists them")


def _shown(table: Table) -> object:
    shown = make_table(table.corner, *table.columns, left=(table.corner,), folds=table.columns)  # at spaces, uncut
    for name, row in zip(table.rows, table.cells, strict=True):
        shown.add_row(name, *(cell_text(cell, " ± ") for cell in row))
    return shown


def draw_grid(points: list[GridPoint], name: str, path: Path) -> None:
    """The picture as one file that opens without a network."""
    write_figure(grid_figure(points, name), path)
