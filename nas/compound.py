"""EfficientNet's compound scaling of the base, to the budget."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import floor, sqrt

from nas.choose import candidate_set
from nas.problem import Candidate, CandidateSet, Problem
from nas.resolution_spec import CompoundSpec
from nas.spec_errors import NothingFound, SpecError
from nas.within import SMALLEST, TRIES, none_keeps, of_share
from search_spaces import LATENCY, Budget, BudgetError, NetworkError, count_cost
from search_spaces.compound import Compound, compound_within

FIRST = 4.0  # times the base's MACs: no larger network is timed first, and none of more than so many times a quick one
_AT_THE_BASE = "the budget ends at the base itself; raise the budget"


@dataclass(frozen=True, kw_only=True)
class _Combination:
    """Factors of depth, width and resolution, and the share of the budget to which they scale the base."""

    alpha: float
    beta: float
    gamma: float
    share: float

    @property
    def name(self) -> str:
        """As compound 1.2/1.1/1.15, without the share."""
        return f"compound {self.alpha:g}/{self.beta:g}/{self.gamma:g}"

    @property
    def label(self) -> str:
        """As compound 1.2/1.1/1.15 x0.5."""
        return self.name if self.share == 1 else f"{self.name} x{self.share:g}"

    @property
    def beside_images(self) -> list[str]:
        """What grows beside the images."""
        return [name for name, factor in (("depth", self.alpha), ("width", self.beta)) if factor > 1]


def compound_candidates(problem: Problem, method: CompoundSpec) -> CandidateSet:
    """A network for every combination of the factors and each share of the budget, unless it is the base itself.

    Raises SpecError for a base that cannot be scaled so, NothingFound where all are the base, BudgetError for a budget
    that no network keeps.
    """
    combinations = [
        _Combination(alpha=alpha, beta=beta, gamma=gamma, share=share)
        for alpha, beta, gamma, share in product(method.alpha, method.beta, method.gamma, method.shares)
        if max(alpha, beta, gamma) > 1
    ]
    most = problem.spec.search.max_candidates
    if len(combinations) > most:
        raise SpecError(
            f"methods: compound must have at most search.max_candidates ({most}) networks, but its lists make "
            f"{len(combinations)}; use shorter lists, or allow more"
        )
    chosen: list[Candidate] = []
    notes: list[str] = []
    errors: list[Exception] = []
    for one in combinations:
        try:
            candidate, note = _scaled(problem, one)
        except (BudgetError, NothingFound) as error:
            errors.append(error)
            notes.append(str(error).removeprefix("methods: "))
            continue
        chosen.append(candidate)
        notes += [note] if note else []
    if not chosen:
        raise errors[0]
    return candidate_set(problem, method.name, len(combinations), chosen, chosen, notes)


def _scaled(problem: Problem, one: _Combination) -> tuple[Candidate, str]:
    """The network of the largest phi within its share of the budget, and what is to be said of its images."""
    try:
        found, candidate = _within(problem, one)
    except NetworkError as error:
        raise SpecError(f"methods: {one.label}: {error}") from error
    except BudgetError as error:
        raise of_share(one.name, one.share, error) from error
    side, others = problem.source.side, one.beside_images
    if candidate.id == problem.base.id:
        ended = f"the images have {side} px; lower base.resolution" if found.held and not others else _AT_THE_BASE
        raise NothingFound(f"methods: {one.label} cannot grow: {ended}")
    if not found.held:
        return candidate, ""
    if not others:
        return candidate, f"{one.label} ends at the images' {side} px, as nothing else grows"
    return candidate, f"{one.label}: images stay at {side} px while {' and '.join(others)} grow on"


def _within(problem: Problem, one: _Combination) -> tuple[Compound, Candidate]:
    """The network at the bounds on what is counted, or the largest smaller one that is quick enough."""
    bounds = {name: max(1, floor(bound * one.share)) for name, bound in problem.counted_bounds.items()}

    def make(bounds: dict[str, int], *, capped: bool = False) -> tuple[Compound, Candidate]:
        found = compound_within(
            problem.base.architecture,
            bounds,
            alpha=one.alpha,
            beta=one.beta,
            gamma=one.gamma,
            largest=problem.source.side,
            capped=capped,
        )
        return found, _candidate(one, found)

    if LATENCY not in problem.budget.bounds:
        found, candidate = make(bounds)
        return found, problem.measured(candidate)

    def limited(times: float) -> tuple[Compound, Candidate]:
        most = max(1, floor(times * problem.base.cost.macs))
        return make({**bounds, "macs": min(most, bounds.get("macs", most))}, capped=True)

    return _within_latency(problem, one.share, limited)


def _candidate(one: _Combination, found: Compound) -> Candidate:
    return Candidate(
        method=one.label,
        choice={"alpha": one.alpha, "beta": one.beta, "gamma": one.gamma, "phi": found.phi},
        share=one.share,
        found_by="compound",
        architecture=found.architecture,
        cost=count_cost(found.architecture),
    )


def _within_latency(
    problem: Problem, share: float, limited: Callable[[float], tuple[Compound, Candidate]]
) -> tuple[Compound, Candidate]:
    """The largest network that keeps all bounds; `limited` makes one of at most so many times the base's MACs.

    It grows from network to network that is quick enough, so that no giant one is timed; then by bisection. Raises
    BudgetError where all TRIES are too slow.
    """
    budget = Budget(bounds={name: share * bound for name, bound in problem.budget.bounds.items()})
    best: tuple[Compound, Candidate] | None = None
    times = FIRST
    while True:
        found, candidate = limited(times)
        if best is not None and candidate.id == best[1].id:  # the other bounds end the growth
            return best
        candidate = problem.measured(candidate)
        if not budget.keeps(candidate.costs):
            break
        best, times = (found, candidate), times * FIRST
    low, high = (times / FIRST if best else times * SMALLEST), times
    for _ in range(TRIES):
        middle = sqrt(low * high)
        try:
            found, candidate = limited(middle)
        except BudgetError:  # smaller than can be
            low = middle
            continue
        candidate = problem.measured(candidate)
        if budget.keeps(candidate.costs):
            low, best = middle, (found, candidate)
        else:
            high = middle
    if best is None:
        raise none_keeps(budget, candidate)
    return best
