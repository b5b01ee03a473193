"""`nas grid` on a real store with invented outcomes: fresh seeds, and a search that was stopped half-way."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dashboards import read_front
from dashboards.grid_points import GridPoint, grid_points
from nas.planning import Plan, make_plan
from nas.search_loop import Search
from nas.show_grid import draw_grid, print_grid, read_grid
from nas.spec import Spec
from search_spaces import NasError
from tests.nas.test_search_loop import dataset, quiet, run, store  # noqa: F401
from trials.data import Dataset
from trials.store import Store

METHODS: list[dict[str, Any]] = [
    {"name": "feeding", "ways": ["upsample", "resolution"]},
    {"name": "multipliers", "width": [0.5, 1], "resolution": [0.5, 1]},
    {"name": "dilated"},
]


@pytest.fixture
def plan(small: Callable[..., Spec]) -> Plan:
    base = {"network": "isometric:depth=1,internal=4,multiplier=0.25", "resolution": 8}
    train = {"preset": "fast", "epochs": 1, "seeds": 2, "confirm": 3}
    spec = small(base=base, budget={"macs": "1x"}, methods=METHODS, train=train, search={"max_candidates": 9})
    return make_plan(spec)


def shown(points: list[GridPoint]) -> str:
    file = io.StringIO()
    print_grid(Console(file=file, width=100), points)
    return file.getvalue()


def test_fresh_seeds_of_base_and_front(plan: Plan, store: Store, dataset: Dataset, tmp_path: Path) -> None:  # noqa: F811
    """An isometric base is in the tables; half the resolution, which two methods find, in both."""
    search = Search(plan, store, dataset, quiet)
    run(search, store)
    assert search.complete
    points = read_grid("small", f"sqlite:///{tmp_path}/nas.db")
    text = shown(points)
    assert len(points) == len(plan.networks) == 6
    fresh = [point for point in points if point.fresh]
    assert {point.seeds for point in fresh} == {3}
    assert {point.seeds for point in points if not point.fresh} == {2}
    said = f"3 fresh seeds of base and front ({len(fresh)}), 2 seeds of the others ({6 - len(fresh)})"
    assert text.startswith(f"test accuracy in %; {said}\n")
    tables = text.split("\n\n")[1:]
    assert [table.splitlines()[0].strip() for table in tables if "made for" in table or "multipliers" in table] == [
        "fed in other ways, made for 8 px", "multipliers, depth x1",
    ]  # fmt: skip
    assert "px of the image; of space-to-depth, of the folded image" in text
    base = next(point for point in points if point.is_base)
    half = next(point for point in points if point.method == "resolution x0.5")
    for found in (base, half):
        assert text.count(f"{100 * found.mean:.1f} ± {100 * (found.std or 0):.1f}") >= 2
    draw_grid(points, "small", tmp_path / "grid.html")
    assert (tmp_path / "grid.html").stat().st_size > 1e6


def test_a_search_that_is_not_finished(plan: Plan, store: Store, dataset: Dataset) -> None:  # noqa: F811
    """Wherever it stands: what is on validation is marked where others are on test."""
    search, seen = Search(plan, store, dataset, quiet), set[frozenset[str]]()
    while run(search, store, stop_after=1):
        points = grid_points(read_front(store, "small"))
        splits = frozenset(point.split for point in points)
        seen.add(splits)
        if points:
            text = shown(points)
            assert text.startswith("test" if "test" in splits else "validation")
            assert ("* on validation" in text) == (len(splits) == 2)
        for point in points:
            assert point.mark == ("*" if len(splits) == 2 and point.split == "validation" else "")
    assert seen >= {frozenset({"validation"}), frozenset({"test", "validation"}), frozenset({"test"})}


def test_nothing_is_trained_yet(plan: Plan, store: Store, dataset: Dataset, tmp_path: Path) -> None:  # noqa: F811
    Search(plan, store, dataset, quiet)
    with pytest.raises(
        NasError, match=r"must have trained networks of isometric, feeding, .* has none; run nas search"
    ):
        read_grid("small", f"sqlite:///{tmp_path}/nas.db")
