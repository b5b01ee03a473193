"""Approach IV: the independent counts of the reference, brute force on small ranges, and every cost recounted."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import (
    COSTS,
    INPUT,
    Architecture,
    BudgetError,
    Conv,
    Flatten,
    LeNet,
    NetworkError,
    Node,
    Ranges,
    Solutions,
    apply_solution,
    base_row,
    count_cost,
    count_edited_layers,
    relative_miss,
    solve,
    window,
)

FREE = ("resolution", "kernel1", "stride1", "padding1", "kernel2", "stride2", "padding2")

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "borji.json").read_text())


def reference_base(net: dict[str, int], *, pool: bool = False) -> Architecture:
    conv1 = Conv(out_channels=net["K1"], kernel=net["C1"], bias=False)
    conv2 = Conv(out_channels=net["K2"], kernel=net["C2"], bias=False)
    image = (net["D"], net["N"], net["N"])
    return LeNet(conv1=conv1, conv2=conv2, hidden=net["fc1"], pool=pool).architecture(image, net["classes"])


def case_name(entry: dict[str, Any]) -> str:
    pooled = "-pooled" if entry.get("pooled_stack") else ""
    return f"{entry['approach']}-{entry['net']}{pooled}-{entry.get('ranges', '')}-{entry['constraint']}"


@pytest.mark.parametrize("entry", REFERENCE["results"], ids=case_name)
def test_reference_counts(entry: dict[str, Any]) -> None:
    """Three networks, four approaches, three ranges, exact and two tolerances on both sides: counts by another hand."""
    net, limits = REFERENCE["nets"][entry["net"]], REFERENCE["_about"]["ranges"][entry.get("ranges", "inclusive")]
    base = reference_base(net, pool=entry.get("pooled_stack", False))
    layers = count_edited_layers(base, entry["approach"])
    for tolerance, key in ((0, "n_solutions"), (0, "n_torch_pool"), (1, "n_tol_1pct"), (5, "n_tol_5pct")):
        if key in entry:
            ranges = Ranges(
                kernel=tuple(limits["kernel"]),
                stride=tuple(limits["stride"]),
                padding=tuple(limits["pad"]),
                dilation=tuple(limits["dil"]),
                any_pool_padding=key != "n_torch_pool",
            )
            names = entry["constraint"].split("+")
            kept = {name: window(layers[name], tolerance / 100, two_sided=True) for name in names}
            resolutions = range(net["N"] + 1, 2 * net["N"] + 1)
            found = solve(base, entry["approach"], resolutions=resolutions, layer=kept, ranges=ranges)
            assert len(found) == entry[key], key
            if key == "n_solutions":
                check_examples(found, entry["examples"], base)


NAMES = {
    "N": "resolution", "C1": "kernel1", "S1": "stride1", "P1": "padding1", "D1": "dilation1", "K1": "channels1",
    "C2": "kernel2", "S2": "stride2", "P2": "padding2", "Cp": "pool_kernel", "Sp": "pool_stride", "Pp": "pool_padding",
    "Z1": "units",
}  # fmt: skip


def check_examples(found: Solutions, examples: list[dict[str, int]], base: Architecture) -> None:
    """The reference's are among ours, to the last value."""
    rows = [found.row(i) for i in range(len(found))]
    for example in examples:
        side = example.get("U")  # of the map before the pool of approach I: no value of its own
        wanted = {NAMES[name]: value for name, value in example.items() if name != "U"}
        (row,) = [row for row in rows if row == row | wanted]
        assert set(found.free) - set(wanted) <= {"channels1"}
        if side is not None and found.approach == "I" and not any(node.name == "pool1" for node in base.nodes):
            network = apply_solution(base, "I", row)
            assert network.shapes["relu2"][-1] == side


@settings(max_examples=12)
@given(
    pool=st.booleans(),
    channels=st.integers(2, 6),
    bound=st.fractions(min_value=1, max_value="1.3"),
    names=st.sets(st.sampled_from(COSTS), min_size=1),
    tolerance=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_complete_against_brute_force(pool: bool, channels: int, bound: Any, names: set[str], tolerance: float) -> None:
    convs = {"conv1": Conv(out_channels=channels, kernel=2), "conv2": Conv(out_channels=4, kernel=3)}
    base = LeNet(**convs, hidden=3, pool=pool).architecture((2, 10, 10), 3)
    ranges = Ranges(kernel=(2, 4), stride=(1, 2), padding=(0, 1))
    cost = count_cost(base)
    windows = {name: window(math.floor(getattr(cost, name) * bound), tolerance) for name in names}
    found = solve(base, "IV", resolutions=[11, 13], network=windows, ranges=ranges)
    rows = {tuple(found.row(i)[name] for name in (*FREE, "channels1")) for i in range(len(found))}
    assert len(rows) == len(found), "a network stands twice"
    most = max((row[-1] for row in rows), default=0)
    assert rows == brute_force(base, windows, range(1, most + 3))


def brute_force(base: Architecture, windows: dict[str, tuple[int, int]], channels: range) -> set[tuple[int, ...]]:
    kernels, strides, paddings = (3, 4), (1, 2), (0, 1)
    found: set[tuple[int, ...]] = set()
    for values in itertools.product((11, 13), kernels, strides, paddings, (2, 3, 4), strides, paddings, channels):
        row = dict(zip((*FREE, "channels1"), values, strict=True))
        try:
            network = apply_solution(base, "IV", row)
        except NetworkError:
            continue
        kept = network.shapes["conv2"] == base.shapes["conv2"]
        cost = count_cost(network)
        if kept and all(low <= getattr(cost, name) <= high for name, (low, high) in windows.items()):
            found.add(values)
    return found


def test_every_solution_costs_what_it_says() -> None:
    base = reference_base(REFERENCE["nets"]["cifar_n16"])
    cost = count_cost(base)
    windows = {"params": window(cost.params, 0.02), "macs": window(cost.macs, 0.02)}
    found = solve(base, "IV", resolutions=range(17, 33), network=windows, ranges=Ranges())
    assert len(found) > 500
    for i in range(0, len(found), 19):
        network = apply_solution(base, "IV", found.row(i))
        assert count_cost(network).bounded() == {name: found.row(i)[name] for name in COSTS}
        assert network.shapes["conv2"] == base.shapes["conv2"]


def test_window_is_exact_in_decimal() -> None:
    assert window(100, 0.05) == (95, 100)
    assert window(119_390, 0.05) == (113_421, 119_390)  # 113,420.5 rounded up
    assert window(7, 0.0) == (7, 7)
    assert window(10**15, 0.1) == (9 * 10**14, 10**15)  # floats would miss this by one part in 10^16


@settings(max_examples=8)
@given(params=st.integers(1, 3000), macs=st.integers(1, 60_000), tolerance=st.sampled_from([0.0, 0.05]))
def test_nearest_is_nearest_by_brute_force(params: int, macs: int, tolerance: float) -> None:
    convs = {"conv1": Conv(out_channels=5, kernel=2), "conv2": Conv(out_channels=4, kernel=3)}
    base = LeNet(**convs, hidden=3, pool=False).architecture((2, 10, 10), 3)
    windows = {"params": window(params, tolerance), "macs": window(macs, tolerance)}
    ranges = Ranges(kernel=(2, 4), stride=(1, 2), padding=(0, 1))
    found = solve(base, "IV", resolutions=[11, 13], network=windows, ranges=ranges)
    if len(found):
        assert found.nearest is None
        return
    everything = dict.fromkeys(COSTS, (0, 10**9)) | {"params": (0, 6000)}
    others = solve(base, "IV", resolutions=[11, 13], network=everything, ranges=ranges)
    misses = [
        max(relative_miss(row[name], *windows[name]) for name in windows) for row in map(others.row, range(len(others)))
    ]
    assert found.nearest is not None
    nearest = max(relative_miss(found.nearest[name], *windows[name]) for name in windows)
    assert nearest == pytest.approx(min(misses))
    assert count_cost(apply_solution(base, "IV", found.nearest)).params == found.nearest["params"]


def test_counts_of_what_was_looked_at() -> None:
    base = reference_base(REFERENCE["nets"]["mnist_n14"])
    cost = count_cost(base)
    windows = {"params": window(cost.params, 0.1), "macs": window(cost.macs, 0.1)}
    below = {"params": (0, cost.params), "macs": (0, cost.macs)}
    found, all_below = (
        solve(base, "IV", resolutions=range(15, 29), network=some, ranges=Ranges()) for some in (windows, below)
    )
    assert found.enumerated == all_below.enumerated == len(all_below) > len(found) > 0


def test_too_many_to_hold() -> None:
    base = reference_base(REFERENCE["nets"]["mnist_n14"])
    with pytest.raises(BudgetError, match="must leave at most 5,000,000 networks"):
        solve(base, "IV", resolutions=range(15, 29), network={"params": (0, 10**9)}, ranges=Ranges())
    wide = Ranges(kernel=(3, 1000), padding=(0, 300))
    with pytest.raises(NetworkError, match="the ranges must give at most 20,000,000 combinations"):
        solve(base, "IV", resolutions=[15], network={"params": (0, 9)}, ranges=wide)


def test_no_geometry_keeps_the_side() -> None:
    base = reference_base(REFERENCE["nets"]["mnist_n14"])
    ranges = Ranges(kernel=(8, 8), stride=(5, 5), padding=(0, 0))
    found = solve(base, "IV", resolutions=[15], network={"params": (1, 10**9)}, ranges=ranges)
    assert len(found) == 0
    assert found.nearest is None


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([("a", Flatten(), INPUT)], r"needs a conv that reads the image, but .a. \(flatten\) does"),
        (
            [("a", Conv(out_channels=2, kernel=1), INPUT), ("b", Flatten(), "a")],
            "needs two convs, but the network has 1",
        ),
        (
            [("a", Conv(out_channels=2, kernel=3, dilation=2), INPUT), ("b", Conv(out_channels=2, kernel=1), "a")],
            "needs plain convs, but 'a' has groups or dilation",
        ),
    ],
)
def test_networks_that_it_cannot_edit(nodes: list[tuple[str, Any, str]], message: str) -> None:
    built = tuple(Node(name=name, op=op, inputs=(source,)) for name, op, source in nodes)
    base = Architecture(input=(1, 9, 9), nodes=built)
    with pytest.raises(NetworkError, match=message):
        solve(base, "IV", resolutions=[10], network={"params": (1, 9)}, ranges=Ranges())


def test_base_row_rebuilds_the_base() -> None:
    base = reference_base(REFERENCE["nets"]["fmnist_n12"])
    assert apply_solution(base, "IV", base_row(base)) == base
