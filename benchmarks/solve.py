"""How fast Borji's approaches are solved, and against nested loops that give the same set. Run by `make bench`.

The loops go over every value and every width, as one would write them down from the paper's equations.
"""

import itertools
import time
from collections.abc import Callable, Iterator

from rich.console import Console

from benchmarks.clock import seconds
from nas.tables import make_table
from search_spaces import (
    APPROACHES,
    Approach,
    Architecture,
    Conv,
    Ranges,
    Solutions,
    count_cost,
    count_edited_layers,
    solve,
    window,
)
from search_spaces.zoo import make_network
from search_spaces.zoo.lenet import lenet

LENETS = {
    "LeNet, 30 and 30 filters, colour": lenet(channels1=30, channels2=30, kernel2=5, resolution=14, channels=3),
    "LeNet, 10 and 10 filters, grey": lenet(channels1=10, channels2=10, resolution=14),
}
RESOLUTIONS = range(15, 29)
NETWORK, LAYER = "network", "layer"  # the scopes: whose costs are kept
Row = tuple[int, ...]


def solver(
    base: Architecture, approach: Approach, scope: str, name: str, tolerance: float, ranges: Ranges
) -> Callable[[], Solutions]:
    """Solves for one count of the base, kept within a tolerance, at up to twice its resolution."""
    counts = count_edited_layers(base, approach) if scope == LAYER else count_network(base)
    windows = {name: window(counts[name], tolerance)}
    resolutions = range(base.resolution + 1, 2 * base.resolution + 1)
    if scope == LAYER:
        return lambda: solve(base, approach, resolutions=resolutions, layer=windows, ranges=ranges)
    return lambda: solve(base, approach, resolutions=resolutions, network=windows, ranges=ranges)


def count_network(base: Architecture) -> dict[str, int]:
    """What the whole network costs."""
    return count_cost(base).bounded()


def main() -> None:
    """Print two tables."""
    console = Console(width=110)
    columns = ("scope", "kept", "networks", "ms")
    table = make_table("approach", *columns, left=("approach", "scope", "kept"))
    for text, base in LENETS.items():
        for approach, scope, name, tolerance in itertools.product(
            APPROACHES, (NETWORK, LAYER), ("params", "macs"), (0.0, 0.01)
        ):
            run = solver(base, approach, scope, name, tolerance, Ranges())
            label = f"{name}, {tolerance:.0%}"
            table.add_row(f"{text}: {approach}", scope, label, f"{len(run()):,}", f"{1e3 * seconds(run, 31):.2f}")
    base = make_network("resnet18")
    for approach, name in itertools.product(APPROACHES[2:], ("params", "macs")):
        run = solver(base, approach, NETWORK, name, 0.01, Ranges(kernel=(3, 11)))
        text = f"ResNet18, 224 px: {approach}"
        table.add_row(text, NETWORK, f"{name}, 1%", f"{len(run()):,}", f"{1e3 * seconds(run, 7):.1f}")
    console.print(table)

    ratios = make_table("eq. 15, 1 %", "networks", "loops, s", "ours, ms", "ratio", left=("eq. 15, 1 %",))
    for text, base in LENETS.items():
        run = solver(base, "IV", LAYER, "params", 0.01, Ranges())
        low, high = window(count_edited_layers(base, "IV")["params"], 0.01)
        start = time.perf_counter()
        by_hand = set(loop_fourth(base, (low, high), Ranges()))
        spent, ours = time.perf_counter() - start, seconds(run, 31)
        found = run()
        assert set(zip(*(found.columns[name].tolist() for name in found.free), strict=True)) == by_hand
        ratios.add_row(text, f"{len(by_hand):,}", f"{spent:.1f}", f"{1e3 * ours:.2f}", f"{spent / ours:,.0f}")
    console.print(ratios)


def loop_fourth(base: Architecture, bounds: tuple[int, int], ranges: Ranges) -> Iterator[Row]:
    """Approach IV by eq. 15 to 18, with K1' up to where conv1 alone costs too much at the smallest kernel."""
    image, (filters2, side2, _) = base.input[0], base.shapes["conv2"]
    kernels, strides, paddings = (range(low, high + 1) for low, high in (ranges.kernel, ranges.stride, ranges.padding))
    own = base.node("conv1").op
    assert isinstance(own, Conv)
    assert isinstance(own.kernel, int)
    widths = range(1, bounds[1] // (kernels[0] ** 2 * (image + filters2)) + 1)
    for row in itertools.product(RESOLUTIONS, kernels, strides, paddings, kernels, strides, paddings, widths):
        side, kernel1, stride1, padding1, kernel2, stride2, padding2, filters1 = row
        side1 = (side + 2 * padding1 - kernel1) // stride1 + 1
        if kernel1 <= own.kernel or side1 < 1 or (side1 + 2 * padding2 - kernel2) // stride2 + 1 != side2:
            continue
        if bounds[0] <= filters1 * kernel1**2 * image + filters2 * kernel2**2 * filters1 <= bounds[1]:
            yield row


if __name__ == "__main__":
    main()
