"""What would be trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.estimate import STARTUP_SECONDS, estimate_seconds
from nas.plan import make_plan
from nas.spec import Spec, read_spec
from search_spaces import Architecture, NasError, count_cost
from tests.nas.test_spec import EXAMPLE
from trials.recipe import Recipe
from trials.step_times import StepTimes


def test_the_example() -> None:
    plan = make_plan(read_spec(EXAMPLE))
    assert len(plan.found.chosen) == 12
    assert plan.trainings == 39
    assert plan.networks[0] == plan.base
    assert len({job.id for network in plan.networks for job in plan.problem.jobs(network.architecture, "x")}) == 39
    base = count_cost(plan.problem.base)
    for network in plan.found.chosen:
        cost = count_cost(network.architecture)
        assert network.cost == cost
        assert 15 <= network.architecture.resolution <= 28
        assert 0.95 * base.params <= cost.params <= base.params
        assert 0.95 * base.macs <= cost.macs <= base.macs
        assert network.architecture.shapes["conv2"] == plan.problem.base.shapes["conv2"]
    assert {network.architecture.resolution for network in plan.found.chosen} >= {15, 20, 25}


def test_listing_is_json_and_repeatable() -> None:
    listing = make_plan(read_spec(EXAMPLE)).to_json()
    assert json.loads(json.dumps(listing)) == make_plan(read_spec(EXAMPLE)).to_json()
    assert listing["base"]["params"] == 119_390
    assert listing["base"]["macs"] == 1_575_380
    assert listing["enumerated"] > listing["feasible"] > len(listing["candidates"]) == 12
    assert listing["feasible"] == 9_823
    for candidate in listing["candidates"]:
        assert {"id", "method", "resolution", "params", "macs", "activation_elements"} <= set(candidate)


def test_chosen_are_by_seed(small: Callable[..., Spec]) -> None:
    def chosen(seed: int) -> list[str]:
        return [network.id for network in make_plan(small(search={"max_candidates": 5, "seed": seed})).found.chosen]

    assert chosen(0) == chosen(0)
    assert chosen(0) != chosen(1)


def test_absolute_and_activation_bounds(small: Callable[..., Spec]) -> None:
    base = make_plan(small()).problem.base_cost
    bounds = {"params": str(base.params), "macs": "1.0x", "activation_elements": "0.9x"}
    plan = make_plan(small(budget=bounds))
    assert plan.problem.budget.bounds["activation_elements"] == base.activation_elements * 9 // 10
    assert all(network.cost.activation_elements <= base.activation_elements * 0.9 for network in plan.found.chosen)
    assert plan.problem.budget.slack(base)["activation_elements"] > 0


def test_overlap_is_a_preference(small: Callable[..., Spec]) -> None:
    methods = [{"name": "compensation", "tolerance": 0.1, "overlap": 0.5}]
    for network in make_plan(small(methods=methods)).found.chosen:
        assert 2 * network.choice["conv1_stride"] <= network.choice["conv1_kernel"]
        assert 2 * network.choice["conv2_stride"] <= network.choice["conv2_kernel"]
    none_such = [{"name": "compensation", "tolerance": 0.1, "overlap": 0.9}]  # no stride is a tenth of its kernel
    assert len(make_plan(small(methods=none_such)).found.chosen) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"budget": {"params": "1.0x", "macs": 1000}},
            r"budget.macs allows 900 to 1,000 \(tolerance 0\.1\), but no candidate meets it; the nearest, at \d+ px, "
            r"has [\d,]+ params, [\d,]+ macs; change the bound or the tolerance",
        ),
        ({"budget": {"macs": "0.0000001x"}}, "budget.macs must be at least 1, but 0.0000001x of the base is 0"),
        (
            {"methods": [{"name": "compensation", "resolutions": [20, 32]}]},
            r"methods.resolutions must be above the base's 14 px and at most the native 28 px, but got \[20, 32\]",
        ),
        (
            {"methods": [{"name": "compensation", "kernel": [8, 8], "stride": [5, 5], "resolutions": [15, 15]}]},
            "approach IV must keep conv2's output side, but no kernel",
        ),
    ],
)
def test_what_cannot_be_planned(small: Callable[..., Spec], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NasError, match=message):
        make_plan(small(**changes))


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ({"resolution": 32}, "base.resolution must be at most mnist5k's native 28 px, but got 32"),
        ({"resolution": 28}, "must be below the data's native 28 px to be raised, but is 28"),
        ({"resolution": 5}, "base: node 'conv2': conv: the kernel must fit into the padded input, but kernel 5"),
    ],
)
def test_bases_that_cannot_be(small: Callable[..., Spec], base: dict[str, Any], message: str) -> None:
    convs = {"network": "lenet", "conv1": {"channels": 6, "kernel": 3}, "conv2": {"channels": 8, "kernel": 5}}
    with pytest.raises(NasError, match=message):
        make_plan(small(base=convs | base))


def test_time_is_of_the_measured_step_and_measured_once(tmp_path: Path) -> None:
    plan = make_plan(read_spec(EXAMPLE))
    measured = []

    def measure(architecture: Architecture, recipe: Recipe) -> float:
        measured.append((architecture.id, recipe.epochs))
        return 0.01

    # 3,000 training images in batches of 100, 10 epochs, 39 networks, 2 workers
    expected = STARTUP_SECONDS + 0.01 * 30 * 10 * 39 / 2
    for _ in range(2):
        assert estimate_seconds(plan, StepTimes(tmp_path), measure) == pytest.approx(expected)
    assert len(measured) == 3
