"""Networks whose widths follow a law to the budget: NeuralScale's own, and the baselines that it is compared with."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import floor

from nas.problem import Candidate, FineTuning, Problem
from nas.spec_errors import SpecError
from nas.width_spec import ConvCutSpec, MagnitudeSpec, UniformSpec, WidthMethod
from search_spaces import COSTS, Architecture, Budget, BudgetError, NetworkError, count_cost
from search_spaces.batch_cost import BatchCost
from search_spaces.conv_shortcuts import with_conv_shortcuts
from search_spaces.narrowing import narrowed
from search_spaces.power_law import PowerLaw, uniform_law
from search_spaces.scaling import scale_to
from search_spaces.width_groups import find_width_groups
from search_spaces.widths import with_widths

TRIES = 10  # networks tried for one that keeps a bound which no formula inverts: latency, above all
NARROWEST = 1 / 4096  # of the other bounds: where they begin
WIDEST = 64  # times the base's parameters, where nothing but latency is bounded


def static_candidates(problem: Problem, method: UniformSpec | ConvCutSpec | MagnitudeSpec) -> list[Candidate]:
    """Of the methods that need no pruning: one network for each share of the budget.

    Raises SpecError for a base that the method cannot take, BudgetError for a budget that no widths keep.
    """
    base = problem.base.architecture
    try:
        network = with_conv_shortcuts(base) if isinstance(method, ConvCutSpec) else base
        curve = Curve(network=network, law=uniform_law(network))
        finish = partial(_finetuned, problem, method) if isinstance(method, MagnitudeSpec) else None
        return [scaled_candidate(problem, method, curve, share, finish) for share in method.shares]
    except NetworkError as error:
        raise SpecError(f"methods: {method.name}: {error}") from error


def check_budget(problem: Problem, method: WidthMethod) -> None:
    """Raises, before anything is pruned, what pruning cannot change: a budget below the floors, a base of no widths."""
    base = problem.base.architecture
    try:
        for share in method.shares:
            law = uniform_law(base)
            scale_to(BatchCost(base), law, _counts(problem, share), floors=method.floor, multiple=method.multiple)
    except NetworkError as error:
        raise SpecError(f"methods: {method.name}: {error}") from error
    except BudgetError as error:
        raise BudgetError(f"methods: {method.name}: budget.{error}") from error


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A network, the law along which its widths are scaled, and of which iteration that is, where there are several."""

    network: Architecture
    law: PowerLaw
    iteration: int | None = None


def scaled_candidate(
    problem: Problem,
    method: WidthMethod,
    curve: Curve,
    share: float,
    finish: Callable[[Candidate], Candidate] | None = None,
) -> Candidate:
    """The network with the largest widths along the law that keep this share of every bound of the budget.

    `finish` makes another network of the same widths of it, which may cost a little more. Raises BudgetError where even
    the least widths do not keep the bounds.
    """
    batch, iteration = BatchCost(curve.network), curve.iteration

    def scaled(factor: float) -> Candidate:
        bounds = _counts(problem, share * factor)
        found = scale_to(batch, curve.law, bounds, floors=method.floor, multiple=method.multiple)
        made = with_widths(curve.network, found.widths, batch.groups)
        numbers = {} if iteration is None else {"iteration": iteration}
        candidate = Candidate(
            method=method.name if iteration is None else f"{method.name}-{iteration}",
            choice={**numbers, **channels_by_name(made)},
            architecture=made,
            cost=count_cost(made),
            extrapolated=found.extrapolated,
        )
        return problem.measured(finish(candidate) if finish else candidate)

    try:
        return _within(problem, share, scaled)
    except BudgetError as error:
        raise BudgetError(f"methods: {method.name}: budget.{error}") from error


def channels_by_name(network: Architecture) -> dict[str, int]:
    """Widths of the groups, as trials show them."""
    return {f"{group.name}_channels": group.width for group in find_width_groups(network).groups}


def _counts(problem: Problem, share: float) -> dict[str, float]:
    """The bounds on what is counted; where latency alone is bounded, one that holds widths within reason."""
    bounds = {name: bound for name, bound in problem.budget.bounds.items() if name in COSTS}
    bounds = bounds or {"params": WIDEST * problem.base.cost.params}
    return {name: max(1, floor(bound * share)) for name, bound in bounds.items()}


def _within(problem: Problem, share: float, scaled: Callable[[float], Candidate]) -> Candidate:
    """The network at the bounds; where it breaks one that is measured, or one of its own, the widest narrower one.

    Of TRIES that are tried, by bisection of the share of the bounds on what is counted that networks are scaled to.
    """
    budget = Budget(bounds={name: share * bound for name, bound in problem.budget.bounds.items()})
    made = scaled(1.0)
    if budget.keeps(made.costs):
        return made
    low, high, found = 0.0, 1.0, None  # 0: NARROWEST of the bounds, 1: all of them, logarithmic between
    for _ in range(TRIES):
        middle = (low + high) / 2
        try:
            made = scaled(NARROWEST ** (1 - middle))
        except BudgetError:  # narrower than the floors
            low = middle
            continue
        if budget.keeps(made.costs):
            low, found = middle, made
        else:
            high = middle
    if found is None:
        bounds = budget.bounds
        name = max(bounds, key=lambda name: made.costs[name] / bounds[name])
        raise BudgetError(
            f"{name} must be kept, but allows {bounds[name]:.4g} and the narrowest of {TRIES + 1} networks has "
            f"{made.costs[name]:.4g}; raise it"
        )
    return found


def _finetuned(problem: Problem, method: MagnitudeSpec, uniform: Candidate) -> Candidate:
    """The base narrowed to the uniform network's widths, trained from the base's own weights."""
    base = problem.base.architecture
    own = find_width_groups(base).widths
    widths = [min(pair) for pair in zip(find_width_groups(uniform.architecture).widths, own, strict=True)]
    if tuple(widths) == own:
        name = next(iter(problem.budget.bounds))
        raise BudgetError(
            f"{name} must be below what the base costs, or magnitude removes nothing; lower it, or leave magnitude out"
        )
    made = narrowed(base, widths)
    return Candidate(
        method=method.name,
        choice=channels_by_name(made),
        architecture=made,
        cost=count_cost(made),
        tuning=FineTuning(epochs=method.epochs, learning_rate=method.learning_rate),
    )
