"""The base in other forms of the resolution family: fed otherwise, dilated, in parallel, scaled by plain multipliers.

And EfficientNet's compound scaling of it, to the budget.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import islice, product
from math import floor

import numpy as np

from nas.choose import choose_candidates, said_choice
from nas.problem import Candidate, CandidateSet, Problem
from nas.resolution_spec import CompoundSpec, DilatedSpec, FamilySpec, FeedingSpec, MultipliersSpec, ParallelSpec
from nas.spec_errors import SpecError
from nas.within import counted_bounds, of_share, within_budget
from search_spaces import Architecture, Budget, BudgetError, NetworkError, count_cost
from search_spaces.compound import compound_within, with_depth
from search_spaces.edits import with_resolution
from search_spaces.feeding import Way, dilated, feed
from search_spaces.parallel import Order, parallel
from search_spaces.widths import scale_widths

MOST = 10_000  # combinations of a method, each of which is built
Edit = Callable[[Architecture], Architecture]


@dataclass(frozen=True, kw_only=True)
class _Form:
    """A network that a method may propose: its name, what is chosen in it, and how it is made of the base."""

    method: str
    choice: Mapping[str, int | float]
    edit: Edit


def family_candidates(problem: Problem, method: FamilySpec) -> CandidateSet:
    """Every combination that can be built, that the images are large enough for and that keeps the budget.

    Of more than search.max_candidates, some, spread over the lists. Raises SpecError where nothing can be built,
    BudgetError, naming the nearest network, where nothing fits.
    """
    forms = list(islice(_forms(problem, method), MOST + 1))
    if len(forms) > MOST:
        raise SpecError(f"methods: {method.name} must have at most {MOST:,} combinations; use shorter lists")
    built: list[tuple[int, Candidate]] = []
    refused: list[str] = []
    for i, form in enumerate(forms):
        try:
            built.append((i, _build(problem, method.name, form)))
        except NetworkError as error:
            refused.append(f"{form.method}: {error}")
    if not built:
        raise SpecError(f"methods: {method.name}: {refused[0]}")
    bounds = Budget(bounds=problem.counted_bounds)
    feasible = [(i, candidate) for i, candidate in built if bounds.keeps(candidate.cost.bounded())]
    if not feasible:
        raise BudgetError(f"methods: {method.name}: {_nearest(bounds, [candidate for _, candidate in built])}")
    places = np.array([[i] for i, _ in feasible])
    chosen = choose_candidates(problem, places, lambda row: feasible[row][1], f"networks of {method.name}")
    notes = [f"{len(refused)} cannot be built, as {refused[0]}"] if refused else []
    return CandidateSet(
        enumerated=len(forms),
        costs=np.array([list(candidate.cost.bounded().values()) for _, candidate in feasible], np.int64),
        chosen=tuple(chosen),
        feasible={method.name: len(feasible)},
        choice=said_choice(problem, method.name, len(feasible), notes),
    )


def compound_candidates(problem: Problem, method: CompoundSpec) -> CandidateSet:
    """A network for every combination of the factors and each share of the budget.

    Raises SpecError for a base that cannot be scaled so, BudgetError for a budget that no network keeps.
    """
    combinations = [one for one in product(method.alpha, method.beta, method.gamma) if max(one) > 1]
    count, most = len(combinations) * len(method.shares), problem.spec.search.max_candidates
    if count > most:
        raise SpecError(
            f"methods: compound must have at most search.max_candidates ({most}) networks, but its lists make {count}; "
            "use shorter lists, or allow more"
        )
    chosen = [_compound(problem, *pair) for pair in product(combinations, method.shares)]
    notes = [
        f"{one.method} ends at the images' {one.architecture.resolution} px" for one in chosen if _ends(problem, one)
    ]
    return CandidateSet(
        enumerated=len(chosen),
        costs=np.array([list(candidate.cost.bounded().values()) for candidate in chosen], np.int64),
        chosen=tuple(chosen),
        feasible={method.name: len(chosen)},
        choice=said_choice(problem, method.name, len(chosen), notes),
    )


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
        edit=lambda base: feed(with_resolution(base, nominal), way, factor),
    )


def _parallel(block: int, order: Order) -> _Form:
    return _Form(
        method=f"parallel-{order} x{block}", choice={"block": block}, edit=lambda base: parallel(base, block, order)
    )


def _multiplied(width: float, resolution: float, depth: float) -> _Form:
    factors = {"width": width, "resolution": resolution, "depth": depth}
    edits: dict[str, Edit] = {
        "width": lambda base: scale_widths(base, width),
        "resolution": lambda base: with_resolution(base, max(1, floor(base.resolution * resolution + 0.5))),
        "depth": lambda base: with_depth(base, depth),
    }
    changed = [name for name, factor in factors.items() if factor != 1]
    return _Form(
        method=" ".join(f"{name} x{factors[name]:g}" for name in changed),
        choice={f"{name}_multiplier": factor for name, factor in factors.items()},
        edit=lambda base: reduce(lambda network, name: edits[name](network), changed, base),
    )


def _build(problem: Problem, found_by: str, form: _Form) -> Candidate:
    """Raises NetworkError for a network that cannot be, or that looks at more pixels than there are."""
    network = form.edit(problem.base.architecture)
    native = problem.source.side
    if network.resolution > native:
        raise NetworkError(f"images of {network.resolution} px are needed, but the data's have {native}")
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


def _compound(problem: Problem, factors: tuple[float, float, float], share: float) -> Candidate:
    """The network of the largest phi within this share of the budget."""
    label = "compound {:g}/{:g}/{:g}".format(*factors)
    make = partial(_scaled, problem, label, factors, share)
    try:
        return within_budget(problem, share, make)
    except NetworkError as error:
        raise SpecError(f"methods: {label}: {error}") from error
    except BudgetError as error:
        raise of_share(label, share, error) from error


def _scaled(problem: Problem, label: str, factors: tuple[float, float, float], share: float, part: float) -> Candidate:
    """The network of the largest phi within a part of this share of the bounds."""
    alpha, beta, gamma = factors
    found = compound_within(
        problem.base.architecture,
        counted_bounds(problem, share * part),
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        largest=problem.source.side,
    )
    made = Candidate(
        method=label if share == 1 else f"{label} x{share:g}",
        choice={"alpha": alpha, "beta": beta, "gamma": gamma, "phi": found.phi},
        share=share,
        found_by="compound",
        architecture=found.architecture,
        cost=count_cost(found.architecture),
    )
    return problem.measured(made)


def _ends(problem: Problem, candidate: Candidate) -> bool:
    """Whether its images, which grow with it, are as large as the data's, so that nothing can grow further."""
    return candidate.choice["gamma"] > 1 and candidate.architecture.resolution == problem.source.side
