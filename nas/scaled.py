"""Networks whose widths follow a law to the budget: NeuralScale's own, and the baselines that it is compared with."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from nas.problem import Candidate, FineTuning, Problem
from nas.spec_errors import SpecError
from nas.width_spec import ConvCutSpec, MagnitudeSpec, MorphNetSpec, NeuralScaleSpec, UniformSpec, WidthMethod
from nas.within import counted_bounds, of_share, within_budget
from search_spaces import Architecture, BudgetError, NetworkError, count_cost
from search_spaces.batch_cost import BatchCost
from search_spaces.conv_shortcuts import with_conv_shortcuts
from search_spaces.narrowing import narrowed
from search_spaces.power_law import PowerLaw, uniform_law
from search_spaces.scaling import scale_to
from search_spaces.width_groups import find_width_groups
from search_spaces.widths import with_widths
from trials.prune_ranking import find_prunable

PAPER_SHARE = 40 / 300  # of the training's epochs: those of fine-tuning in the NeuralScale paper, on CIFAR


def static_candidates(problem: Problem, method: UniformSpec | ConvCutSpec | MagnitudeSpec) -> list[Candidate]:
    """Of the methods that need no pruning: one network for each share of the budget.

    Raises SpecError for a base that the method cannot take, BudgetError for a budget that no widths keep.
    """
    base = problem.base.architecture
    try:
        network = with_conv_shortcuts(base) if isinstance(method, ConvCutSpec) else base
        curve = Curve(network=network, law=uniform_law(network))
        finish = partial(_finetuned, problem, method) if isinstance(method, MagnitudeSpec) else None
        made = [scaled_candidate(problem, method, curve, share, finish) for share in method.shares]
    except NetworkError as error:
        raise SpecError(f"methods: {method.name}: {error}") from error
    for candidate in made:
        if isinstance(method, MagnitudeSpec) and candidate.cost.params == problem.base.cost.params:
            name, share = next(iter(problem.budget.bounds)), candidate.share or 1.0
            rule = f"{name} must be below what the base costs, or magnitude removes nothing; lower it, or leave it out"
            raise of_share(method.name, share, BudgetError(rule))
    return made


def check_pruning(problem: Problem, method: MorphNetSpec | NeuralScaleSpec) -> None:
    """Raises, before anything is pruned, what pruning cannot change.

    SpecError for a base of which nothing can be pruned, or that floors make larger than it is; BudgetError for a budget
    below the floors.
    """
    base = problem.base.architecture
    try:
        batch, law = BatchCost(base), uniform_law(base)
        find_prunable(base, problem.spec.prune.settings())
    except NetworkError as error:
        raise SpecError(f"methods: {method.name}: {error}") from error
    for share in method.shares:
        try:
            scale_to(batch, law, counted_bounds(problem, share), floors=method.floor, multiple=method.multiple)
        except BudgetError as error:
            raise of_share(method.name, share, error) from error
    if isinstance(method, NeuralScaleSpec):
        own: dict[str, float] = {method.tau: float(problem.base.cost.bounded()[method.tau])}
        try:
            scale_to(batch, law, own, floors=least_widths(problem, method), multiple=method.multiple)
        except BudgetError as error:
            raise SpecError(f"methods: {method.name}: the base's own {error}") from error


def least_widths(problem: Problem, method: NeuralScaleSpec) -> list[int]:
    """The floors [G] between iterations: so wide that each group can lose channels, or it would never grow again."""
    prune = problem.spec.prune.settings()
    groups = find_width_groups(problem.base.architecture).groups
    least = prune.floor if isinstance(prune.floor, int) else 1
    return [min(group.width, max(method.floor, least + group.divisor)) for group in groups]


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
        bounds = counted_bounds(problem, share * factor)
        found = scale_to(batch, curve.law, bounds, floors=method.floor, multiple=method.multiple)
        made = with_widths(curve.network, found.widths, batch.groups)
        numbers = {} if iteration is None else {"iteration": iteration}
        name = method.name if iteration is None else f"{method.name}-{iteration}"
        candidate = Candidate(
            method=name if share == 1 else f"{name} x{share:g}",
            share=share,
            choice={**numbers, **channels_by_name(made)},
            architecture=made,
            cost=count_cost(made),
            extrapolated=found.extrapolated,
        )
        return problem.measured(finish(candidate) if finish else candidate)

    try:
        return within_budget(problem, share, scaled)
    except BudgetError as error:
        raise of_share(method.name, share, error) from error


def channels_by_name(network: Architecture) -> dict[str, int]:
    """Widths of the groups, as trials show them."""
    return {f"{group.name}_channels": group.width for group in find_width_groups(network).groups}


def _finetuned(problem: Problem, method: MagnitudeSpec, uniform: Candidate) -> Candidate:
    """The base narrowed to the uniform network's widths, trained from the base's own weights."""
    base = problem.base.architecture
    own = find_width_groups(base).widths
    widths = [min(pair) for pair in zip(find_width_groups(uniform.architecture).widths, own, strict=True)]
    made = narrowed(base, widths)
    return Candidate(
        method=uniform.method,
        share=uniform.share,
        choice=channels_by_name(made),
        architecture=made,
        cost=count_cost(made),
        tuning=FineTuning(
            epochs=method.epochs or max(1, round(PAPER_SHARE * problem.spec.train.epochs)),
            learning_rate=method.learning_rate,
        ),
    )
