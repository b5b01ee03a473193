"""What `nas grid` shows and draws."""

from pathlib import Path

from rich.console import Console

from dashboards import read_front
from dashboards.grid import GridPoint, Table, grid_figure, grid_points, grid_tables
from nas.show_descent import write_figure
from nas.tables import make_table
from search_spaces import NasError
from trials.store import Store


def read_grid(name: str, storage: str) -> list[GridPoint]:
    """The trained points of a search; raises NasError where it has none."""
    with Store(storage) as store:
        points = grid_points(read_front(store, name))
    if not points:
        raise NasError(
            f"search {name!r} must have trained networks of the method isometric to show a grid, but has none; "
            "run nas search"
        )
    return points


def print_grid(console: Console, points: list[GridPoint]) -> None:
    """A table of input against internal resolution for each depth and multiplier (Sandler et al. 2019, table 4)."""
    for table in grid_tables(points):
        family = f"depth {table.depth}, multiplier {table.multiplier:g}"
        console.print(f"{family}: {points[0].split} accuracy in %, {points[0].seeds} seeds", highlight=False)
        console.print(_accuracies(table))


def _accuracies(table: Table) -> object:
    shown = make_table("internal", *(f"{side} px input" for side in table.resolutions))
    for internal, row in zip(table.internals, table.cells, strict=True):
        shown.add_row(f"{internal} px", *(_text(cell) for cell in row))
    return shown


def _text(cell: GridPoint | None) -> str:
    if cell is None:
        return ""
    return f"{100 * cell.mean:.1f}" + ("" if cell.std is None else f" ± {100 * cell.std:.1f}")


def draw_grid(points: list[GridPoint], name: str, path: Path) -> None:
    """The picture as one file that opens without a network."""
    write_figure(grid_figure(points, name), path)
