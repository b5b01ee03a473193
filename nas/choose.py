"""Which networks of a method to train, where more keep the budget than a search may have."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.problem import Candidate, CandidateSet, Problem
from search_spaces import LATENCY, BudgetError, choose_spread

ROUNDS = 10  # of drawing and measuring, where the budget bounds latency


def choose_candidates(
    problem: Problem, points: NDArray[Any], candidate_of: Callable[[int], Candidate], what: str
) -> list[Candidate]:
    """At most search.max_candidates of the networks, spread over their points [T, F]; `candidate_of` makes one.

    The networks keep all bounds on what is counted; those that are too slow are replaced by others. Raises BudgetError
    where all that were measured are.
    """
    count, seed = problem.spec.search.max_candidates, problem.spec.search.seed
    left, chosen, measured = np.arange(len(points)), list[tuple[int, Candidate]](), list[float]()
    for round_ in range(ROUNDS):
        if len(chosen) >= count or not len(left):
            break
        drawn = choose_spread(points[left], count - len(chosen), seed + round_)
        found = [(int(row), problem.measured(candidate_of(int(row)))) for row in left[drawn]]
        left = np.delete(left, drawn)
        measured += [candidate.latency_ms for _, candidate in found if candidate.latency_ms is not None]
        chosen += [(row, candidate) for row, candidate in found if problem.budget.keeps(candidate.costs)]
    if not chosen:
        raise BudgetError(
            f"budget.{LATENCY} allows {problem.budget.bounds[LATENCY]} ms, but the quickest of {len(measured)} "
            f"{what} takes {min(measured):.4g} ms; raise it, or lower those on macs"
        )
    return [candidate for _, candidate in sorted(chosen, key=lambda pair: pair[0])]


def candidate_set(
    problem: Problem,
    name: str,
    enumerated: int,
    feasible: Sequence[Candidate],
    chosen: Sequence[Candidate],
    notes: Sequence[str] = (),
) -> CandidateSet:
    """What a method of this name found, with what is to be said of it."""
    return CandidateSet(
        enumerated=enumerated,
        costs=np.array([list(candidate.cost.bounded().values()) for candidate in feasible], np.int64),
        chosen=tuple(chosen),
        feasible={name: len(feasible)},
        choice=said_choice(problem, name, len(feasible), notes),
    )


def said_choice(problem: Problem, name: str, feasible: int, notes: Sequence[str] = ()) -> str:
    """How the networks of a method were chosen, in words."""
    search = problem.spec.search
    how = "all of them" if feasible <= search.max_candidates else f"drawn from equal strata, seed {search.seed}"
    return f"{name}: {', '.join((how, *notes))}"
