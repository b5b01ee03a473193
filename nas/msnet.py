"""The networks that dynamic methods train: MSNets of the base, and the base at the resolutions of a cascade."""

from nas.dynamic_spec import CascadeSpec, MSNetSpec
from nas.problem import Candidate, Problem
from nas.spec_errors import SpecError
from search_spaces import MACS_WORST, Architecture, BudgetError, NetworkError, count_cost
from search_spaces.edits import with_resolution
from search_spaces.exits import exit_costs
from search_spaces.multi_scale import multi_scale
from search_spaces.widths import scale_widths

WHOLE = "msnet both"  # an MSNet all of which runs for every image


def dynamic_networks(problem: Problem, method: MSNetSpec | CascadeSpec) -> list[Candidate]:
    """What is to be trained for a method, whether or not it keeps budget.macs when all of it runs.

    Raises SpecError for networks that cannot be, BudgetError for those of which no operating point keeps the budget.
    """
    base = problem.base.architecture
    try:
        if isinstance(method, MSNetSpec):
            made = [_msnet(base, method, width) for width in method.width]
        else:
            made = [_at(base, side) for side in method.resolutions if side != base.resolution]
    except NetworkError as error:
        raise SpecError(f"methods: {method.name}: {error}") from error
    for candidate in made:
        if candidate.architecture.resolution > problem.source.side:
            raise SpecError(
                f"methods: {method.name}.resolutions must be at most {problem.spec.data.source}'s native "
                f"{problem.source.side} px, but holds {candidate.architecture.resolution}"
            )
        _check(problem, method.name, candidate)
    return made


def width_text(width: float) -> str:
    """A multiplier as names of networks say it; nothing for 1."""
    return "" if width == 1 else f" width x{width:g}"


def _msnet(base: Architecture, method: MSNetSpec, width: float) -> Candidate:
    network = multi_scale(scale_widths(base, width) if width != 1 else base, upsampling=method.upsampling)
    return Candidate(
        method=f"{WHOLE}{width_text(width)}",
        choice={"width_multiplier": width},
        architecture=network,
        cost=count_cost(network),
        is_part=True,
    )


def _at(base: Architecture, side: int) -> Candidate:
    network = with_resolution(base, side)
    factor = side / base.resolution
    return Candidate(
        method=f"resolution x{factor:.3g}",
        found_by="cascade",
        choice={"resolution_multiplier": factor},
        architecture=network,
        cost=count_cost(network),
        is_part=True,
    )


def _check(problem: Problem, method: str, candidate: Candidate) -> None:
    """Raise BudgetError where nothing that begins, or ends, with this network can keep the budget."""
    costs = candidate.cost.bounded()
    least: dict[str, int] = {**costs, MACS_WORST: costs["macs"]}
    if candidate.architecture.exits:  # what its first exit answers costs no more than that
        least["macs"] = exit_costs(candidate.architecture)[0].macs
    else:  # in a cascade few images may come to it
        del least["macs"]
    for name, count in least.items():
        bound = problem.routed.get(name)
        if bound is not None and count > bound:
            raise BudgetError(
                f"methods: {method}: {candidate.method} must keep the budget, but has {name} {count:,} at least "
                f"(budget {bound:,}); raise it, or make the network smaller"
            )
