"""What would be trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.estimate import STARTUP_SECONDS, estimate_seconds
from nas.planning import Plan, make_plan
from nas.problem import Candidate
from nas.spec import Spec, parse_spec, read_spec
from search_spaces import Architecture, BudgetError, NasError, count_cost
from tests.nas.test_spec import EXAMPLE
from trials.recipe import Recipe
from trials.step_times import StepTimes


def test_the_example() -> None:
    plan = make_plan(read_spec(EXAMPLE))
    assert len(plan.found.chosen) == 12
    assert plan.trainings == 39
    assert plan.networks[0] == plan.base
    jobs = [job for network in plan.networks for job in plan.problem.jobs(network, "x")]
    assert len({job.id for job in jobs}) == 13 * (3 + 3)  # the seeds that networks are found with, and fresh ones
    base = plan.problem.base.cost
    for network in plan.found.chosen:
        cost = count_cost(network.architecture)
        assert network.cost == cost
        assert 15 <= network.architecture.resolution <= 28
        assert 0.95 * base.params <= cost.params <= base.params
        assert 0.95 * base.macs <= cost.macs <= base.macs
        assert network.architecture.shapes["conv2"] == plan.problem.base.architecture.shapes["conv2"]
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
    base = make_plan(small()).problem.base.cost
    bounds = {"params": str(base.params), "macs": "1.0x", "activation_elements": "0.9x"}
    plan = make_plan(small(budget=bounds))
    assert plan.problem.budget.bounds["activation_elements"] == base.activation_elements * 9 // 10
    assert all(network.cost.activation_elements <= base.activation_elements * 0.9 for network in plan.found.chosen)
    assert plan.problem.budget.slack(base.bounded())["activation_elements"] > 0


def test_latency_bound(small: Callable[..., Spec]) -> None:
    """A candidate above the bound is replaced by another one; the bound is relative to the base or in milliseconds."""

    def latency(network: Architecture) -> float:  # a machine on which only resolution matters
        return float(network.resolution)

    def plan(bound: str) -> Plan:
        return make_plan(small(budget={"macs": "1.0x", "latency_ms": bound}), latency_of=latency)

    chosen = plan("1.3x").found.chosen
    assert plan("1.3x").problem.budget.bounds["latency_ms"] == 18.2
    assert len(chosen) == 2
    for candidate in chosen:
        assert candidate.latency_ms == candidate.architecture.resolution <= 18
        slack = plan("1.3x").problem.budget.slack(candidate.costs)["latency_ms"]
        assert slack == round(candidate.architecture.resolution - 18.2, 6) <= 0
        assert Candidate.from_stored(candidate.to_stored()) == candidate
    with pytest.raises(
        BudgetError, match=r"budget.latency_ms allows 14.5 ms, but the quickest of 20 measured .* takes 1. ms"
    ):
        plan("14.5")


def test_equal_networks_keep_the_choices_of_all_methods(small: Callable[..., Spec]) -> None:
    """So no table depends on the order of methods; the first label stays."""
    feeding = {"name": "feeding", "ways": ["resolution"], "nominal": [14, 28]}
    multipliers = {"name": "multipliers", "width": [0.5, 1, 1.001], "resolution": [0.5, 1]}
    base = {"network": "mobilenet_v3_small:alpha=0.25", "resolution": 14}
    for methods in ([feeding, multipliers], [multipliers, feeding]):
        search, budget = {"max_candidates": 9}, {"params": "9x"}
        plan = make_plan(small(base=base, budget=budget, methods=methods, search=search))
        half = next(one for one in plan.found.chosen if one.method == "resolution x0.5")
        assert half.family == methods[0]["name"]
        assert plan.found.choice.endswith("; 4 of these are networks found already, or the base")
        assert half.choice == {
            "factor": 2, "nominal_resolution": 14,
            "width_multiplier": 1, "resolution_multiplier": 0.5, "depth_multiplier": 1,
        }  # fmt: skip
        assert plan.base.choice["factor"] == 2, "28 px, halved"
        assert plan.base.choice["nominal_resolution"] == 28
        assert plan.base.choice["width_multiplier"] == 1.001
        assert Candidate.from_stored(half.to_stored()) == half
        earlier = {key: value for key, value in half.to_stored().items() if key != "found_by"}
        assert Candidate.from_stored(earlier).family == "resolution", "as Optuna knows it in that store"


def test_no_method_trains_the_base_alone(small: Callable[..., Spec]) -> None:
    plan = make_plan(small(methods=[]))
    assert plan.networks == [plan.base]
    assert plan.trainings == 2
    assert plan.to_json()["costs"] == {}


def test_base_alone_must_keep_the_budget(small: Callable[..., Spec]) -> None:
    with pytest.raises(BudgetError, match=r"with no methods the base must keep the budget, but budget.params allows"):
        make_plan(small(methods=[], budget={"params": "0.5x"}))


def test_stored_specs_of_every_base_are_read_again(small: Callable[..., Spec]) -> None:
    for base in ({"network": "resnet18:stem=32", "resolution": 16, "width": 0.1}, {"module": "a:b", "resolution": 9}):
        spec = small(base=base, methods=[])
        assert parse_spec(spec.model_dump(mode="json"), origin="stored") == spec


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
            r"900 to 1,000 macs \(tolerance 0\.1\), but none of approach IV has; "
            r"the nearest, at \d+ px, has [\d,]+ params, [\d,]+ macs; change budget.macs or the tolerance",
        ),
        ({"budget": {"macs": "0.0000001x"}}, "budget.macs must be at least 1, but 0.0000001x of the base is 0"),
        (
            {"methods": [{"name": "compensation", "resolutions": [20, 32]}]},
            r"methods.resolutions must be above the base's 14 px and at most the native 28 px, but got \[20, 32\]",
        ),
        (
            {"methods": [{"name": "compensation", "kernel": [8, 8], "stride": [5, 5], "resolutions": [15, 15]}]},
            "approach IV must keep what the layers behind it read, but nothing in methods' ranges does; widen them",
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


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"source": "mnist"}, "data.source must be mnist5k, torchvision:NAME, or .*, but is 'mnist'"),
        ({"split": {"test": 0.0001}}, "data.split must leave 10 images or more for each part, but test gets 0"),
        ({"split": {"test": 0.4999, "validation": 0.4999}}, "but train gets 0"),
    ],
)
def test_data_that_cannot_be(small: Callable[..., Spec], data: dict[str, Any], message: str) -> None:
    with pytest.raises(NasError, match=message):
        make_plan(small(data={"source": "mnist5k"} | data))


def test_time_is_of_the_measured_step_and_measured_once(tmp_path: Path) -> None:
    plan = make_plan(read_spec(EXAMPLE))
    measured = []

    def measure(architecture: Architecture, recipe: Recipe) -> float:
        measured.append((architecture.id, recipe.epochs))
        return 0.01

    # 3,000 training images in batches of 100, 10 epochs, 39 trainings, 3 fresh ones of base and five others, 2 workers
    expected = STARTUP_SECONDS + 0.01 * 30 * 10 * (39 + 18) / 2
    for _ in range(2):
        assert estimate_seconds(plan, StepTimes(tmp_path), measure) == pytest.approx(expected)
    assert len(measured) == 4  # base, fewest and most MACs, lowest and highest resolution, of which two are one
    assert len(set(measured)) == 4


def test_time_of_networks_between_is_read_off_their_macs(small: Callable[..., Spec], tmp_path: Path) -> None:
    """Where a step takes as long as its MACs say, the estimate is exact, however far networks lie apart."""
    method = {"name": "multipliers", "width": [0.25, 0.5, 1, 2], "resolution": [0.5, 1]}
    plan = make_plan(small(budget={"params": "9x"}, methods=[method], search={"max_candidates": 9}))
    macs = {network.architecture.id: network.cost.macs for network in plan.networks}

    def measure(architecture: Architecture, _recipe: Recipe) -> float:
        return macs[architecture.id] * 1e-7

    trainings = 2 * 30 * sum(macs.values()) * 1e-7 / 2  # 2 seeds of 30 steps on 2 workers
    assert len(macs) == 8
    assert estimate_seconds(plan, StepTimes(tmp_path), measure) == pytest.approx(STARTUP_SECONDS + trainings)
