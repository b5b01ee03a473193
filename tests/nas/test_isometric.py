"""Isometric networks as a method: the feasible points of a grid, and which of them are trained."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import optuna
import pytest

from nas.planning import make_plan
from nas.spec import Spec
from nas.spec_errors import SpecError
from search_spaces import Architecture, BudgetError, count_cost
from search_spaces.zoo import make_network
from tests.conftest import run_nas, write_spec

BASE = {"network": "isometric:depth=2,internal=4,multiplier=0.25", "resolution": 7}
LISTS: dict[str, Any] = {"depth": [1, 3], "multiplier": [0.25, 0.5], "internal": [4, 7], "resolution": [7, 14]}
METHOD: dict[str, Any] = {"name": "isometric", **LISTS}
BUDGET = {"params": "300K", "macs": "2M"}


def feasible() -> set[str]:
    """Ids of the points that keep the budget, one by one."""
    found = set()
    for depth, multiplier, internal, side in product(*LISTS.values()):
        text = f"isometric:depth={depth},multiplier={multiplier},internal={internal}"
        network = make_network(text, resolution=side, classes=10, channels=1)
        cost = count_cost(network)
        if cost.params <= 300_000 and cost.macs <= 2_000_000:
            found.add(network.id)
    return found


def test_every_feasible_point_is_a_candidate(small: Callable[..., Spec]) -> None:
    plan = make_plan(small(base=BASE, budget=BUDGET, methods=[METHOD], search={"max_candidates": 99}))
    assert {candidate.id for candidate in plan.found.chosen} == feasible()
    assert 0 < len(feasible()) < 16
    assert (plan.found.enumerated, len(plan.found.costs)) == (16, len(feasible()))
    for candidate in plan.found.chosen:
        depth, multiplier, side = (candidate.choice[name] for name in ("depth", "multiplier", "internal_resolution"))
        text = f"isometric:depth={depth},multiplier={multiplier},internal={side}"
        resolution = candidate.architecture.resolution
        assert candidate.architecture == make_network(text, resolution=resolution, classes=10, channels=1)
        assert plan.problem.budget.keeps(candidate.costs)


def test_a_base_that_is_a_point_of_the_grid_is_one(small: Callable[..., Spec]) -> None:
    base = {"network": "isometric:depth=1,internal=4,multiplier=0.25", "resolution": 7}
    plan = make_plan(small(base=base, budget=BUDGET, methods=[METHOD], search={"max_candidates": 99}))
    assert plan.base.choice == {"depth": 1, "multiplier": 0.25, "internal_resolution": 4}
    assert plan.base.method == "base"
    assert {network.id for network in plan.networks} == feasible()
    assert len(plan.networks) == len(feasible())


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("macs", ["2M", "0.9x"])
def test_a_base_on_the_grid_is_a_point_also_undrawn(small: Callable[..., Spec], count: int, macs: str) -> None:
    """Whatever is drawn, and where the base alone breaks the budget."""
    base = {"network": "isometric:depth=3,internal=7,multiplier=0.25", "resolution": 14}
    budget, search = {"params": "300K", "macs": macs}, {"max_candidates": count}
    plan = make_plan(small(base=base, budget=budget, methods=[METHOD], search=search))
    assert plan.base.choice == {"depth": 3, "multiplier": 0.25, "internal_resolution": 7}


def test_a_base_beside_the_grid_is_no_point(small: Callable[..., Spec]) -> None:
    assert not make_plan(small(base=BASE, budget=BUDGET, methods=[METHOD])).base.choice


def test_some_are_drawn_by_seed(small: Callable[..., Spec]) -> None:
    def drawn(seed: int) -> list[str]:
        search = {"max_candidates": 4, "seed": seed}
        return [
            one.id for one in make_plan(small(base=BASE, budget=BUDGET, methods=[METHOD], search=search)).found.chosen
        ]

    assert len(drawn(0)) == 4
    assert drawn(0) == drawn(0)
    assert len({tuple(drawn(seed)) for seed in range(5)}) > 1


def test_beside_other_methods(small: Callable[..., Spec]) -> None:
    methods = [METHOD, {"name": "uniform"}]
    plan = make_plan(small(base={"network": "resnet18:stem=32", "resolution": 14}, budget=BUDGET, methods=methods))
    assert {candidate.family for candidate in plan.found.chosen} == {"isometric", "uniform"}
    assert "params" in plan.to_json()["costs"]


def test_slow_ones_are_replaced(small: Callable[..., Spec]) -> None:
    def latency_of(network: Architecture) -> float:
        return 1.0 if network.resolution == 7 else 9.0

    spec = small(base=BASE, budget={**BUDGET, "latency": 2}, methods=[METHOD], search={"max_candidates": 3})
    chosen = make_plan(spec, latency_of=latency_of).found.chosen
    assert [candidate.architecture.resolution for candidate in chosen] == [7, 7, 7]
    with pytest.raises(BudgetError, match=r"budget.latency_ms allows 2.0 ms, but the quickest of \d+ isometric"):
        make_plan(spec, latency_of=lambda network: 3.0)


@pytest.mark.parametrize(
    ("method", "budget", "error", "message"),
    [
        ({"resolution": [7, 56]}, BUDGET, SpecError, "isometric.resolution must be at most mnist5k's native 28 px"),
        ({}, {"params": 100}, BudgetError, "methods: isometric: a network of the grid must keep all bounds"),
        ({"depth": [2, 2]}, BUDGET, SpecError, "methods.0.depth must name at least one, and each once"),
        ({"internal": []}, BUDGET, SpecError, "methods.0.internal must name at least one, and each once"),
        ({"multiplier": [0]}, BUDGET, SpecError, "methods.0.multiplier.0 must be greater than 0"),
    ],
)
def test_bad_lists(
    small: Callable[..., Spec], method: dict[str, Any], budget: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_plan(small(base=BASE, budget=budget, methods=[METHOD | method]))


@pytest.mark.slow
def test_a_search(tmp_path: Path) -> None:
    train = {"preset": "fast", "epochs": 1, "seeds": 1, "confirm": 0}
    write_spec(tmp_path, base=BASE, budget=BUDGET, methods=[METHOD], train=train, search={"max_candidates": 3})
    done = run_nas(tmp_path, "search", "small.yaml", "--local")
    assert done.returncode == 0, done.stderr
    trials = optuna.load_study(study_name="small", storage=f"sqlite:///{tmp_path}/nas.db").trials
    points = [trial.params for trial in trials if trial.params["method"] == "isometric"]
    assert len(points) == 3
    assert all({"depth", "multiplier", "internal_resolution", "resolution"} <= set(point) for point in points)
    found = json.loads(run_nas(tmp_path, "front", "small", "--json").stdout)
    assert all(network["test_accuracy"]["images"] == 1000 for network in found["networks"])
