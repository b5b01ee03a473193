"""Borji's approaches as a method: which networks of higher resolution fit the budget, and which to train."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nas.problem import Candidate, CandidateSet, LatencyOf, Problem, choice_of
from nas.spec import CompensationSpec
from nas.spec_errors import SpecError
from search_spaces import (
    COSTS,
    LATENCY,
    BudgetError,
    NetworkError,
    Ranges,
    Solutions,
    apply_approach_iv,
    choose_spread,
    count_cost,
    relative_miss,
    solve_approach_iv,
    window,
)

# Features over which the chosen networks are spread: those that decide what conv1 and conv2 see.
SPREAD_OVER = ("resolution", "kernel1", "kernel2", "stride1")
ROUNDS = 10  # of drawing and measuring, where the budget bounds latency


def compensation_candidates(
    problem: Problem, settings: CompensationSpec, latency_of: LatencyOf | None = None
) -> CandidateSet:
    """All networks of approach IV within the budget, and a spread choice of them.

    Raises SpecError for resolutions that the data do not have, BudgetError, naming the bound and the nearest
    network, where none fits.
    """
    low, high = _resolutions(problem, settings)
    windows = {
        name: window(bound, settings.tolerance) if name in ("params", "macs") else (0, bound)
        for name, bound in _counted_bounds(problem).items()
    }
    ranges = Ranges(kernel=settings.kernel, stride=settings.stride, padding=settings.padding)
    try:
        solutions = solve_approach_iv(
            problem.base.architecture, resolutions=range(low, high + 1), windows=windows, ranges=ranges
        )
    except NetworkError as error:
        raise SpecError(f"methods: {error}") from error
    if not len(solutions):
        raise BudgetError(_why_none(solutions, windows, settings))
    worthwhile = _overlapping(solutions, settings.overlap, problem.spec.search.max_candidates)
    chosen = _choose(problem, solutions, worthwhile, latency_of)
    return CandidateSet(
        enumerated=solutions.enumerated,
        costs=np.stack([solutions.columns[name] for name in COSTS], axis=1),
        chosen=tuple(sorted(chosen, key=lambda candidate: candidate.architecture.resolution)),
    )


def _counted_bounds(problem: Problem) -> dict[str, int]:
    return {name: int(bound) for name, bound in problem.budget.bounds.items() if name != LATENCY}


def _choose(
    problem: Problem, solutions: Solutions, worthwhile: NDArray[np.int64], latency_of: LatencyOf | None
) -> list[Candidate]:
    """Spread candidates; where latency is bounded, too slow ones are replaced by others, for a few rounds."""
    search, bound = problem.spec.search, problem.budget.bounds.get(LATENCY)
    chosen: list[Candidate] = []
    measured: list[float] = []
    for round_ in range(1 if bound is None else ROUNDS):
        points = np.stack([solutions.columns[name][worthwhile] for name in SPREAD_OVER], axis=1)
        drawn = choose_spread(points, search.max_candidates - len(chosen), search.seed + round_)
        found = [_candidate(problem, solutions.row(index)) for index in worthwhile[drawn]]
        worthwhile = np.delete(worthwhile, drawn)
        if bound is not None:
            assert latency_of is not None
            found = [replace(candidate, latency_ms=latency_of(candidate.architecture)) for candidate in found]
            measured += [candidate.costs[LATENCY] for candidate in found]
        chosen += [candidate for candidate in found if bound is None or candidate.costs[LATENCY] <= bound]
        if len(chosen) >= search.max_candidates or not len(worthwhile):
            break
    if not chosen:
        raise BudgetError(
            f"budget.{LATENCY} allows {bound} ms, but the quickest of {len(measured)} measured candidates (of "
            f"{len(solutions):,}) takes {min(measured):.4g} ms; raise the bound, or lower those on macs"
        )
    return chosen


def _candidate(problem: Problem, row: dict[str, int]) -> Candidate:
    architecture = apply_approach_iv(problem.base.architecture, row)
    return Candidate(
        method="compensation-IV",
        choice=choice_of(row),
        architecture=architecture,
        cost=count_cost(architecture),
    )


def _overlapping(solutions: Solutions, overlap: float, enough: int) -> NDArray[np.int64]:
    """Indices of the solutions whose conv windows overlap by this share of the kernel; all where these are too few."""
    columns = solutions.columns
    overlapping = np.ones(len(solutions), dtype=bool)
    for conv in ("1", "2"):
        overlapping &= columns[f"stride{conv}"] <= (1 - overlap) * columns[f"kernel{conv}"]
    found = np.flatnonzero(overlapping)
    return found if len(found) >= enough else np.arange(len(solutions))


def _resolutions(problem: Problem, settings: CompensationSpec) -> tuple[int, int]:
    """The paper's N < N' <= 2N (section 4), at most the native side; or the spec's own, checked."""
    base, native = problem.base.architecture.resolution, problem.source.side
    low, high = settings.resolutions or (base + 1, min(2 * base, native))
    if low > high:
        raise SpecError(f"base.resolution must be below the data's native {native} px to be raised, but is {base}")
    if not base < low or not high <= native:
        raise SpecError(
            f"methods.resolutions must be above the base's {base} px and at most the native {native} px, "
            f"but got [{low}, {high}]"
        )
    return low, high


def _why_none(solutions: Solutions, windows: dict[str, tuple[int, int]], settings: CompensationSpec) -> str:
    nearest = solutions.nearest
    if nearest is None:
        return (
            "approach IV must keep conv2's output side, but no kernel, stride and padding in methods' ranges does; "
            "widen them"
        )
    misses = {name: float(relative_miss(nearest[name], *windows[name])) for name in windows}
    name = max(misses, key=lambda key: misses[key])
    least, most = windows[name]
    return (
        f"budget.{name} allows {least:,} to {most:,} (tolerance {settings.tolerance}), but no candidate meets it; "
        f"the nearest, at {nearest['resolution']} px, has {', '.join(f'{nearest[key]:,} {key}' for key in windows)}; "
        "change the bound or the tolerance"
    )
