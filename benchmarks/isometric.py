"""How fast grids of isometric networks are counted, beside making and counting one after the other (`make bench`).

One by one is what some of the feasible networks take, which have fewer blocks than most, times all points.
"""

import random
from collections.abc import Sequence

from rich.console import Console

from benchmarks.clock import seconds
from nas.tables import make_table
from search_spaces import count_cost
from search_spaces.isometric_grid import isometric_grid

GRIDS: dict[str, tuple[Sequence[int], Sequence[float], Sequence[int], Sequence[int]]] = {
    "depths": (range(1, 513), [0.5, 1, 2], [7, 14, 28], range(32, 257, 10)),
    "multipliers": ([8, 16, 32], [i / 500 for i in range(1, 1001)], [7, 14, 28], [96, 128, 160, 192, 224]),
    "sides": ([8, 16], [1], range(4, 85), range(28, 652)),
    "all four": (range(1, 51), [i / 10 for i in range(1, 21)], range(7, 57, 5), range(28, 253, 25)),
}
BOUNDS = {"params": 4e6, "macs": 1e9, "activation_elements": 400_000}
SAMPLE = 20  # networks


def main() -> None:
    """Print a table."""
    table = make_table("grid", "points", "feasible", "s", "one by one, s", "ratio", left=("grid",))
    for name, ranges in GRIDS.items():
        grid = isometric_grid(*ranges, bounds=BOUNDS)
        together = seconds(lambda: isometric_grid(*ranges, bounds=BOUNDS), repeats=3)  # noqa: B023
        rows = random.Random(0).sample(range(len(grid)), SAMPLE)
        sample = seconds(lambda: [count_cost(grid.architecture_of(row)) for row in rows], repeats=3)  # noqa: B023
        alone = sample * grid.enumerated / SAMPLE
        table.add_row(
            name,
            f"{grid.enumerated:,}",
            f"{len(grid):,}",
            f"{together:.2f}",
            f"{alone:,.0f}",
            f"{alone / together:,.0f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
