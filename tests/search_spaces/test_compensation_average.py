"""Approach I: every narrowing and every number of units by nested loops, eq. 6 by itself, heads of all kinds."""

import math
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from search_spaces import (
    Architecture,
    Conv,
    Flatten,
    LeNet,
    Linear,
    NetworkError,
    apply_solution,
    count_cost,
    count_coverage,
    count_coverages,
    count_edited_layers,
    relative_miss,
    solve,
    window,
)
from search_spaces.build import build
from search_spaces.compensation import COUNTS
from search_spaces.ops import AdaptivePool, GroupNorm, Multiply, SpaceToDepth, Unflatten
from search_spaces.sketch import Sketch
from search_spaces.zoo import make_network
from tests.search_spaces.brute_force import network_counts, rows_of, within

UNITS = range(1, 26)


def lenet(values: tuple[int, int, int, int], resolution: int, *, pool: bool, mean: bool = False) -> Architecture:
    """The LeNet of these widths (image, conv1, conv2, hidden), by itself or with the mean of its last maps."""
    channels, width1, width2, hidden = values
    if not mean:
        network = LeNet(
            conv1=Conv(out_channels=width1, kernel=2),
            conv2=Conv(out_channels=width2, kernel=3),
            hidden=hidden,
            pool=pool,
        )
        return network.architecture((channels, resolution, resolution), 3)
    plain = lenet(values, resolution, pool=pool)
    sketch = Sketch(plain.input)
    for node in plain.nodes:
        if isinstance(node.op, Flatten):
            sketch.add("mean", AdaptivePool())
        sketch.add(node.name, node.op)
    return sketch.finish()


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[int, int, int, int], int, bool]:
    values = (draw(st.integers(1, 3)), draw(st.integers(2, 5)), draw(st.integers(2, 7)), draw(st.integers(2, 8)))
    return values, draw(st.integers(10, 13)), draw(st.booleans())


def by_hand(values: tuple[int, int, int, int], side: int, pool: bool, filters: int, units: int) -> Architecture:
    """Conv2 is narrowed by the factor of conv1, rounded half up, and keeps one filter at least."""
    channels, width1, width2, _ = values
    narrowed = max(1, math.floor(width2 * filters / width1 + 0.5))
    return lenet((channels, filters, narrowed, units), side, pool=pool, mean=True)


def map_side(base: Architecture) -> int:
    (flatten,) = [node for node in base.nodes if isinstance(node.op, Flatten)]
    return int(base.source_shapes(flatten)[0][-1])


def equation_six(values: tuple[int, int, int, int], side: int, units: int) -> dict[str, int]:
    """The pool and the two linear layers: U^2 V + V Z1 + Z1 Z2."""
    _, _, width, _ = values
    weights = width * units + units * 3
    held = max(side**2 * width + width, width + units, units + 3)
    return {"params": weights, "macs": weights, "flops": side**2 * width + weights, "activation_elements": held}


@settings(max_examples=15)
@given(
    case=cases(),
    names=st.sets(st.sampled_from(COUNTS), min_size=1),
    share=st.sampled_from([0.3, 0.7, 1.0, 1.5]),
    tolerance=st.sampled_from([0.0, 0.1, 0.5]),
    two_sided=st.booleans(),
)
def test_complete(case: Any, names: set[str], share: float, tolerance: float, two_sided: bool) -> None:
    values, resolution, pool = case
    base = lenet(values, resolution, pool=pool)
    counts = network_counts(base)
    windows = {name: window(int(counts[name] * share), tolerance, two_sided=two_sided) for name in names}
    sides = [resolution + 1, resolution + 2]
    found = solve(base, "I", resolutions=sides, network=windows)
    everything = {
        (side, filters, units): network_counts(by_hand(values, side, pool, filters, units))
        for side in sides
        if map_side(lenet(values, side, pool=pool)) > map_side(base)
        for filters in range(1, values[1] + 1)
        for units in UNITS
    }
    kept = {row for row, counted in everything.items() if within(counted, windows)}
    widest = {side: max(filters for each, filters, _ in rows_of(found) if each == side) for side, *_ in rows_of(found)}
    assert {row for row in rows_of(found) if row[-1] in UNITS} == {row for row in kept if row[1] == widest.get(row[0])}
    assert all(row[1] <= widest[row[0]] for row in kept)
    for i in range(0, len(found), len(found) // 5 + 1):
        row = found.row(i)
        assert network_counts(apply_solution(base, "I", row)) == {name: row[name] for name in COUNTS}
        if row["units"] in UNITS:
            own = everything[row["resolution"], row["channels1"], row["units"]]
            assert own == {name: row[name] for name in COUNTS}
    upper = {name: (0, bounds[1]) for name, bounds in windows.items()}
    below = [row for row, counted in everything.items() if within(counted, upper)]
    assume(all(row[-1] < UNITS[-1] for row in below))
    assert found.enumerated == len(below)
    misses = [max(relative_miss(counted[name], *windows[name]) for name in names) for counted in everything.values()]
    if len(found) or not misses:
        assert found.nearest is None
        return
    assert found.nearest is not None
    assert network_counts(apply_solution(base, "I", found.nearest)) == {name: found.nearest[name] for name in COUNTS}
    assert max(relative_miss(found.nearest[name], *windows[name]) for name in names) <= min(misses) + 1e-12


@settings(max_examples=30)
@given(case=cases(), names=st.sets(st.sampled_from(COUNTS), min_size=1), tolerance=st.sampled_from([0.0, 0.1, 0.5]))
def test_edited_layers_by_equation_six(case: Any, names: set[str], tolerance: float) -> None:
    values, resolution, pool = case
    base = lenet(values, resolution, pool=pool)
    counts = count_edited_layers(base, "I")
    assert counts == equation_six(values, map_side(base), values[3])
    windows = {name: window(counts[name], tolerance, two_sided=True) for name in names}
    sides = [resolution + 1, resolution + 3]
    found = solve(base, "I", resolutions=sides, layer=windows)
    expected = set()
    for side in sides:
        raised = map_side(lenet(values, side, pool=pool))
        for units in UNITS:
            if raised > map_side(base) and within(equation_six(values, raised, units), windows):
                expected.add((side, values[1], units))
    assert {row for row in rows_of(found) if row[-1] in UNITS} == expected


def test_builds_and_looks_at_all() -> None:
    base = lenet((2, 4, 5, 6), 10, pool=True)
    found = solve(base, "I", resolutions=[13, 15], network={"params": window(count_cost(base).params, 0.3)})
    shares = count_coverages(base, found)
    assert len(found) > 5
    for i in range(0, len(found), 5):
        network = apply_solution(base, "I", found.row(i))
        assert build(network)(torch.rand(2, *network.input)).shape == (2, 3)
        assert shares[i] == count_coverage(network)


def squeeze_excite(*, after: str) -> Architecture:
    """With linear layers in the gate of a conv's channels, which are no hidden layer."""
    sketch = Sketch((1, 9, 9))
    for name, width in (("conv1", 4), ("conv2", 5)):
        sketch.add(name, Conv(out_channels=width, kernel=3))
        if name == after:
            sketch.add("mean", AdaptivePool())
            sketch.add("vector", Flatten())
            sketch.add("reduce", Linear(out_features=2))
            sketch.add("restore", Linear(out_features=width))
            sketch.add("gate", Unflatten())
            sketch.add("product", Multiply(), name, "gate")
    sketch.add("flatten", Flatten())
    sketch.add("hidden", Linear(out_features=6))
    sketch.add("classifier", Linear(out_features=3))
    return sketch.finish()


@pytest.mark.parametrize("after", ["conv1", "conv2"])
def test_linear_layers_of_a_gate(after: str) -> None:
    base = squeeze_excite(after=after)
    found = solve(base, "I", resolutions=[10], network={"params": (0, count_cost(base).params)})
    assert found.columns["channels1"].max() <= 4
    for i in range(0, len(found), 7):
        row = found.row(i)
        network = apply_solution(base, "I", row)
        assert network.shapes["hidden"] == (row["units"],)
        assert network.shapes["reduce"] == (2,)
        assert network_counts(network) == {name: row[name] for name in COUNTS}
    assert count_edited_layers(base, "I")["params"] == 5 * 6 + 6 * 3


def test_units_must_be_a_multiple() -> None:
    sketch = Sketch((1, 9, 9))
    sketch.add("conv1", Conv(out_channels=4, kernel=3))
    sketch.add("flatten", Flatten())
    sketch.add("hidden", Linear(out_features=6))
    sketch.add("norm", GroupNorm(groups=3))
    sketch.add("classifier", Linear(out_features=2))
    base = sketch.finish()
    scopes: list[dict[str, Any]] = [{"network": {"params": (0, 300)}}, {"layer": {"params": (0, 80)}}]
    for windows in scopes:
        found = solve(base, "I", resolutions=[10], **windows)
        assert set(found.columns["units"]) >= {3, 6, 9, 12}
        assert not (found.columns["units"] % 3).any()
        for i in range(len(found)):
            row = found.row(i)
            assert network_counts(apply_solution(base, "I", row)) == {name: row[name] for name in COUNTS}
    assert count_edited_layers(base, "I")["params"] == 4 * 6 + 6 * 2


def test_resolutions_at_which_the_base_cannot_be() -> None:
    sketch = Sketch((1, 8, 8))
    sketch.add("conv1", Conv(out_channels=4, kernel=3, padding=1))
    sketch.add("blocks", SpaceToDepth(block=2))
    sketch.add("flatten", Flatten())
    sketch.add("hidden", Linear(out_features=6))
    sketch.add("classifier", Linear(out_features=2))
    base = sketch.finish()
    windows = {"params": (0, count_cost(base).params)}
    assert set(solve(base, "I", resolutions=range(9, 13), network=windows).columns["resolution"]) == {10, 12}
    none = solve(base, "I", resolutions=[9], network=windows)
    assert (len(none), none.enumerated, none.nearest, none.free) == (0, 0, None, ("resolution", "channels1", "units"))


def test_no_hidden_layer() -> None:
    """Where a global pool stands already and the classifier reads it, one network for each narrowing."""
    base = make_network("mobilenet_v2", resolution=32, classes=3)
    cost = count_cost(base)
    found = solve(base, "I", resolutions=[64, 96], network={"macs": (0, cost.macs)})
    assert found.free == ("resolution", "channels1")
    below = {
        (side, filters)
        for side in (64, 96)
        for filters in range(1, 33)
        if count_cost(apply_solution(base, "I", {"resolution": side, "channels1": filters})).macs <= cost.macs
    }
    assert rows_of(found) == {max(row for row in below if row[0] == side) for side, _ in below}
    assert found.enumerated == len(below) > 0
    none = solve(base, "I", resolutions=[64, 96], network={"macs": (1, 2)})
    assert none.nearest is not None
    assert (none.nearest["resolution"], none.nearest["channels1"]) == (64, 1)
    with pytest.raises(NetworkError, match="needs a hidden linear layer, whose units eq"):
        solve(base, "I", resolutions=[64], layer={"flops": (1, 2)})
    with pytest.raises(NetworkError, match="needs a hidden linear layer, whose units eq"):
        count_edited_layers(base, "I")


def test_no_larger_map() -> None:
    """At one pixel more the pools leave as much as before."""
    base = lenet((1, 3, 3, 4), 11, pool=True)
    raised = lenet((1, 3, 3, 4), 12, pool=True)
    assert map_side(base) == map_side(raised)
    assert len(solve(base, "I", resolutions=[12], network={"params": (0, 10**4)})) == 0
