"""What `nas descent` shows, writes and draws."""

import json
from pathlib import Path

from rich.console import Console

from dashboards.descent import DescentData, IterationRow, descent_figure, read_descent_data
from nas.figures import write_figure
from nas.tables import duration, make_table, short_number
from search_spaces import NasError
from trials.files import write_atomically
from trials.store import Store

MOST_SHOWN = 6  # iterations in the table of widths


def read_descent(name: str, storage: str) -> DescentData:
    """The descent of a search; raises StoreError where there is none, or none of its iterations is done."""
    with Store(storage) as store:
        found = read_descent_data(store, name)
    if not found.iterations:
        state = found.ended or "the first pruning is still to be done; run nas search"
        raise NasError(f"a descent must have an iteration to be shown, but that of {name!r} has none: {state}")
    return found


def print_descent(console: Console, data: DescentData) -> None:
    """A row for each iteration, then a table of the widths."""
    cost = data.tau.replace("_", " ")
    columns = ("", "networks", "tau", "R^2 of the fits", "scaled to", "change", "time")
    table = make_table(*columns, title=f"{data.search}: iterations of the descent, tau in {cost}")
    for one in data.iterations:
        table.add_row(
            str(one.number), *_fit_cells(one), short_number(one.tau), f"{one.change:.1%}", duration(one.seconds)
        )
    console.print(table)
    if any(one.law.extrapolates(one.tau) for one in data.iterations):
        line = "extrapolated where the network is scaled to a tau outside of what was recorded"
        console.print(line, highlight=False, soft_wrap=True)
    shown = data.iterations if len(data.iterations) <= MOST_SHOWN else (data.iterations[0], *data.iterations[-4:])
    names = ("width group", "base", *(str(one.number) for one in shown))
    widths = make_table(*names, title=f"widths at the base's {cost}", left=("width group",))
    for i, group in enumerate(data.groups):
        widths.add_row(group, str(data.iterations[0].begun[i]), *(str(one.widths[i]) for one in shown))
    console.print(widths)
    if len(shown) < len(data.iterations):
        console.print("other iterations: --json, --draw", highlight=False)
    for one in data.iterations:
        if one.unfitted:
            line = f"iteration {one.number} has NO FIT, widths are scaled UNIFORMLY: {one.unfitted}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"ends: {data.ended}" if data.ended else "goes on: run nas search",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _fit_cells(one: IterationRow) -> list[str]:
    law = one.law
    if law.tau_range is None or law.r2 is None:
        return [str(len(one.rows)), "", "no fit"]
    low, high = map(short_number, law.tau_range)
    return [str(law.rows), f"{low} to {high}", f"{min(law.r2):.3f} to {max(law.r2):.3f}"]


def write_fit(data: DescentData, iteration: int | None, path: Path) -> None:
    """The law of an iteration as a file that `nas scale` takes."""
    numbers = [one.number for one in data.iterations]
    number = numbers[-1] if iteration is None else iteration
    if number not in numbers:
        raise NasError(f"--iteration must be one of {numbers[0]} to {numbers[-1]}, but is {number}")
    chosen = data.iterations[numbers.index(number)]
    if chosen.unfitted:
        raise NasError(f"iteration {number} must have a fit to be written, but has none: {chosen.unfitted}")
    write_atomically({path: (json.dumps(chosen.law.to_json(), indent=1) + "\n").encode()})


def draw_descent(data: DescentData, path: Path) -> None:
    """The picture as one file that opens without a network."""
    write_figure(descent_figure(data), path)
