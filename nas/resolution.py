"""The resolution family: the base fed otherwise, dilated, in parallel, scaled by plain multipliers; and all of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from math import floor

import numpy as np

from nas.choose import candidate_set, choose_candidates
from nas.compound import compound_candidates
from nas.isometric import isometric_candidates
from nas.problem import Candidate, CandidateSet, Problem
from nas.resolution_spec import (
    CompoundSpec,
    DilatedSpec,
    FamilySpec,
    FeedingSpec,
    IsometricSpec,
    MultipliersSpec,
    ParallelSpec,
    ResolutionSpec,
)
from nas.spec_errors import SpecError
from search_spaces import Architecture, Budget, BudgetError, NetworkError, count_cost
from search_spaces.compound import with_depth
from search_spaces.edits import rescaled
from search_spaces.feeding import Way, dilated, feed
from search_spaces.parallel import Order, parallel
from search_spaces.widths import scale_widths

MOST = 1_000  # combinations of a method, each of which is built
Edit = Callable[[Architecture], Architecture]


_LARGER = {  # what makes images larger, by method
    "feeding": "nominal, or raise factors of ways with smaller images",
    "dilated": "base.resolution",
    "parallel": "blocks",
    "multipliers": "resolution",
}


class _TooSmall(NetworkError):
    """The data's images are too small for a network."""


@dataclass(frozen=True, kw_only=True)
class _Form:
    """A network that a method may propose: its name, what is chosen in it, and how it is made of the base."""

    method: str
    choice: Mapping[str, int | float]
    edit: Edit


def resolution_candidates(problem: Problem, method: ResolutionSpec) -> CandidateSet:
    """What a method of the resolution family finds.

    Raises SpecError, of it NothingFound, or BudgetError where it finds nothing.
    """
    if isinstance(method, IsometricSpec):
        return isometric_candidates(problem, method)
    if isinstance(method, CompoundSpec):
        return compound_candidates(problem, method)
    return family_candidates(problem, method)


def family_candidates(problem: Problem, method: FamilySpec) -> CandidateSet:
    """Every combination that can be built, that the images are large enough for and that keeps the budget.

    Of more than search.max_candidates, some, spread over the lists. Raises SpecError where nothing can be built,
    BudgetError, naming the nearest network, where nothing fits.
    """
    forms = list(islice(_forms(problem, method), MOST + 1))
    if len(forms) > MOST:
        raise SpecError(f"methods: {method.name} must have at most {MOST:,} combinations; use shorter lists")
    built: list[tuple[int, Candidate]] = []
    refused: dict[type[NetworkError], list[str]] = {NetworkError: [], _TooSmall: []}
    for i, form in enumerate(forms):
        try:
            built.append((i, _build(problem, method.name, form)))
        except NetworkError as error:
            kind = _TooSmall if isinstance(error, _TooSmall) else NetworkError
            refused[kind].append(f"{form.method}: {error}")
    if not built:
        first = (refused[NetworkError] or refused[_TooSmall])[0]
        raise SpecError(f"methods: {method.name}: {first}")
    bounds = Budget(bounds=problem.counted_bounds)
    feasible = [(i, candidate) for i, candidate in built if bounds.keeps(candidate.cost.bounded())]
    if not feasible:
        raise BudgetError(f"methods: {method.name}: {_nearest(bounds, [candidate for _, candidate in built])}")
    places = np.array([[i] for i, _ in feasible])
    chosen = choose_candidates(problem, places, lambda row: feasible[row][1], f"networks of {method.name}")
    whys = {NetworkError: "cannot be built", _TooSmall: "would need larger images"}
    notes = [f"{len(texts)} {whys[kind]}, as {texts[0]}" for kind, texts in refused.items() if texts]
    return candidate_set(problem, method.name, len(forms), [candidate for _, candidate in feasible], chosen, notes)


def _forms(problem: Problem, method: FamilySpec) -> Iterator[_Form]:
    match method:
        case FeedingSpec():
            own = problem.base.architecture.resolution
            for nominal, factor, way in product(method.nominal or (own,), method.factors, method.ways):
                yield _fed(own, nominal, factor, way)
        case DilatedSpec():
            yield _Form(method=method.name, choice={}, edit=dilated)
        case ParallelSpec():
            for block, order in product(method.blocks, method.orders):
                yield _parallel(block, order)
        case MultipliersSpec():
            for factors in product(method.width, method.resolution, method.depth):
                if any(factor != 1 for factor in factors):
                    yield _multiplied(*factors)


def _fed(own: int, nominal: int, factor: int, way: Way) -> _Form:
    brought = f" of {nominal}" if nominal != own else ""
    return _Form(
        method=f"{way} x{1 / factor:.3g}{brought}" if way == "resolution" else f"{way} x{factor}{brought}",
        choice={"factor": factor, "nominal_resolution": nominal},
        edit=lambda base: feed(rescaled(base, nominal) if nominal != own else base, way, factor),
    )


def _parallel(block: int, order: Order) -> _Form:
    return _Form(
        method=f"parallel-{order} x{block}", choice={"block": block}, edit=lambda base: parallel(base, block, order)
    )


def _multiplied(width: float, resolution: float, depth: float) -> _Form:
    factors = {"width": width, "resolution": resolution, "depth": depth}

    def edit(network: Architecture) -> Architecture:
        if width != 1:
            network = scale_widths(network, width)
        if resolution != 1:
            network = rescaled(network, max(1, floor(network.resolution * resolution + 0.5)))
        if depth != 1:
            network = with_depth(network, depth)
        return network

    return _Form(
        method=" ".join(f"{name} x{factor:g}" for name, factor in factors.items() if factor != 1),
        choice={f"{name}_multiplier": factor for name, factor in factors.items()},
        edit=edit,
    )


def _build(problem: Problem, found_by: str, form: _Form) -> Candidate:
    """Raises NetworkError for a network that cannot be, or that looks at more pixels than there are."""
    network = form.edit(problem.base.architecture)
    native = problem.source.side
    if network.resolution > native:
        raise _TooSmall(
            f"images must have at most the data's {native} px, but {network.resolution} px are needed; lower "
            f"{_LARGER[found_by]}"
        )
    return Candidate(
        method=form.method, choice=form.choice, architecture=network, cost=count_cost(network), found_by=found_by
    )


def _nearest(bounds: Budget, built: Sequence[Candidate]) -> str:
    """What is said where no network keeps the bounds: which one misses them by the smallest share."""

    def miss(candidate: Candidate) -> float:
        costs = candidate.cost.bounded()
        return max(costs[name] / bound for name, bound in bounds.bounds.items())

    nearest = min(built, key=miss)
    costs = nearest.cost.bounded()
    said = ", ".join(f"{name} {costs[name]:,} (budget {bound:,})" for name, bound in bounds.bounds.items())
    return f"a network must keep the budget, but none does; the nearest, {nearest.method}, has {said}; raise the budget"
