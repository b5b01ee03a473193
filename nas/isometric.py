"""Isometric networks as a method: the points of a grid that keep the budget, and which of them to train."""

from collections.abc import Mapping, Sequence

import numpy as np

from nas.choose import choose_candidates, said_choice
from nas.problem import Candidate, CandidateSet, Problem
from nas.resolution_spec import IsometricSpec
from nas.spec_errors import SpecError
from search_spaces import COSTS, BudgetError, NetworkError, count_cost
from search_spaces.isometric_grid import IsometricGrid, isometric_grid

STEPS = 1000  # of a multiplier, where choices are spread over it


def isometric_candidates(problem: Problem, method: IsometricSpec) -> CandidateSet:
    """All points of the grid within the budget, and a spread choice of them.

    Raises SpecError for images larger than the data's, BudgetError, naming the nearest point, where none fits.
    """
    grid = _grid(problem, method)
    return CandidateSet(
        enumerated=grid.enumerated,
        costs=np.stack([getattr(grid, name) for name in COSTS], axis=1),
        chosen=tuple(_choose(problem, grid)),
        feasible={method.name: len(grid)},
        choice=said_choice(problem, method.name, len(grid)),
        base_choice=_base_choice(problem, method),
    )


def _base_choice(problem: Problem, method: IsometricSpec) -> dict[str, int | float]:
    """The base's choice where it is a point of the grid, drawn or not and whatever the budget; otherwise empty."""
    base, sides = problem.base, method.resolution or (problem.source.side,)
    if base.architecture.resolution not in sides:
        return {}
    costs = base.cost.bounded()
    try:  # those that cost at most as much are few, of a grid that may have millions of points
        grid = _points(problem, method, (base.architecture.resolution,), costs)
    except BudgetError:
        return {}
    same = np.logical_and.reduce([getattr(grid, name) == cost for name, cost in costs.items()])
    points = (_candidate(grid, int(row)) for row in np.flatnonzero(same))
    return next((dict(point.choice) for point in points if point.architecture.id == base.architecture.id), {})


def _grid(problem: Problem, method: IsometricSpec) -> IsometricGrid:
    """The points that keep the budget; raises SpecError for images larger than the data's, and as `_points`."""
    source = problem.source
    sides = method.resolution or (source.side,)
    if max(sides) > source.side:
        raise SpecError(
            f"methods: isometric.resolution must be at most {problem.spec.data.source}'s native {source.side} px, but "
            f"goes up to {max(sides)}; lower it"
        )
    return _points(problem, method, sides, problem.counted_bounds)


def _points(
    problem: Problem, method: IsometricSpec, sides: Sequence[int], bounds: Mapping[str, float]
) -> IsometricGrid:
    """The points on images of these sides that keep the bounds; raises SpecError, or BudgetError where none does."""
    try:
        return isometric_grid(
            method.depth,
            method.multiplier,
            method.internal,
            sides,
            classes=problem.source.classes,
            channels=problem.source.channels,
            bounds=bounds,
        )
    except NetworkError as error:
        raise SpecError(f"methods: isometric: {error}") from error
    except BudgetError as error:
        raise BudgetError(f"methods: isometric: {error}") from error


def _choose(problem: Problem, grid: IsometricGrid) -> list[Candidate]:
    """Spread over internal resolution, images, depth and multiplier."""
    columns = (grid.internal, grid.resolution, grid.depth, np.rint(STEPS * grid.multiplier))
    points = np.stack(columns, axis=1).astype(np.int64)
    chosen = choose_candidates(problem, points, lambda row: _candidate(grid, row), "isometric networks")
    return sorted(chosen, key=_order)


def _candidate(grid: IsometricGrid, row: int) -> Candidate:
    network = grid.architecture_of(row)
    depth, multiplier, internal = int(grid.depth[row]), float(grid.multiplier[row]), int(grid.internal[row])
    return Candidate(
        method=f"isometric l{depth} m{multiplier:g} d{internal}",  # table 2's letters
        choice={"depth": depth, "multiplier": multiplier, "internal_resolution": internal},
        architecture=network,
        cost=count_cost(network),
    )


def _order(candidate: Candidate) -> tuple[float, ...]:
    choice = candidate.choice
    return choice["internal_resolution"], candidate.architecture.resolution, choice["depth"], choice["multiplier"]
