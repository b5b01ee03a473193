"""Grids of isometric networks: equal to counting one network after the other, complete, and no point too many."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import COSTS, BudgetError, NetworkError, count_cost, layer_costs
from search_spaces.isometric_grid import AXES, IsometricGrid, isometric_grid
from search_spaces.zoo import make_network
from search_spaces.zoo.isometric import isometric

SIDES = st.integers(1, 64)


def costs_of_row(grid: IsometricGrid, row: int) -> dict[str, int]:
    return {name: int(getattr(grid, name)[row]) for name in COSTS}


@given(
    depth=st.integers(1, 5),
    multiplier=st.one_of(st.floats(0.001, 2.5), st.sampled_from((0.25, 0.5, 1, 2))),
    internal=SIDES,
    resolution=SIDES,
    classes=st.integers(1, 2000),
    channels=st.integers(1, 4),
)
def test_any_point_is_counted_exactly(**numbers: Any) -> None:
    """Images that the internal side does not divide, and smaller ones than it, included."""
    images = {name: numbers.pop(name) for name in ("classes", "channels")}
    grid = isometric_grid(*([numbers[name]] for name in AXES), **images, bounds={})
    network = isometric(**numbers, **images)
    assert costs_of_row(grid, 0) == count_cost(network).bounded()
    assert grid.architecture_of(0) == network


RANGES: dict[str, list[Any]] = {
    "depth": [3, 1],
    "multiplier": [1.0, 0.3, 0.01],
    "internal": [14, 7, 16, 1],
    "resolution": [28, 64, 10, 7, 224, 225],
}


def test_a_whole_grid_one_by_one() -> None:
    grid = isometric_grid(*RANGES.values(), classes=10, channels=1, bounds={})
    points = list(product(*RANGES.values()))
    assert len(grid) == grid.enumerated == len(points)
    for row, point in enumerate(points):
        assert tuple(getattr(grid, name)[row] for name in AXES) == point
        network = isometric(**dict(zip(AXES, point, strict=True)), classes=10, channels=1)
        assert costs_of_row(grid, row) == count_cost(network).bounded()


@pytest.mark.parametrize("names", [("params",), ("macs",), ("activation_elements",), COSTS])
@pytest.mark.parametrize("quantile", [0.3, 0.7])
def test_bounds_keep_exactly_what_is_feasible(names: tuple[str, ...], quantile: float) -> None:
    everything = isometric_grid(*RANGES.values(), bounds={})
    bounds = {name: float(np.quantile(getattr(everything, name), quantile, method="lower")) for name in names}
    found = isometric_grid(*RANGES.values(), bounds=bounds)
    kept = [
        row
        for row in range(len(everything))
        if all(costs_of_row(everything, row)[name] <= bound for name, bound in bounds.items())
    ]
    assert 0 < len(kept) < len(everything)
    assert found.enumerated == len(everything)
    for name in (*AXES, *COSTS):
        assert getattr(found, name).tolist() == getattr(everything, name)[kept].tolist()


def test_points_beyond_one_chunk_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = isometric_grid(*RANGES.values(), bounds={"params": 1_500_000})
    monkeypatch.setattr("search_spaces.isometric_grid.CHUNK", 7)
    parts = isometric_grid(*RANGES.values(), bounds={"params": 1_500_000})
    assert all(getattr(parts, name).tolist() == getattr(whole, name).tolist() for name in (*AXES, *COSTS))


def test_the_papers_networks() -> None:
    """Section 7.1 (4.4 M), table 4 (20 M), section 7.3 (300 K and below 100 K elements, of blocks)."""
    grid = isometric_grid([16, 32], [1, 2], [14, 7], [224], bounds={})
    keys = zip(grid.depth.tolist(), grid.multiplier.tolist(), grid.internal.tolist(), strict=True)
    params = dict(zip(keys, grid.params.tolist(), strict=True))
    assert (params[16, 1.0, 14], params[32, 2.0, 14]) == (4_420_968, 19_633_640)
    for row in range(len(grid)):
        if (grid.depth[row], grid.multiplier[row]) == (32, 2):
            layers = layer_costs(grid.architecture_of(row))
            blocks = max(layer.activation_elements for layer in layers if layer.name.startswith("block"))
            assert blocks == {14: 301_056, 7: 75_264}[int(grid.internal[row])]
            assert grid.activation_elements[row] == {14: 326_144, 7: 156_800}[int(grid.internal[row])]


def test_a_row_has_a_text() -> None:
    grid = isometric_grid([8], [0.1 + 0.2], [7], [32], classes=10, bounds={})
    assert grid.text_of(0) == "isometric:depth=8,multiplier=0.30000000000000004,internal=7"
    assert make_network(grid.text_of(0), resolution=32, classes=10) == grid.architecture_of(0)
    with pytest.raises(IndexError):
        grid.architecture_of(1)


def grid_of(**changes: Any) -> IsometricGrid:
    ranges: dict[str, Any] = {"depth": [1, 2], "multiplier": [1], "internal": [7], "resolution": [28]}
    bounds = changes.pop("bounds", {})
    return isometric_grid(*(ranges | changes).values(), bounds=bounds)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": []}, "depth must have at least one value, but the range is empty"),
        ({"depth": [1, 0]}, "depth must be an integer from 1 to 1024, but got depth=0"),
        ({"internal": [7.0]}, "internal must be an integer from 1 to 4096, but got internal=7.0"),
        ({"resolution": [2**16 + 1]}, "resolution must be an integer from 1 to 65536, but got resolution=65537"),
        ({"multiplier": [float("nan")]}, "multiplier must be a number above 0, at most 1024, but got multiplier=nan"),
        ({"depth": [3, 1, 3]}, r"values of depth must differ, but one stands twice in \[3, 1, 3\]"),
        ({"multiplier": [1, 1.0]}, "values of multiplier must differ"),
        (
            {"depth": range(1, 1001), "internal": range(1, 1001), "resolution": range(1, 101)},
            "at most 10,000,000 points, but has 100,000,000",
        ),
        (
            {"multiplier": [1024], "internal": [4096], "depth": [1024]},
            r"counts must stay below 2\^62 to be exact, but may reach .*; use smaller ranges",
        ),
    ],
)
def test_wrong_ranges(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        grid_of(**changes)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"flops": 5}, "a budget must bound params, macs, activation_elements, but names 'flops'"),
        ({"params": 0}, "params must be a positive number, but the bound is 0"),
        ({"macs": float("inf")}, "macs must be a positive number, but the bound is inf"),
        ({"params": "1e6"}, "params must be a positive number, but the bound is '1e6'"),
    ],
)
def test_wrong_bounds(bounds: dict[str, Any], message: str) -> None:
    with pytest.raises(BudgetError, match=message):
        grid_of(bounds=bounds)


def test_what_keeps_no_bound_names_the_nearest() -> None:
    """Of two bounds the one that is missed by more counts: depth 1 misses params by less than depth 2."""
    least = costs_of_row(grid_of(), 0)
    with pytest.raises(BudgetError) as caught:
        grid_of(bounds={"params": least["params"] - 1, "macs": 10**12})
    assert str(caught.value) == (
        "a network of the grid must keep all bounds, but none does; the nearest is "
        f"isometric:depth=1,multiplier=1.0,internal=7 at 28 px with params {least['params']:,} (bound "
        f"{least['params'] - 1:,}), macs {least['macs']:,} (bound 1,000,000,000,000); raise the bounds or add smaller "
        "values"
    )
    kept = grid_of(bounds={"params": least["params"], "macs": 10**12})
    assert kept.depth.tolist() == [1]


def test_counts_below_the_limit_are_exact() -> None:
    """Near 2^62 floats would not be."""
    numbers: dict[str, Any] = {"depth": 8, "multiplier": 512.0, "internal": 3000, "resolution": 3001}
    grid = isometric_grid(*([value] for value in numbers.values()), bounds={})
    assert costs_of_row(grid, 0) == count_cost(isometric(**numbers)).bounded()
    assert grid.macs[0] > 2**56
