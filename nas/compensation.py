"""Borji's approaches as a method: which networks of higher resolution cost the same, and which of them to train."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nas.method_spec import CompensationSpec
from nas.problem import Candidate, CandidateSet, LatencyOf, Problem, choice_of
from nas.spec_errors import SpecError
from search_spaces import (
    COSTS,
    LATENCY,
    Approach,
    Architecture,
    BudgetError,
    NetworkError,
    Ranges,
    Solutions,
    apply_solution,
    choose_spread,
    count_cost,
    count_coverages,
    count_edited_layers,
    relative_miss,
    solve,
    window,
)
from search_spaces.windows import Windows

# Features over which the chosen networks are spread, the first one foremost: what decides what the first layers see.
SPREAD_OVER = ("resolution", "kernel1", "dilation1", "coverage", "kernel2", "pool_kernel", "units")
ROUNDS = 10  # of drawing and measuring, where the budget bounds latency


@dataclass(frozen=True, kw_only=True)
class Equality:
    """What the networks of an approach must cost: windows of the whole network and of the edited layers."""

    network: Windows
    layer: Windows


def compensation_candidates(
    problem: Problem, settings: CompensationSpec, latency_of: LatencyOf | None = None
) -> CandidateSet:
    """All networks of the approaches within the budget, and a spread choice of them, as many of each approach.

    Raises SpecError for resolutions that the data do not have and for a base that an approach cannot edit, BudgetError,
    naming the bound and the nearest network, where none fits.
    """
    found, windows = solve_within(problem, settings, settings.approaches)
    if not any(map(len, found.values())):
        reasons = [_why_none(problem, found[approach], windows[approach], settings) for approach in found]
        raise BudgetError(min(reasons)[1])
    chosen = _choose_all(problem, settings, found, latency_of)
    return candidate_set(
        found,
        sorted(chosen, key=lambda candidate: candidate.architecture.resolution),
        "drawn from equal strata over resolution, kernel and coverage, "
        f"seed {problem.spec.search.seed}" + ("; a race decides among them" if problem.spec.race else ""),
    )


def solve_within(
    problem: Problem, settings: CompensationSpec, approaches: Sequence[Approach]
) -> tuple[dict[Approach, Solutions], dict[Approach, Equality]]:
    """The solutions of each approach within the problem's budget, and the windows that they were found in."""
    resolutions, ranges = find_resolutions(problem, settings), ranges_of(settings)
    bounds = {name: (0, int(bound)) for name, bound in problem.budget.bounds.items() if name != LATENCY}
    windows = {approach: equality(problem, settings, approach, bounds) for approach in approaches}
    base = problem.base.architecture
    found = {approach: solve_approach(base, approach, resolutions, kept, ranges) for approach, kept in windows.items()}
    return found, windows


def candidate_set(found: Mapping[Approach, Solutions], chosen: Sequence[Candidate], choice: str = "") -> CandidateSet:
    """What was found by approach, and the candidates chosen of it."""
    return CandidateSet(
        enumerated=sum(solutions.enumerated for solutions in found.values()),
        costs=np.concatenate(
            [np.stack([solutions.columns[name] for name in COSTS], axis=1) for solutions in found.values()]
        ),
        chosen=tuple(chosen),
        feasible={label(approach): len(solutions) for approach, solutions in found.items()},
        choice=choice,
    )


def solve_approach(
    base: Architecture, approach: Approach, resolutions: Sequence[int], kept: Equality, ranges: Ranges
) -> Solutions:
    """`search_spaces.solve`; raises SpecError where the base is not what the approach needs."""
    try:
        return solve(base, approach, resolutions=resolutions, network=kept.network, layer=kept.layer, ranges=ranges)
    except NetworkError as error:
        raise SpecError(f"methods: {error}") from error


def equality(problem: Problem, settings: CompensationSpec, approach: Approach, bounds: Windows) -> Equality:
    """The windows of what is kept, around the base's costs or below the budget's bounds, and all these bounds."""
    names = settings.keep or tuple(name for name in ("params", "macs") if name in bounds)
    base = count_cost(problem.base.architecture)
    if settings.scope == "layer":
        layer = edited_layers(problem.base.architecture, approach) if names else {}
        kept: dict[str, tuple[int, int]] = {
            name: window(layer[name], settings.tolerance, two_sided=settings.two_sided) for name in names
        }
        return Equality(network=bounds, layer=kept)
    windows = dict(bounds)
    for name in names:
        if name in bounds:
            windows[name] = window(bounds[name][1], settings.tolerance)
        else:
            windows[name] = window(getattr(base, name), settings.tolerance, two_sided=settings.two_sided)
    return Equality(network=windows, layer={})


def edited_layers(base: Architecture, approach: Approach) -> Mapping[str, int]:
    """What the layers that an approach edits cost in the base; raises SpecError where it has no such layers."""
    try:
        return count_edited_layers(base, approach)
    except NetworkError as error:
        raise SpecError(f"methods: {error}") from error


def ranges_of(settings: CompensationSpec) -> Ranges:
    """What the approaches range over."""
    return Ranges(
        kernel=settings.kernel,
        stride=settings.stride,
        padding=settings.padding,
        dilation=settings.dilation,
        filters2=settings.filters2,
    )


def find_resolutions(problem: Problem, settings: CompensationSpec) -> range:
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
    return range(low, high + 1)


def _choose_all(
    problem: Problem, settings: CompensationSpec, found: Mapping[Approach, Solutions], latency_of: LatencyOf | None
) -> list[Candidate]:
    """As many candidates of each approach, and more of others where one has fewer; every network once."""
    chosen: dict[str, Candidate] = {}
    measured: list[float] = []
    waiting = sorted(
        (approach for approach in found if len(found[approach])), key=lambda approach: len(found[approach])
    )
    if problem.spec.search.max_candidates < len(waiting):
        raise SpecError(
            f"search.max_candidates must be at least {len(waiting)}, one for each approach, but is "
            f"{problem.spec.search.max_candidates}; raise it"
        )
    for number, approach in enumerate(waiting):
        share = (problem.spec.search.max_candidates - len(chosen)) // (len(waiting) - number)
        draw = Draw(problem, approach, found[approach], settings)
        for candidate in draw.choose(share, latency_of, {*chosen, problem.base.id}, measured):
            chosen[candidate.id] = candidate
    if not chosen:
        bound, total = problem.budget.bounds.get(LATENCY), sum(map(len, found.values()))
        if measured:
            raise BudgetError(
                f"budget.{LATENCY} allows {bound} ms, but the quickest of {len(measured)} measured candidates (of "
                f"{total:,}) takes {min(measured):.4g} ms; raise the bound, or lower those on macs"
            )
    return list(chosen.values())


@dataclass(frozen=True)
class Draw:
    """Draws networks to be trained from the solutions of one approach."""

    problem: Problem
    approach: Approach
    solutions: Solutions
    settings: CompensationSpec

    def choose(
        self, count: int, latency_of: LatencyOf | None, known: set[str], measured: list[float]
    ) -> list[Candidate]:
        """Spread candidates; where latency is bounded, too slow ones are replaced by others, for a few rounds."""
        search, bound = self.problem.spec.search, self.problem.budget.bounds.get(LATENCY)
        shares = count_coverages(self.problem.base.architecture, self.solutions)
        worthwhile, points = self._worthwhile(count, shares), self._points(shares)
        chosen: list[Candidate] = []
        for round_ in range(ROUNDS):
            if len(chosen) >= count or not len(worthwhile):
                break
            drawn = choose_spread(points[worthwhile], count - len(chosen), search.seed + round_)
            found = [self._candidate(int(index)) for index in worthwhile[drawn]]
            worthwhile = np.delete(worthwhile, drawn)
            found = [candidate for candidate in found if candidate.id not in known]
            known |= {candidate.id for candidate in found}
            if bound is not None:
                assert latency_of is not None
                found = [replace(candidate, latency_ms=latency_of(candidate.architecture)) for candidate in found]
                measured += [candidate.costs[LATENCY] for candidate in found]
            chosen += [candidate for candidate in found if bound is None or candidate.costs[LATENCY] <= bound]
        return chosen

    def _points(self, shares: NDArray[np.float64]) -> NDArray[np.int64]:
        """What the choice is spread over [T, F]; coverage in steps of 5 %."""
        columns = dict(self.solutions.columns)
        columns["coverage"] = np.rint(20 * shares).astype(np.int64)
        return np.stack([columns[name] for name in SPREAD_OVER if name in columns], axis=1)

    def _candidate(self, index: int) -> Candidate:
        row = self.solutions.row(index)
        architecture = apply_solution(self.problem.base.architecture, self.approach, row)
        return Candidate(
            method=label(self.approach),
            choice=choice_of(row),
            architecture=architecture,
            cost=count_cost(architecture),
        )

    def _worthwhile(self, enough: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
        """Indices of the solutions whose convs' windows overlap and that look at most of the image; of too few, of all.

        Approach II keeps its kernel and is judged by what it looks at alone. Pools are left out: those that overlap by
        half have kernels of 5 to 8 at stride 1 or 2, and blur the map.
        """
        columns = self.solutions.columns
        overlapping = np.ones(len(self.solutions), dtype=bool)
        for kernel, stride in (("kernel1", "stride1"), ("kernel2", "stride2")):
            if kernel in columns:
                overlapping &= columns[stride] <= (1 - self.settings.overlap) * columns[kernel]
        covering = shares >= self.settings.coverage
        for kept in (overlapping & covering, covering, overlapping):
            if kept.sum() >= enough:
                return np.flatnonzero(kept)
        return np.arange(len(self.solutions))


def label(approach: Approach) -> str:
    """The method's name in listings and trials."""
    return f"compensation-{approach}"


def _why_none(problem: Problem, solutions: Solutions, kept: Equality, settings: CompensationSpec) -> tuple[float, str]:
    """How far the nearest network misses, and the error that says so."""
    nearest, approach = solutions.nearest, solutions.approach
    if nearest is None:
        return np.inf, (
            f"approach {approach} must keep what the layers behind it read, but nothing in methods' ranges does; "
            "widen them"
        )
    windows = kept.network
    misses = {name: float(relative_miss(nearest[name], *windows[name])) for name in windows}
    name = max(misses, key=lambda key: misses[key], default="")
    if not name or misses[name] <= 0:
        return 0.0, (
            f"approach {approach} must keep {', '.join(kept.layer)} of the layers that it edits (tolerance "
            f"{settings.tolerance}), but no network does; raise the tolerance, widen the ranges or let scope be network"
        )
    wanted = ", ".join(f"{low:,} to {high:,} {key}" for key, (low, high) in windows.items())
    where = f"budget.{name}" if name in problem.budget.bounds else "methods.keep"
    return misses[name], (
        f"a network must have {wanted} (tolerance {settings.tolerance}), but none of approach {approach} has; the "
        f"nearest, at {nearest['resolution']} px, has {', '.join(f'{nearest[key]:,} {key}' for key in windows)}; "
        f"change {where} or the tolerance"
    )
