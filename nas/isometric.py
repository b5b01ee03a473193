"""Isometric networks as a method: the points of a grid that keep the budget, and which of them to train."""

import numpy as np

from nas.problem import Candidate, CandidateSet, Problem
from nas.resolution_spec import IsometricSpec
from nas.spec_errors import SpecError
from search_spaces import COSTS, LATENCY, BudgetError, NetworkError, choose_spread, count_cost
from search_spaces.isometric_grid import IsometricGrid, isometric_grid

STEPS = 1000  # of a multiplier, where choices are spread over it
ROUNDS = 10  # of drawing and measuring, where the budget bounds latency


def isometric_candidates(problem: Problem, method: IsometricSpec) -> CandidateSet:
    """All points of the grid within the budget, and a spread choice of them.

    Raises SpecError for images larger than the data's, BudgetError, naming the nearest point, where none fits.
    """
    grid = _grid(problem, method)
    count, seed = problem.spec.search.max_candidates, problem.spec.search.seed
    chosen, whole = _choose(problem, grid, count), len(grid) <= count
    return CandidateSet(
        enumerated=grid.enumerated,
        costs=np.stack([getattr(grid, name) for name in COSTS], axis=1),
        chosen=tuple(chosen),
        feasible={method.name: len(grid)},
        choice="all of them" if whole else f"drawn from equal strata over all four, seed {seed}",
    )


def _grid(problem: Problem, method: IsometricSpec) -> IsometricGrid:
    source = problem.source
    sides = method.resolution or (source.side,)
    if max(sides) > source.side:
        raise SpecError(
            f"methods: isometric.resolution must be at most {problem.spec.data.source}'s native {source.side} px, but "
            f"goes up to {max(sides)}"
        )
    bounds = {name: bound for name, bound in problem.budget.bounds.items() if name in COSTS}
    try:
        return isometric_grid(
            method.depth,
            method.multiplier,
            method.internal,
            sides,
            classes=source.classes,
            channels=source.channels,
            bounds=bounds,
        )
    except NetworkError as error:
        raise SpecError(f"methods: isometric: {error}") from error
    except BudgetError as error:
        raise BudgetError(f"methods: isometric: {error}") from error


def _choose(problem: Problem, grid: IsometricGrid, count: int) -> list[Candidate]:
    """Spread over internal resolution, images, depth and multiplier; those that are too slow are replaced by others."""
    columns = (grid.internal, grid.resolution, grid.depth, np.rint(STEPS * grid.multiplier))
    points = np.stack(columns, axis=1).astype(np.int64)
    left, chosen, measured = np.arange(len(grid)), list[Candidate](), list[float]()
    for round_ in range(ROUNDS):
        if len(chosen) >= count or not len(left):
            break
        drawn = choose_spread(points[left], count - len(chosen), problem.spec.search.seed + round_)
        found = [problem.measured(_candidate(grid, int(row))) for row in left[drawn]]
        left = np.delete(left, drawn)
        measured += [candidate.latency_ms for candidate in found if candidate.latency_ms is not None]
        chosen += [candidate for candidate in found if problem.budget.keeps(candidate.costs)]
    if not chosen:
        raise BudgetError(
            f"budget.{LATENCY} allows {problem.budget.bounds[LATENCY]} ms, but the quickest of {len(measured)} "
            f"isometric networks takes {min(measured):.4g} ms; raise it, or lower those on macs"
        )
    return sorted(chosen, key=_order)


def _candidate(grid: IsometricGrid, row: int) -> Candidate:
    network = grid.architecture_of(row)
    return Candidate(
        method="isometric",
        choice={
            "depth": int(grid.depth[row]),
            "multiplier": float(grid.multiplier[row]),
            "internal_resolution": int(grid.internal[row]),
        },
        architecture=network,
        cost=count_cost(network),
    )


def _order(candidate: Candidate) -> tuple[float, ...]:
    choice = candidate.choice
    return choice["internal_resolution"], candidate.architecture.resolution, choice["depth"], choice["multiplier"]
