"""The descent and its baselines as functions of invented records."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nas.descent import descend, fit_record, halve
from nas.planning import make_plan
from nas.problem import Problem
from nas.proposal import propose
from nas.spec import Spec
from nas.spec_errors import SpecError
from nas.width_spec import MorphNetSpec, NeuralScaleSpec
from search_spaces import COSTS, BudgetError, NasError, count_cost
from search_spaces.batch_cost import BatchCost
from search_spaces.power_law import PowerLaw
from search_spaces.width_groups import find_width_groups
from tests.nas.test_search_loop import invented_record
from trials.prune_job import PruneJob, PruneResult, PruneRow

BASE = {"network": "preact_resnet18", "resolution": 14, "width": 0.25}
LAW = PowerLaw(alpha=(0.5,) * 17, beta=tuple(np.linspace(0.2, 0.5, 17)))


def planted(job: PruneJob, law: PowerLaw = LAW) -> PruneResult:
    """A record along a law, as far as whole widths allow."""
    batch = BatchCost(job.architecture)
    widths = np.maximum(1, np.round(law.widths_at(np.geomspace(2e4, 5e5, 12)))).astype(np.int64)[::-1]
    rows = [
        PruneRow(step=i, widths=tuple(map(int, row)), **dict(zip(COSTS, map(int, costs), strict=True)))
        for i, (row, costs) in enumerate(zip(widths, batch.costs(widths), strict=True), start=1)
    ]
    return PruneResult(
        steps=tuple(rows), first_recorded=1, losses=(1.0,) * 12, pretraining_losses=(2.0,), wall_seconds=1.0
    )


def restless(job: PruneJob) -> PruneResult:
    """Another law for every network."""
    betas = np.random.default_rng(int(job.id, 16)).uniform(0.2, 0.6, 17)
    return planted(job, PowerLaw(alpha=LAW.alpha, beta=tuple(betas)))


@pytest.fixture
def problem(small: Callable[..., Spec]) -> Callable[..., Problem]:
    def make(*methods: dict[str, Any], **changes: Any) -> Problem:
        sections = {"base": BASE, "budget": {"params": "0.25x"}, "methods": list(methods)} | changes
        return make_plan(small(**sections)).problem

    return make


def settings(problem: Problem) -> NeuralScaleSpec:
    (method,) = (method for method in problem.spec.methods if isinstance(method, NeuralScaleSpec))
    return method


def run_descent(problem: Problem, record_of: Callable[[PruneJob], PruneResult]) -> tuple[list[PruneJob], Any]:
    """Answer every pruning that is wanted; the jobs in their order, and the descent."""
    records: dict[str, PruneResult] = {}
    jobs: list[PruneJob] = []
    while (found := descend(problem, settings(problem), "x", records, {})).wanted is not None:
        jobs.append(found.wanted)
        records[found.wanted.id] = record_of(found.wanted)
    return jobs, found


def test_an_iteration_is_the_law_at_the_bases_cost(problem: Callable[..., Problem]) -> None:
    made = problem({"name": "neuralscale", "iterations": 3, "threshold": 0})
    jobs, found = run_descent(made, restless)
    base = made.base.architecture
    assert jobs[0].architecture == base
    assert len(jobs) == len(found.iterations) == 3
    law, unfitted = fit_record(base, restless(jobs[0]), "params")
    assert not unfitted
    assert law.rows == 12
    for job, one in zip(jobs[1:], found.iterations, strict=False):
        params = count_cost(job.architecture).params
        assert 0.995 * made.base.cost.params <= params <= made.base.cost.params
        assert find_width_groups(job.architecture).widths == one.widths
    change = np.abs(np.subtract(found.iterations[0].widths, find_width_groups(base).widths)).sum()
    assert found.iterations[0].change == pytest.approx(change / sum(find_width_groups(base).widths))
    assert found.ended == "all 3 iterations are done"


def test_it_ends_when_widths_settle(problem: Callable[..., Problem]) -> None:
    # the same law whatever is pruned: the second iteration changes nothing
    _, found = run_descent(problem({"name": "neuralscale", "iterations": 9}), planted)
    assert [one.change <= 0.03 for one in found.iterations] == [False, True]
    assert "iteration 2 changed the widths by 0.0%, no more than 3.0%" in found.ended


def test_tau_may_count_macs(problem: Callable[..., Problem]) -> None:
    made = problem({"name": "neuralscale", "iterations": 2, "tau": "macs", "threshold": 0})
    jobs, found = run_descent(made, planted)
    assert found.iterations[0].law.cost == "macs"
    macs = count_cost(jobs[1].architecture).macs
    assert 0.99 * made.base.cost.macs <= macs <= made.base.cost.macs
    low, high = found.iterations[0].law.tau_range or (0, 0)
    rows = planted(jobs[0]).rows
    assert (low, high) == (min(row.macs for row in rows), max(row.macs for row in rows))


def test_the_papers_solver_ends_beside_the_exact_one(problem: Callable[..., Problem]) -> None:
    widths = []
    for solver in ("exact", "sgd"):
        made = problem({"name": "neuralscale", "iterations": 1, "solver": solver})
        _, found = run_descent(made, restless)
        widths.append(found.iterations[0].widths)
        (candidate, *_) = propose(made, "x", {found.iterations[0].job_id: found.iterations[0].record}, {}).candidates
        assert candidate.cost.params <= made.budget.bounds["params"]
    assert widths[0] != widths[1]  # the exact one fills up what is left
    assert np.abs(np.subtract(*widths)).max() <= 2


def test_extrapolation_is_flagged(problem: Callable[..., Problem]) -> None:
    made = problem({"name": "neuralscale", "iterations": 1, "shares": [1.0, 0.05]})

    def small_ones(job: PruneJob) -> PruneResult:
        return replace(planted(job), first_recorded=7)

    (job,), found = run_descent(made, small_ones)
    (one,) = found.iterations
    low, high = one.law.tau_range or (0.0, 0.0)
    assert one.to_json()["extrapolated"] is True
    assert one.beyond == one.tau / high > 1
    assert 0.05 * made.budget.bounds["params"] < low < made.budget.bounds["params"] < high
    proposal = propose(made, "x", {job.id: small_ones(job)}, {})
    assert [candidate.extrapolated for candidate in proposal.candidates] == [False, True]
    assert sum("EXTRAPOLATED" in line for line in proposal.lines) == 1
    assert any("times beyond the record" in line for line in proposal.lines)
    assert [candidate.to_json()["extrapolated"] for candidate in proposal.candidates] == [False, True]


@pytest.mark.parametrize(
    "base",
    [
        {"network": "neuralscale_mobilenetv2", "resolution": 14, "width": 0.25},
        {"network": "preact_resnet18:shortcuts=coupled", "resolution": 14, "width": 0.25},
        {"network": "torchvision:resnet18", "resolution": 28, "width": 0.125},
        {"network": "torchvision:mobilenet_v3_small", "resolution": 28, "width": 0.25},
        pytest.param({"network": "densenet121:stem=32", "resolution": 28, "width": 0.25}, marks=pytest.mark.slow),
    ],
    ids=lambda base: str(base["network"]),
)
def test_any_network_descends(problem: Callable[..., Problem], base: dict[str, Any]) -> None:
    made = problem({"name": "neuralscale", "iterations": 2, "threshold": 0}, {"name": "morphnet"}, base=base)
    jobs, found = run_descent(made, invented_record)
    records = {job.id: invented_record(job) for job in jobs}
    candidates = propose(made, "x", records, {}).candidates
    assert candidates
    for candidate in candidates:
        assert 0.95 * made.budget.bounds["params"] < candidate.cost.params <= made.budget.bounds["params"]
    assert len(found.iterations[0].widths) == len(find_width_groups(made.base.architecture).widths)


def test_too_few_rows_scale_uniformly_and_say_so(problem: Callable[..., Problem]) -> None:
    made = problem({"name": "neuralscale"}, {"name": "uniform"})

    def short(job: PruneJob) -> PruneResult:
        return replace(planted(job), first_recorded=8)

    jobs, found = run_descent(made, short)
    (one,) = found.iterations
    assert "at least 6 recorded networks, but there are 5" in one.unfitted
    assert one.widths == find_width_groups(made.base.architecture).widths
    assert found.ended == "iteration 1 gave no fit, so its network is scaled uniformly"
    proposal = propose(made, "x", {jobs[0].id: short(jobs[0])}, {})
    assert any("NO FIT, widths are scaled UNIFORMLY: a fit needs" in line for line in proposal.lines)
    (uniform,) = make_plan(made.spec).found.chosen
    assert proposal.candidates[0].id == uniform.id


def test_a_record_that_never_began_says_why(problem: Callable[..., Problem]) -> None:
    made = problem({"name": "neuralscale"})
    _, found = run_descent(made, lambda job: replace(planted(job), first_recorded=None))
    assert "recording begins when every group has lost a channel, but the pruning ended before, after 12 steps" in (
        found.iterations[0].unfitted
    )


@pytest.mark.parametrize("solver", ["exact", "sgd"])
def test_every_group_can_lose_channels_again(problem: Callable[..., Problem], solver: str) -> None:
    thin = PowerLaw(alpha=(1e-3,) * 5 + (0.5,) * 12, beta=LAW.beta)
    for floor, multiple, least in ((1, 1, 2), (3, 1, 3), (4, 4, 4)):
        method = {"name": "neuralscale", "iterations": 2, "solver": solver, "floor": floor, "multiple": multiple}
        jobs, _ = run_descent(problem(method), lambda job: planted(job, thin))
        widths = find_width_groups(jobs[1].architecture).widths
        assert min(widths) == least
        assert not any(width % multiple for width in widths)


def test_a_failed_pruning_ends_the_descent_with_what_is_known(problem: Callable[..., Problem]) -> None:
    made = problem({"name": "neuralscale", "iterations": 3, "threshold": 0})
    jobs, _ = run_descent(made, restless)
    records = {jobs[0].id: restless(jobs[0])}
    found = descend(made, settings(made), "x", records, {jobs[1].id: "the loss must stay finite"})
    assert found.wanted is None
    assert found.ended == "iteration 2 failed: the loss must stay finite"
    assert [one.number for one in found.trained("first-and-last")] == [1]
    nothing = descend(made, settings(made), "x", {}, {jobs[0].id: "diverged"})
    assert (nothing.iterations, nothing.wanted) == ((), None)
    assert nothing.trained("all") == []


@pytest.mark.parametrize(
    ("which", "known", "in_the_end"),
    [("first-and-last", [1], [1, 3]), ("last", [], [3]), ("all", [1, 2], [1, 2, 3])],
)
def test_which_iterations_are_trained(
    problem: Callable[..., Problem], which: str, known: list[int], in_the_end: list[int]
) -> None:
    made = problem({"name": "neuralscale", "iterations": 3, "threshold": 0})
    jobs, found = run_descent(made, restless)
    records = {job.id: restless(job) for job in jobs[:2]}
    half = descend(made, settings(made), "x", records, {})
    assert [one.number for one in half.trained(which)] == known
    assert [one.number for one in found.trained(which)] == in_the_end


def test_networks_are_at_every_share_of_the_budget(problem: Callable[..., Problem]) -> None:
    method = {"name": "neuralscale", "iterations": 1, "shares": [0.2, 1.0], "multiple": 2, "floor": 2}
    made = problem(method, budget={"params": "0.25x", "macs": "0.5x"})
    (job,), _ = run_descent(made, planted)
    found = propose(made, "x", {job.id: planted(job)}, {})
    bounds = made.budget.bounds
    assert [candidate.method for candidate in found.candidates] == ["neuralscale-1 x0.2", "neuralscale-1"]
    assert {candidate.family for candidate in found.candidates} == {"neuralscale"}
    for candidate, share in zip(found.candidates, (0.2, 1.0), strict=True):
        used = [candidate.costs[name] / (share * bounds[name]) for name in bounds]
        assert 0.9 < max(used) <= 1  # in even widths
        widths = find_width_groups(candidate.architecture).widths
        assert min(widths) >= 2
        assert not any(width % 2 for width in widths)
        assert candidate.choice["iteration"] == 1
        assert candidate.choice["stem_channels"] == widths[0]


def test_morphnet_takes_what_half_of_the_channels_look_like(problem: Callable[..., Problem]) -> None:
    made = problem({"name": "morphnet"})
    (method,) = made.spec.methods
    assert isinstance(method, MorphNetSpec)
    job = halve(made, method, "x", {}, {}).wanted
    assert job is not None
    assert job.settings.stop_share == 0.5  # of its own: no need to prune further
    record = invented_record(job)  # four fifths are left after each step: half after the fourth
    found = halve(made, method, "x", {job.id: record}, {})
    assert found.widths == record.steps[3].widths
    (candidate,) = propose(made, "x", {job.id: record}, {}).candidates
    assert candidate.method == "morphnet"
    assert candidate.cost.params <= made.budget.bounds["params"]
    short = replace(record, steps=record.steps[:2])
    assert halve(made, method, "x", {job.id: short}, {}).widths == short.steps[-1].widths
    (line,) = propose(made, "x", {job.id: short}, {}).lines
    assert line.startswith("morphnet: the pruning ended with 6")


def test_morphnet_shares_the_first_pruning_of_a_descent(problem: Callable[..., Problem]) -> None:
    made = problem({"name": "neuralscale"}, {"name": "morphnet"})
    proposal = propose(made, "x", {}, {})
    assert len(proposal.jobs) == 1
    assert len(proposal.prunings) == 2
    apart = problem({"name": "neuralscale"}, {"name": "morphnet", "left": 0.01})  # further than the descent prunes
    assert len(propose(apart, "x", {}, {}).jobs) == 2


def test_proposals_only_grow(problem: Callable[..., Problem]) -> None:
    made = problem({"name": "neuralscale", "iterations": 3, "threshold": 0, "trained": "all"}, {"name": "morphnet"})
    records: dict[str, PruneResult] = {}
    before: list[str] = []
    while jobs := propose(made, "x", records, {}).jobs:
        records[jobs[0].id] = restless(jobs[0])
        again = [propose(made, "x", records, {}) for _ in range(2)]
        assert again[0] == again[1]
        now = [candidate.id for candidate in again[0].candidates]
        assert set(before) <= set(now)
        before = now
    assert len(before) == 4


@pytest.mark.parametrize(
    ("methods", "budget", "message"),
    [
        ([{"name": "neuralscale"}], {"params": 100}, "methods: neuralscale: budget.params must be at least"),
        ([{"name": "morphnet", "floor": 64}], {"params": "0.25x"}, "methods: morphnet: budget.params must be at least"),
        ([{"name": "uniform"}], {"macs": 10}, "methods: uniform: budget.macs must be at least"),
        (
            [{"name": "magnitude"}],
            {"params": "1.0x"},
            "methods: magnitude: budget.params must be below what the base costs",
        ),
    ],
)
def test_budgets_that_no_pruning_can_meet_are_told_before(
    small: Callable[..., Spec], methods: list[dict[str, Any]], budget: dict[str, Any], message: str
) -> None:
    with pytest.raises(BudgetError, match=message):
        make_plan(small(base=BASE, budget=budget, methods=methods))


def test_convcut_needs_a_shortcut(small: Callable[..., Spec]) -> None:
    with pytest.raises(SpecError, match="methods: convcut: a 1x1 conv can only take the place of an identity shortcut"):
        make_plan(small(methods=[{"name": "convcut"}]))


def test_baselines_keep_the_budget(problem: Callable[..., Problem]) -> None:
    names = ("uniform", "convcut", "magnitude")
    made = problem(*({"name": name, "shares": [0.5, 1.0]} for name in names), budget={"params": "0.3x", "macs": "0.3x"})
    candidates = make_plan(made.spec).found.chosen
    assert [candidate.method for candidate in candidates] == [f"{name}{of}" for name in names for of in (" x0.5", "")]
    for candidate, share in zip(candidates, (0.5, 1.0) * 3, strict=True):
        shares = [candidate.costs[name] / (share * bound) for name, bound in made.budget.bounds.items()]
        assert 0.97 < max(shares) <= 1
    uniform, magnitude = candidates[1], candidates[5]
    assert magnitude.cost == uniform.cost
    assert magnitude.id != uniform.id
    (job, *_) = made.jobs(magnitude, "x")
    assert job.origin == made.jobs(made.base, "x")[0]
    assert (job.recipe.epochs, job.recipe.learning_rate, job.recipe.schedule) == (1, 0.001, "constant")
    assert job.recipe.optimizer == "sgd"


def test_latency_is_kept_by_narrower_networks(small: Callable[..., Spec]) -> None:
    def latency_of(network: Any) -> float:
        return count_cost(network).macs / 1e6

    spec = small(base=BASE, budget={"params": "1.0x", "latency": "0.4x"}, methods=[{"name": "uniform"}])
    plan = make_plan(spec, latency_of=latency_of)
    (candidate,) = plan.found.chosen
    bound = plan.problem.budget.bounds["latency_ms"]
    assert candidate.latency_ms is not None
    assert 0.8 * bound < candidate.latency_ms <= bound
    narrow = make_plan(
        small(base=BASE, budget={"latency": "0.4x"}, methods=[{"name": "magnitude"}]), latency_of=latency_of
    )
    (tuned,) = narrow.found.chosen
    assert tuned.latency_ms is not None
    assert 0.3 * narrow.base.costs["latency_ms"] < tuned.latency_ms <= 0.4 * narrow.base.costs["latency_ms"]
    with pytest.raises(BudgetError, match=r"methods: uniform: budget.latency_ms must be kept, but allows 0.0001"):
        make_plan(small(base=BASE, budget={"latency": 0.0001}, methods=[{"name": "uniform"}]), latency_of=latency_of)


def test_latency_may_be_measured_without_a_bound(small: Callable[..., Spec]) -> None:
    spec = small(
        base=BASE,
        budget={"params": "0.5x"},
        latency={"report": True, "batch_size": 100, "average": "mean"},
        methods=[{"name": "uniform"}, {"name": "magnitude"}],
        objectives=["accuracy", "latency_ms"],
    )
    plan = make_plan(spec, latency_of=lambda network: 7.0)
    assert [network.latency_ms for network in plan.networks] == [7.0] * 3
    assert "latency_ms" not in plan.problem.budget.bounds
    with pytest.raises(NasError, match="objectives must hold latency_ms only where it is measured"):
        small(objectives=["accuracy", "latency_ms"])
