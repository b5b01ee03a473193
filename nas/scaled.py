"""Networks whose widths follow a law to the budget: NeuralScale's own, and the baselines that it is compared with."""

from collections.abc import Callable
from math import floor, inf

from nas.problem import Candidate, FineTuning, Problem
from nas.spec_errors import SpecError
from nas.width_spec import ConvCutSpec, MagnitudeSpec, UniformSpec, WidthMethod
from search_spaces import COSTS, LATENCY, Architecture, BudgetError, NetworkError, count_cost
from search_spaces.batch_cost import BatchCost
from search_spaces.conv_shortcuts import with_conv_shortcuts
from search_spaces.narrowing import narrowed
from search_spaces.power_law import PowerLaw, uniform_law
from search_spaces.scaling import scale_to
from search_spaces.width_groups import find_width_groups
from search_spaces.widths import with_widths

TRIES = 10  # networks measured for one that keeps a latency bound
NARROWEST = 1 / 4096  # of the other bounds: where they begin
WIDEST = 64  # times the base's parameters, where nothing but latency is bounded


def static_candidates(problem: Problem, method: UniformSpec | ConvCutSpec | MagnitudeSpec) -> list[Candidate]:
    """Of the methods that need no pruning: one network for each share of the budget.

    Raises SpecError for a base that the method cannot take, BudgetError for a budget that no widths keep.
    """
    base = problem.base.architecture
    try:
        network = with_conv_shortcuts(base) if isinstance(method, ConvCutSpec) else base
        law = uniform_law(network)
        made = [scaled_candidate(problem, method, network, law, share) for share in method.shares]
        return [_finetuned(problem, method, one) for one in made] if isinstance(method, MagnitudeSpec) else made
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


def scaled_candidate(
    problem: Problem,
    method: WidthMethod,
    network: Architecture,
    law: PowerLaw,
    share: float,
    iteration: int | None = None,
) -> Candidate:
    """The network with the largest widths along the law that keep this share of every bound of the budget.

    Raises BudgetError where even the least widths do not.
    """
    batch = BatchCost(network)

    def scaled(factor: float) -> Candidate:
        widths = scale_to(
            batch,
            law,
            _counts(problem, share * factor),
            floors=method.floor,
            multiple=method.multiple,
        ).widths
        made = with_widths(network, widths, batch.groups)
        numbers = {} if iteration is None else {"iteration": iteration}
        return Candidate(
            method=method.name if iteration is None else f"{method.name}-{iteration}",
            choice={**numbers, **channels_by_name(made)},
            architecture=made,
            cost=count_cost(made),
        )

    try:
        return _measured(problem, share, scaled)
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


def _measured(problem: Problem, share: float, scaled: Callable[[float], Candidate]) -> Candidate:
    """The network with its latency; where it breaks that bound, the widest of TRIES narrower ones that does not."""
    bound = share * problem.budget.bounds.get(LATENCY, inf)
    made = problem.measured(scaled(1.0))
    if made.costs.get(LATENCY, 0.0) <= bound:
        return made
    low, high, found = 0.0, 1.0, None  # 0: NARROWEST of the other bounds, 1: all of them, logarithmic between
    for _ in range(TRIES):
        middle = (low + high) / 2
        try:
            made = problem.measured(scaled(NARROWEST ** (1 - middle)))
        except BudgetError:  # narrower than the floors
            low = middle
            continue
        if made.costs[LATENCY] <= bound:
            low, found = middle, made
        else:
            high = middle
    if found is None:
        raise BudgetError(
            f"{LATENCY} must be kept, but allows {bound:.4g} and the narrowest of {TRIES + 1} networks takes "
            f"{made.costs[LATENCY]:.4g}; raise it"
        )
    return found


def _finetuned(problem: Problem, method: MagnitudeSpec, uniform: Candidate) -> Candidate:
    """The base narrowed to the uniform network's widths, trained from the base's own weights."""
    base = problem.base.architecture
    own = find_width_groups(base).widths
    widths = [min(pair) for pair in zip(find_width_groups(uniform.architecture).widths, own, strict=True)]
    if tuple(widths) == own:
        raise BudgetError(
            "methods: magnitude: the budget must be below what the base costs, or nothing is removed; lower it, or "
            "leave magnitude out"
        )
    made = narrowed(base, widths)
    candidate = Candidate(
        method=method.name,
        choice=channels_by_name(made),
        architecture=made,
        cost=count_cost(made),
        tuning=FineTuning(epochs=method.epochs, learning_rate=method.learning_rate),
    )
    return problem.measured(candidate)
