"""Approaches on networks of all kinds against nested loops: tied widths, shortcuts, groups, branches, traced ones."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from nas.networks import load_network
from search_spaces import (
    APPROACHES,
    Approach,
    Architecture,
    Conv,
    Flatten,
    Linear,
    NetworkError,
    Pool,
    Ranges,
    Solutions,
    apply_solution,
    count_coverage,
    count_coverages,
    relative_miss,
    solve,
    window,
)
from search_spaces.build import build
from search_spaces.compensation import COUNTS
from search_spaces.ops import Activation, AdaptivePool, Add, BatchNorm, Depthwise
from search_spaces.sketch import Sketch
from search_spaces.widths import scale_widths, with_widths
from search_spaces.zoo import make_network
from search_spaces.zoo.lenet import lenet
from tests.search_spaces.brute_force import brute_force, network_counts, networks, rows_of, within

RELU = Activation(function="relu")
LENET = lenet(channels1=3, channels2=4, kernel1=2, kernel2=2, hidden=5, resolution=10, classes=3, channels=2)
POOLED = lenet(channels1=4, channels2=4, kernel1=2, kernel2=3, hidden=5, resolution=12, classes=3, pool=True)


def zoo(text: str, resolution: int, scale: float) -> Architecture:
    return scale_widths(make_network(text, resolution=resolution, classes=3), scale)


def with_stem_kernel(network: Architecture, kernel: int, padding: int) -> Architecture:
    """Smaller, so that small ranges hold larger ones."""
    op = network.nodes[0].op
    assert isinstance(op, Conv)
    smaller = Conv(out_channels=op.out_channels, kernel=kernel, stride=op.stride, padding=padding, bias=op.bias)
    return network.with_ops({network.nodes[0].name: smaller})


def grouped() -> Architecture:
    """The first conv is read by a grouped one, so its filters are a multiple of 3, and by a plain one."""
    sketch = Sketch((2, 9, 9))
    sketch.add("conv1", Conv(out_channels=6, kernel=2))
    sketch.add("relu", RELU)
    plain = sketch.add("plain", Conv(out_channels=3, kernel=3, padding=1), "relu")
    parted = sketch.add("parted", Conv(out_channels=3, kernel=3, padding=1, groups=3), "relu")
    sketch.add("sum", Add(), plain, parted)
    return finished(sketch)


def branched() -> Architecture:
    """Others read the map of the first conv, and that of the norm behind it."""
    sketch = Sketch((1, 10, 10))
    first = sketch.add("conv1", Conv(out_channels=4, kernel=2))
    sketch.add("norm", BatchNorm())
    sketch.add("pool", Pool(function="average", kernel=3, stride=2))
    main = sketch.add("conv2", Conv(out_channels=5, kernel=2))
    side = sketch.add("side", Conv(out_channels=5, kernel=3, stride=3, padding=0), first)
    sketch.add("sum", Add(), main, side)
    return finished(sketch)


def depthwise() -> Architecture:
    """A depthwise conv that doubles the channels, and a pool, stand between the convs."""
    sketch = Sketch((1, 12, 12))
    sketch.add("conv1", Conv(out_channels=3, kernel=2, bias=False))
    sketch.add("depthwise", Depthwise(kernel=3, stride=2, padding=1, multiplier=2))
    sketch.add("pool", Pool(function="max", kernel=2, stride=1, ceil=True))
    sketch.add("conv2", Conv(out_channels=2, kernel=2))
    return finished(sketch)


def finished(sketch: Sketch) -> Architecture:
    sketch.add("mean", AdaptivePool())
    sketch.add("flatten", Flatten())
    sketch.add("classifier", Linear(out_features=3))
    return sketch.finish()


def all_convs() -> Architecture:
    """The second conv makes the scores: its filters are fixed."""
    sketch = Sketch((1, 9, 9))
    sketch.add("conv1", Conv(out_channels=4, kernel=2))
    sketch.add("conv2", Conv(out_channels=3, kernel=3))
    sketch.add("mean", AdaptivePool())
    sketch.add("flatten", Flatten())
    return sketch.finish()


def preact() -> Architecture:
    """Its first block is as wide as conv1 may become: there the shortcut's conv vanishes."""
    widths = [4, 4, 3, *[4] * 14]
    return with_widths(make_network("preact_resnet18", resolution=8, classes=3), widths)


# each with the ranges of kernels, and the layers up to the second conv, () where approach IV has no place
NETWORKS: dict[str, tuple[Callable[[], Architecture], tuple[int, int], tuple[str, ...]]] = {
    "lenet": (lambda: LENET, (3, 4), ("conv1", "relu1", "conv2")),
    "pooled lenet": (lambda: POOLED, (3, 4), ("conv1", "relu1", "pool1", "conv2")),
    "vgg11": (lambda: zoo("vgg11", 32, 0.06), (4, 5), ("conv1", "norm1", "relu1", "pool1", "conv2")),
    "grouped": (grouped, (3, 4), ("conv1", "relu", "plain")),
    "branched": (branched, (2, 4), ("conv1", "norm", "pool", "conv2")),
    "depthwise": (depthwise, (3, 4), ("conv1", "depthwise", "pool", "conv2")),
    "all convs": (all_convs, (3, 4), ("conv1", "conv2")),
    "resnet18": (lambda: zoo("resnet18:stem=32", 12, 0.06), (4, 5), ()),
    "preact_resnet18": (preact, (4, 5), ()),
    "mobilenet_v1": (lambda: zoo("mobilenet_v1", 24, 0.1), (4, 5), ()),
}


def edited_layers(network: Architecture, approach: Approach, named: tuple[str, ...]) -> tuple[str, ...]:
    """Those named, or from the first conv to the next one in a row of layers."""
    if approach != "IV":
        return (network.nodes[0].name,)
    if named and all(name in {node.name for node in network.nodes} for name in named):
        return named
    convs = [i for i, node in enumerate(network.nodes) if isinstance(node.op, Conv)]
    return tuple(node.name for node in network.nodes[: convs[1] + 1])


WIDTHS = range(1, 11)
CONDITIONS = [  # costs that are bounded, share of the base's, tolerance
    (("params",), 1.0, 0.1),
    (("macs", "activation_elements"), 1.25, 0.5),
    (("flops", "params"), 1.1, 0.3),
]


@pytest.mark.parametrize("approach", ["II", "III", "IV"])
@pytest.mark.parametrize("name", NETWORKS)
def test_complete(name: str, approach: Approach) -> None:
    """Also every cost and coverage, and that torch runs what is found."""
    make, kernel, named = NETWORKS[name]
    base = make()
    ranges = Ranges(kernel=kernel, stride=(1, 2), padding=(0, 2), dilation=(1, 3))
    at: dict[str, Any] = {"resolutions": [base.resolution + 2], "ranges": ranges}
    edited, counts, total = edited_layers(base, approach, named), network_counts(base), 0
    built = {tuple(row.values()): each for row, each in networks(base, approach, edited, widths=WIDTHS, **at)}
    for names, share, tolerance in CONDITIONS:
        windows = {each: window(int(counts[each] * share), tolerance) for each in names}
        found = solve(base, approach, network=windows, **at)
        kept = {row for row, each in built.items() if within(network_counts(each), windows)}
        assert {row for row in rows_of(found) if approach == "II" or row[-1] <= WIDTHS[-1]} == kept
        total += len(kept)
        check_some(base, found)
    assert total or approach == "II", "the test needs solutions"


def check_some(base: Architecture, found: Solutions) -> None:
    """Costs, coverage and output of a few solutions."""
    shares = count_coverages(base, found)
    for i in range(0, len(found), len(found) // 5 + 1):
        network, row = apply_solution(base, found.approach, found.row(i)), found.row(i)
        assert network_counts(network) == {each: row[each] for each in COUNTS}
        assert shares[i] == count_coverage(network)
        if i == 0:
            assert build(network).eval()(torch.rand(2, *network.input)).shape == (2, 3)


def test_a_multiple() -> None:
    """Filters that a grouped conv reads are found in its multiples, and no others are."""
    found = solve(grouped(), "III", resolutions=[11], network={"params": (1, 700)}, ranges=Ranges(kernel=(3, 4)))
    assert set(found.columns["channels1"]) >= {3, 6, 9}
    assert not (found.columns["channels1"] % 3).any()


def test_where_a_shortcut_vanishes() -> None:
    """At that one width the network costs less: in and out of windows, and as the nearest."""
    base = preact()
    at: dict[str, Any] = {"resolutions": [10], "ranges": Ranges(kernel=(4, 4), stride=(1, 1), padding=(0, 1))}
    everything = solve(base, "III", network={"params": (1, 4000)}, **at)
    costs = dict(zip(everything.columns["channels1"].tolist(), everything.columns["params"].tolist(), strict=True))
    assert costs[3] - costs[2] < costs[6] - costs[5] < costs[4] - costs[3]
    for width, cost in costs.items():
        found = solve(base, "III", network={"params": (cost, cost)}, **at)
        assert set(found.columns["channels1"]) == {width}
    generic = costs[3] - costs[2] + costs[4] - costs[3]  # what 3 filters would cost with a conv in the shortcut
    between = costs[2] + generic // 2
    for bound in (between, costs[3] + 1, costs[3] - 1, 1):
        found = solve(base, "III", network={"params": (bound, bound)}, **at)
        assert len(found) == 0
        assert found.nearest is not None
        assert found.nearest["params"] == costs[found.nearest["channels1"]]
        assert abs(found.nearest["params"] - bound) == min(abs(cost - bound) for cost in costs.values())


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "mobilenet_v2"])
def test_torchvision(name: str) -> None:
    base = scale_widths(load_network(f"torchvision:{name}", resolution=32, classes=3).architecture, 0.1)
    cost = network_counts(base)
    at: dict[str, Any] = {"resolutions": [36], "ranges": Ranges(kernel=(4, 8), stride=(1, 3), padding=(1, 3))}
    approaches = [approach for approach in APPROACHES if approach != "I" or name == "vgg11"]
    for approach in reversed(approaches):
        windows = {each: window(int(cost[each] * 1.2), 0.5) for each in ("params", "macs")}
        if approach == "I":
            at, windows = {"resolutions": [64]}, {"params": window(cost["params"], 0.01)}
        found = solve(base, approach, network=windows, **at)
        assert len(found), approach
        check_some(base, found)


@pytest.mark.parametrize("pool", [False, True])
def test_second_filters_free(pool: bool) -> None:
    """Approach IV with K2' (eq. 20): the same as for each K2 by itself."""
    base = POOLED if pool else LENET
    windows = {"params": (200, 400), "flops": (0, 9000)}
    at: dict[str, Any] = {"resolutions": [base.resolution + 1]}
    values: dict[str, Any] = {"kernel": (2, 3), "stride": (1, 2), "padding": (0, 1)}
    found = solve(base, "IV", network=windows, ranges=Ranges(**values, filters2=(3, 6)), **at)
    expected = set()
    for filters in range(3, 7):
        other = with_widths(base, [base.shapes["conv1"][0], filters, 5])
        edited = edited_layers(other, "IV", ())
        rows = brute_force(other, "IV", edited, network=windows, ranges=Ranges(**values), widths=range(1, 21), **at)
        expected |= {(*row, filters) for row in rows}
    assert found.free[-2:] == ("channels1", "filters2")
    assert rows_of(found) == expected
    check_some(base, found)
    exact = {"params": (999, 999), "macs": (49_999, 49_999)}

    def miss(row: Mapping[str, int] | None) -> float:
        assert row is not None
        return max(float(relative_miss(row[name], *exact[name])) for name in exact)

    nearest = solve(base, "IV", network=exact, ranges=Ranges(filters2=(3, 6)), **at).nearest
    others = [with_widths(base, [base.shapes["conv1"][0], filters, 5]) for filters in range(3, 7)]
    assert miss(nearest) == min(miss(solve(other, "IV", network=exact, **at).nearest) for other in others)
    assert nearest is not None
    assert network_counts(apply_solution(base, "IV", nearest)) == {each: nearest[each] for each in COUNTS}


def test_second_filters_must_be_a_multiple() -> None:
    sketch = Sketch((1, 9, 9))
    sketch.add("conv1", Conv(out_channels=4, kernel=2))
    sketch.add("conv2", Conv(out_channels=6, kernel=2))
    sketch.add("parted", Conv(out_channels=6, kernel=1, groups=3))
    base = finished(sketch)
    found = solve(base, "IV", resolutions=[11], network={"params": (1, 150)}, ranges=Ranges(filters2=(2, 7)))
    assert set(found.columns["filters2"]) == {3, 6}
    with pytest.raises(NetworkError, match=r"filters2 must hold a multiple of 3, but \[4, 5\] has none"):
        solve(base, "IV", resolutions=[11], network={"params": (1, 150)}, ranges=Ranges(filters2=(4, 5)))


def test_nearest_where_the_largest_activation_is_elsewhere() -> None:
    """At first the map of conv1 is not the largest, and the miss is the same for several widths."""
    base = lenet(channels1=4, channels2=2, kernel1=2, kernel2=2, hidden=5000, resolution=8)
    ranges = Ranges(kernel=(3, 3), stride=(1, 1), padding=(0, 1))
    found = solve(base, "IV", resolutions=[10], network={"activation_elements": (7001, 7002)}, ranges=ranges)
    assert len(found) == 0
    assert found.nearest is not None
    assert abs(found.nearest["activation_elements"] - 7001) < 100


def test_bounds_beyond_what_arrays_hold() -> None:
    at: dict[str, Any] = {"resolutions": [11]}
    params = {"params": window(network_counts(LENET)["params"], 0.2)}
    some = solve(LENET, "IV", network={**params, "macs": (0, 10**30)}, **at)
    assert len(some) == len(solve(LENET, "IV", network=params, **at)) > 0
    none = solve(LENET, "IV", network={"params": (10**30, 10**31)}, **at)
    assert len(none) == 0
    assert none.nearest is not None
