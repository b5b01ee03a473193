"""The base fed otherwise, dilated, in parallel, multiplied and scaled together: what a spec makes of it."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import optuna
import pytest

from nas.planning import Plan, make_plan
from nas.spec import Spec
from nas.spec_errors import SpecError
from search_spaces import Architecture, BudgetError, count_cost
from search_spaces.compound import compound, with_depth
from search_spaces.edits import with_resolution
from search_spaces.feeding import WAYS, dilated, feed
from search_spaces.parallel import ORDERS, parallel
from search_spaces.widths import scale_widths
from search_spaces.zoo import make_network
from tests.conftest import run_nas, write_spec

BASE: dict[str, Any] = {"network": "mobilenet_v3_small:alpha=0.25", "resolution": 28}
ISOMETRIC = {"network": "isometric:depth=2,internal=7,multiplier=0.25", "resolution": 7}
WIDE = {"params": "10x", "macs": "100x"}
Make = Callable[..., Spec]


def planned(small: Make, method: dict[str, Any], **changes: Any) -> Plan:
    """A plan with one method and a budget that nearly everything keeps."""
    return make_plan(
        small(**{"base": BASE, "budget": WIDE, "search": {"max_candidates": 99}, **changes, "methods": [method]})
    )


def by_method(plan: Plan) -> dict[str, Architecture]:
    """Its candidates; all counted by `count_cost` and within the budget."""
    for candidate in plan.found.chosen:
        assert candidate.cost == count_cost(candidate.architecture)
        assert plan.problem.budget.keeps(candidate.costs)
    return {candidate.method: candidate.architecture for candidate in plan.found.chosen}


def test_every_way_to_feed(small: Make) -> None:
    plan = planned(small, {"name": "feeding", "factors": [2, 4]})
    base = plan.base.architecture
    expected = {
        f"{way} x{factor if way != 'resolution' else 1 / factor:g}": feed(base, way, factor)
        for way, factor in product(WAYS, (2, 4))
    }
    assert by_method(plan) == expected
    assert plan.found.enumerated == len(plan.found.costs) == 10
    assert plan.found.chosen[0].choice == {"factor": 2, "nominal_resolution": 28}


def test_networks_made_for_more_pixels_than_there_are(small: Make) -> None:
    """Images stay at most the data's 28 px, while the maps are those of 56."""
    found = by_method(planned(small, {"name": "feeding", "ways": ["upsample", "space-to-depth"], "nominal": [56]}))
    base = make_network(BASE["network"], resolution=56, classes=10, channels=1)
    assert found == {"upsample x2 of 56": feed(base, "upsample", 2)}


def test_those_over_the_budget_are_left_out(small: Make) -> None:
    plan = planned(small, {"name": "feeding"}, budget={"params": "1x", "macs": "1x"})
    assert set(by_method(plan)) == {"skip-stride x2", "upsample x2", "upsample-zeros x2", "resolution x0.5"}
    assert plan.found.feasible == {"feeding": 4}
    with pytest.raises(
        BudgetError, match=r"feeding: a network must keep the budget, but none does; the nearest, skip-"
    ):
        planned(small, {"name": "feeding", "ways": ["skip-stride"]}, budget={"params": 100})


def test_what_cannot_be_built_is_said(small: Make) -> None:
    plan = planned(small, {"name": "feeding", "ways": ["skip-stride", "upsample"], "factors": [2, 3, 7]})
    assert set(by_method(plan)) == {"skip-stride x2", "upsample x2", "upsample x7"}
    assert plan.found.choice.startswith(
        "feeding: all of them, 3 cannot be built, as skip-stride x3: the factor must divide the resolution 28, but is "
        "3; use one of 2, 4, 7, 14, 28"
    )
    with pytest.raises(SpecError, match=r"methods: feeding: skip-stride x7: the early strides must multiply to 7"):
        planned(small, {"name": "feeding", "ways": ["skip-stride"], "factors": [7]})


def test_what_cannot_be_built_is_not_what_images_are_too_small_for(small: Make) -> None:
    method = {"name": "feeding", "ways": ["upsample", "space-to-depth"], "nominal": [56], "factors": [2, 3]}
    choice = planned(small, method).found.choice
    assert "2 cannot be built, as upsample x3 of 56: the factor must divide the resolution 56" in choice
    assert "1 would need larger images, as space-to-depth x2 of 56: images must have at most the data's 28" in choice
    with pytest.raises(SpecError, match=r"space-to-depth x2 of 56: images must .* lower nominal, or raise factors of"):
        planned(small, {"name": "feeding", "ways": ["space-to-depth"], "nominal": [56]})


def test_too_many_combinations(small: Make) -> None:
    method = {"name": "multipliers", "width": [0.01 * i for i in range(1, 102)], "depth": list(range(1, 11))}
    with pytest.raises(SpecError, match="multipliers must have at most 1,000 combinations; use shorter lists"):
        planned(small, method)


def test_dilated(small: Make) -> None:
    plan = planned(small, {"name": "dilated"})
    assert by_method(plan) == {"dilated": dilated(plan.base.architecture)}
    with pytest.raises(SpecError, match="methods: dilated: dilated: a dilated network needs depthwise convs"):
        planned(small, {"name": "dilated"}, base={"network": "resnet18:stem=32", "resolution": 28})


def test_parallel(small: Make) -> None:
    plan = planned(small, {"name": "parallel", "blocks": [2, 4, 8]}, base=ISOMETRIC)
    base = plan.base.architecture
    assert by_method(plan) == {
        f"parallel-{order} x{block}": parallel(base, block, order)
        for block, order in product((2, 4), ORDERS)
        if not (order == "depth-first" and base.resolution == 7)  # nothing is folded: both are the same network
    }
    too_small = "images must have at most the data's 28 px, but 56 px are needed; lower blocks"
    assert f"2 would need larger images, as parallel-batch-first x8: {too_small}" in plan.found.choice
    assert "cannot be built" not in plan.found.choice
    with pytest.raises(SpecError, match="a parallel network needs one internal resolution"):
        planned(small, {"name": "parallel"})


def test_every_combination_of_multipliers(small: Make) -> None:
    lists: dict[str, list[float]] = {"width": [0.5, 1], "resolution": [0.5, 1, 2], "depth": [1, 2]}
    plan = planned(small, {"name": "multipliers", **lists}, base=BASE | {"resolution": 14})
    base = plan.base.architecture
    expected = {
        with_depth(with_resolution(scale_widths(base, width), round(14 * resolution)), depth).id
        for width, resolution, depth in product(*lists.values())
    }
    found = by_method(plan)
    assert {network.id for network in found.values()} == expected - {base.id}
    assert found["width x0.5"] == scale_widths(base, 0.5)
    assert found["width x0.5 depth x2"] == with_depth(scale_widths(base, 0.5), 2)
    assert "width x0.5 resolution x2 depth x2" in found


def test_of_many_some_are_drawn(small: Make) -> None:
    method = {"name": "multipliers", "width": [0.1 * i for i in range(1, 20)], "resolution": [0.5, 1]}
    plan = planned(small, method, search={"max_candidates": 5})
    assert len(plan.found.chosen) == 5
    assert len(plan.found.costs) == 37
    assert plan.found.choice == "multipliers: drawn from equal strata, seed 0"


@pytest.mark.parametrize(("alpha", "beta", "gamma"), [(1.2, 1.1, 1.15), (1.2, 1, 1), (1, 1.1, 1), (1, 1, 1.15)])
@pytest.mark.parametrize("share", [1, 0.5])
def test_compound_scaling_fills_the_budget(small: Make, alpha: float, beta: float, gamma: float, share: float) -> None:
    method = {"name": "compound", "alpha": [alpha], "beta": [beta], "gamma": [gamma], "shares": [share]}
    plan = planned(small, method, base=BASE | {"resolution": 14}, budget={"macs": "3x"})
    (candidate,) = plan.found.chosen
    bound, phi = share * 3 * plan.base.cost.macs, candidate.choice["phi"]
    assert candidate.cost.macs <= bound
    factors: dict[str, Any] = {"alpha": alpha, "beta": beta, "gamma": gamma}
    assert candidate.architecture == compound(plan.base.architecture, phi, **factors)
    further = compound(plan.base.architecture, phi + 2**-18, **factors)
    assert count_cost(further).macs > bound or (further.resolution > 28 and alpha == beta == 1)


@pytest.mark.parametrize("side", [14, 28])
def test_images_stay_at_the_datas_while_depth_and_width_grow_on(small: Make, side: int) -> None:
    plan = planned(small, {"name": "compound"}, budget={"macs": "20x"}, base=BASE | {"resolution": side})
    (candidate,) = plan.found.chosen
    bound = plan.problem.budget.bounds["macs"]
    assert candidate.architecture.resolution == 28
    assert 0.8 * bound < candidate.cost.macs <= bound
    assert "compound 1.2/1.1/1.15: images stay at 28 px while depth and width grow on" in plan.found.choice


def test_images_alone_end_at_the_datas(small: Make) -> None:
    alone = {"name": "compound", "alpha": [1], "beta": [1]}
    plan = planned(small, alone, base=BASE | {"resolution": 14})
    (candidate,) = plan.found.chosen
    assert candidate.architecture == with_resolution(plan.base.architecture, 28)
    assert "compound 1/1/1.15 ends at the images' 28 px, as nothing else grows" in plan.found.choice


def test_combinations_that_are_the_base_are_left_out(small: Make) -> None:
    cannot = "compound 1/1/1.15 cannot grow: the images have 28 px; lower base.resolution"
    plan = planned(small, {"name": "compound", "alpha": [1, 1.2], "beta": [1]}, budget={"macs": "3x"})
    assert [candidate.method for candidate in plan.found.chosen] == ["compound 1.2/1/1.15"]
    assert cannot in plan.found.choice
    alone = {"name": "compound", "alpha": [1], "beta": [1]}
    with pytest.raises(SpecError, match=f"^methods: {cannot}$"):
        planned(small, alone)
    with pytest.raises(SpecError, match=r"compound 1.2/1/1 cannot grow: the budget ends at the base itself; raise the"):
        planned(small, {"name": "compound", "beta": [1], "gamma": [1]}, budget={"macs": "1x"})
    beside = make_plan(small(base=BASE, budget=WIDE, methods=[alone, {"name": "dilated"}]))
    assert [candidate.method for candidate in beside.found.chosen] == ["dilated"]
    assert beside.found.choice == f"compound: none, as {cannot}; dilated: all of them"
    assert beside.found.feasible == {"compound": 0, "dilated": 1}


def test_a_method_over_the_budget_does_not_stop_the_others(small: Make) -> None:
    """The dilated network has more MACs than the base."""
    methods = [{"name": "dilated"}, {"name": "multipliers", "width": [0.5]}]
    plan = make_plan(small(base=BASE, budget={"macs": "1x"}, methods=methods))
    assert [candidate.method for candidate in plan.found.chosen] == ["width x0.5"]
    assert "dilated: none, as a network must keep the budget, but none does; the nearest" in plan.found.choice
    with pytest.raises(BudgetError, match="methods: dilated: a network must keep the budget"):
        planned(small, {"name": "dilated"}, budget={"macs": "1x"})


def test_a_share_that_no_phi_keeps(small: Make) -> None:
    """What is said begins with no key, so none is put in front of it."""
    method = {"name": "compound", "alpha": [1], "gamma": [1], "shares": [1e-6]}
    with pytest.raises(
        BudgetError, match=r"compound 1/1.1/1 \(share 1e-06 of the budget\): some phi must keep the bounds"
    ):
        planned(small, method)


def test_compound_scaling_alone_and_together(small: Make) -> None:
    method = {"name": "compound", "alpha": [1, 1.2], "beta": [1, 1.1], "gamma": [1, 1.15], "shares": [0.5]}
    plan = planned(small, method, base=BASE | {"resolution": 14}, budget={"macs": "3x"})
    names = {
        f"compound {a:g}/{b:g}/{g:g} x0.5" for a, b, g in product((1, 1.2), (1, 1.1), (1, 1.15)) if max(a, b, g) > 1
    }
    assert set(by_method(plan)) == names
    with pytest.raises(SpecError, match=r"compound must have at most search.max_candidates \(6\) networks, .* make 7"):
        planned(small, method, search={"max_candidates": 6})


def test_a_bound_on_latency(small: Make) -> None:
    """Larger networks are slower here, so the one that just keeps the bound is found by bisection."""
    method = {"name": "compound", "alpha": [1], "gamma": [1]}

    def latency_of(network: Architecture) -> float:
        return count_cost(network).macs / 1e5

    base = BASE | {"resolution": 14}
    plan = make_plan(small(base=base, budget={"latency": "1.5x"}, methods=[method]), latency_of=latency_of)
    (candidate,) = plan.found.chosen
    assert candidate.latency_ms is not None
    assert plan.base.latency_ms is not None
    assert 1.3 * plan.base.latency_ms < candidate.latency_ms <= 1.5 * plan.base.latency_ms
    with pytest.raises(BudgetError, match=r"compound 1/1.1/1: budget.latency_ms must be kept, but allows 0.00"):
        make_plan(small(base=base, budget={"latency": 0.001}, methods=[method]), latency_of=lambda network: 1.0)


@pytest.mark.parametrize("factors", [pytest.param((1.1, 1, 1), marks=pytest.mark.slow), (1.2, 1.1, 1.15), (1, 1, 1.15)])
@pytest.mark.parametrize("budget", [{"latency": "9x"}, {"latency": "0.95x"}, {"latency": "1.5x", "macs": "100x"}])
def test_no_giant_is_timed(small: Make, factors: tuple[float, ...], budget: dict[str, str]) -> None:
    """At most 4 times the base, and 4 times what is known to be quick enough."""
    base = BASE | {"resolution": 14}
    method = {
        "name": "compound",
        **{name: [value] for name, value in zip(("alpha", "beta", "gamma"), factors, strict=True)},
    }
    timed: list[float] = []

    def latency_of(network: Architecture) -> float:
        timed.append(count_cost(network).macs / 1e5)
        return timed[-1]

    plan = make_plan(small(base=base, budget=budget, methods=[method]), latency_of=latency_of)
    (candidate,) = plan.found.chosen
    bound = plan.problem.budget.bounds["latency_ms"]
    assert timed[1] <= 4 * timed[0]
    assert max(timed) <= max(4 * bound, 4 * timed[0])
    if factors[0] > 1.1 or bound < timed[0] * 4:
        assert 0.6 * bound < candidate.costs["latency_ms"] <= bound


def test_a_latency_that_nothing_reaches_ends_at_the_largest_phi(small: Make) -> None:
    method = {"name": "compound", "alpha": [1.05], "beta": [1], "gamma": [1]}
    plan = make_plan(small(base=BASE, budget={"latency": "9x"}, methods=[method]), latency_of=lambda network: 1.0)
    (candidate,) = plan.found.chosen
    assert candidate.choice["phi"] == 32


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"name": "feeding", "ways": []}, "methods.0.ways must name at least one, and each once"),
        ({"name": "feeding", "ways": ["crop"]}, "methods.0.ways.0 must be 'skip-stride', 'upsample'"),
        (
            {"name": "feeding", "factors": [2, 4, 2]},
            r"factors must name at least one, and each once \(2 stands twice\)",
        ),
        ({"name": "multipliers", "width": [0.5, "0.50"]}, r"each once \(0.5 stands twice\)"),
        ({"name": "feeding", "factors": [1]}, "methods.0.factors.0 must be greater than or equal to 2"),
        ({"name": "multipliers"}, "must name another factor than 1 in width, resolution or depth"),
        ({"name": "multipliers", "width": [0]}, "methods.0.width.0 must be greater than 0"),
        ({"name": "compound", "alpha": [0.5]}, "methods.0.alpha.0 must be greater than or equal to 1"),
        ({"name": "compound", "alpha": [1], "beta": [1], "gamma": [1]}, "must name another factor than 1 in alpha"),
        ({"name": "parallel", "orders": ["both"]}, "methods.0.orders.0 must be 'batch-first' or 'depth-first'"),
    ],
)
def test_bad_lists(small: Make, method: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        planned(small, method)


def test_a_base_that_a_method_cannot_take(small: Make) -> None:
    lenet = {
        "network": "lenet",
        "resolution": 14,
        "conv1": {"channels": 6, "kernel": 3},
        "conv2": {"channels": 8, "kernel": 5},
    }
    with pytest.raises(SpecError, match=r"methods: multipliers: depth x2: a depth multiplier needs blocks that repeat"):
        planned(small, {"name": "multipliers", "depth": [2]}, base=lenet)
    with pytest.raises(SpecError, match=r"methods: compound 1.2/1.1/1.15: a depth multiplier needs blocks that repeat"):
        planned(small, {"name": "compound"}, base=lenet)


def test_maps_that_do_not_follow_the_image(small: Make) -> None:
    """An isometric base that resizes its image: other images would be brought to the same maps."""
    base = ISOMETRIC | {"resolution": 13}
    methods: list[dict[str, Any]] = [
        {"name": "multipliers", "resolution": [0.5, 2]},
        {"name": "compound", "gamma": [1.2]},
        {"name": "feeding", "ways": ["resolution"], "factors": [13]},
        {"name": "feeding", "ways": ["upsample"], "nominal": [26]},
    ]
    for method in methods:
        with pytest.raises(SpecError, match=rf"{method['name']}.* the maps must follow .* 14 px; change internal of"):
            planned(small, method, base=base)
    assert by_method(planned(small, {"name": "compound", "gamma": [1]}, base=base)).keys() == {"compound 1.2/1.1/1"}


@pytest.mark.slow
def test_a_search_with_all_of_them(tmp_path: Path) -> None:
    """Every kind of network is trained, scored on test and shown; the winner goes out and comes back."""
    base = {"network": "isometric:depth=2,internal=4,multiplier=0.25", "resolution": 8}
    methods: list[dict[str, Any]] = [
        {"name": "feeding", "ways": ["upsample", "resolution"]},
        {"name": "dilated"},
        {"name": "parallel"},
        {"name": "multipliers", "width": [0.5]},
        {"name": "compound", "shares": [0.5]},
    ]
    train = {"preset": "fast", "epochs": 1, "seeds": 1, "confirm": 0}
    write_spec(tmp_path, base=base, budget={"macs": "4x"}, methods=methods, train=train, search={"max_candidates": 9})
    planned_text = run_nas(tmp_path, "plan", "small.yaml").stdout
    assert "parallel-depth-first x2" in planned_text
    assert "compound 1.2/1.1/1.15 x0.5, phi " in planned_text
    done = run_nas(tmp_path, "search", "small.yaml", "--local")
    assert done.returncode == 0, done.stderr
    found = json.loads(run_nas(tmp_path, "front", "small", "--json").stdout)
    methods_found = {network["method"] for network in found["networks"]}
    assert methods_found == {
        "base", "upsample x2", "resolution x0.5", "dilated", "parallel-batch-first x2", "parallel-depth-first x2",
        "width x0.5", "compound 1.2/1.1/1.15 x0.5",
    }  # fmt: skip
    assert all(network["test_accuracy"]["images"] == 1000 for network in found["networks"])
    trials = optuna.load_study(study_name="small", storage=f"sqlite:///{tmp_path}/nas.db").trials
    assert {trial.params["method"] for trial in trials} == {"base", *(method["name"] for method in methods)}
    assert run_nas(tmp_path, "export", "small", "-o", "winner.json").returncode == 0
    verified = run_nas(tmp_path, "verify", "winner.json", "--score")
    assert verified.returncode == 0, verified.stderr
    shown = run_nas(tmp_path, "grid", "small", "--draw", "grid.html")
    assert "fed in other ways, made for 8 px" in shown.stdout
    assert "multipliers, depth x1" in shown.stdout
    assert (tmp_path / "grid.html").stat().st_size > 1e6
