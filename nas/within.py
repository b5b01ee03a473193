"""Networks at the budget, where a method scales one to bounds on what is counted, and latency has one, too."""

from collections.abc import Callable
from math import floor

from nas.problem import Candidate, Problem
from search_spaces import COSTS, LATENCY, Budget, BudgetError

TRIES = 10  # networks tried for one that keeps a bound which no formula inverts: latency, above all
SMALLEST = 1 / 4096  # of the other bounds: where they begin
WIDEST = 64  # times the base's parameters, where nothing but latency is bounded


def of_share(method: str, share: float, error: BudgetError) -> BudgetError:
    """The error with the method in front, and its share of the budget; what it begins with may be a key of it."""
    of = "" if share == 1 else f" (share {share:g} of the budget)"
    key = "budget." if str(error).partition(" ")[0] in (*COSTS, LATENCY) else ""
    return BudgetError(f"methods: {method}{of}: {key}{error}")


def counted_bounds(problem: Problem, share: float) -> dict[str, float]:
    """The bounds on what is counted; where latency alone is bounded, one that holds networks within reason."""
    bounds = problem.counted_bounds or {"params": WIDEST * problem.base.cost.params}
    return {name: max(1, floor(bound * share)) for name, bound in bounds.items()}


def within_budget(problem: Problem, share: float, make: Callable[[float], Candidate]) -> Candidate:
    """The network at the bounds; where it breaks one that is measured, or one of its own, the largest smaller one.

    `make` scales a network to this factor of the share of all bounds on what is counted. Where its network breaks a
    bound, TRIES are made, by bisection of the factor. Raises BudgetError where all of them break one.
    """
    budget = Budget(bounds={name: share * bound for name, bound in problem.budget.bounds.items()})
    made = make(1.0)
    if budget.keeps(made.costs):
        return made
    low, high, found = 0.0, 1.0, None  # 0: SMALLEST of the bounds, 1: all of them, logarithmic between
    for _ in range(TRIES):
        middle = (low + high) / 2
        try:
            made = make(SMALLEST ** (1 - middle))
        except BudgetError:  # smaller than can be
            low = middle
            continue
        if budget.keeps(made.costs):
            low, found = middle, made
        else:
            high = middle
    if found is None:
        raise none_keeps(budget, made)
    return found


def none_keeps(budget: Budget, smallest: Candidate) -> BudgetError:
    """What is raised where all of TRIES networks break a bound, down to this one."""
    bounds, costs = budget.bounds, smallest.costs
    name = max(bounds, key=lambda name: costs[name] / bounds[name])
    return BudgetError(
        f"{name} must be kept, but allows {bounds[name]:.4g} and the smallest of {TRIES + 1} networks has "
        f"{costs[name]:.4g}; raise it"
    )
