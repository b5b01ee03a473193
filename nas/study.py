"""Borji's experiment as a search: originals at low resolutions, and for each the same cost at higher ones.

For every resolution some LeNets are drawn, the originals; for every original and approach some of its solutions. All
are trained with the same seeds and scored on validation and test, so that originals, the mean of the solutions and
the solution that validation chooses can be compared (figures 3 and 4; the paper takes the best on test).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from nas.compensation import Draw, candidate_set, solve_within
from nas.method_spec import CompensationSpec, StudySpec
from nas.problem import Candidate, CandidateSet, Problem, choice_of, resolve_budget
from nas.spec_errors import SpecError
from search_spaces import (
    Approach,
    Architecture,
    BudgetError,
    Conv,
    LeNet,
    NetworkError,
    base_row,
    count_cost,
)

ORIGINAL = "original"  # the method of the networks that others are compared with
TRIES = 200  # originals drawn for one that has solutions


def make_study(problem: Problem) -> tuple[Problem, CandidateSet]:
    """The problem with the first original as its base, and all other networks, each with its original's bounds.

    Raises SpecError for what the study cannot draw, BudgetError where no original has solutions.
    """
    spec = problem.spec
    assert spec.study is not None
    (settings,) = spec.methods
    assert isinstance(settings, CompensationSpec)
    if any(not side < problem.source.side for side in spec.study.resolutions):
        raise SpecError(
            f"study.resolutions must be below the data's native {problem.source.side} px, "
            f"but are {list(spec.study.resolutions)}"
        )
    networks: dict[str, Candidate] = {}
    enumerated, costs, feasible = 0, [], Counter[str]()
    for side in spec.study.resolutions:
        for pool, approaches in _families(spec.study, settings):
            for found in _draw_family(problem, settings, side, approaches, pool=pool, known=networks):
                enumerated += found.enumerated
                costs.append(found.costs)
                feasible.update(found.feasible)
    first, *others = networks.values()
    found_all = CandidateSet(
        enumerated=enumerated,
        costs=np.concatenate(costs),
        chosen=tuple(others),
        feasible=feasible,
        choice=f"{spec.study.solutions} of each original and approach, from equal strata, seed {spec.search.seed}",
    )
    return replace(problem, base=first, budget=resolve_budget(spec, first.costs)), found_all


def _families(study: StudySpec, settings: CompensationSpec) -> list[tuple[bool, list[Approach]]]:
    """With or without pools, and the approaches whose originals are so."""
    if study.pool != "paper":
        return [(study.pool == "always", list(settings.approaches))]
    pooled: list[Approach] = [approach for approach in settings.approaches if approach != "IV"]
    plain: list[Approach] = [approach for approach in settings.approaches if approach == "IV"]
    return [(pool, approaches) for pool, approaches in ((True, pooled), (False, plain)) if approaches]


def _draw_family(
    problem: Problem,
    settings: CompensationSpec,
    side: int,
    approaches: list[Approach],
    *,
    pool: bool,
    known: dict[str, Candidate],
) -> Iterator[CandidateSet]:
    """Add originals of a resolution and their solutions to the known networks; yields what each original has."""
    study, seed = problem.spec.study, problem.spec.search.seed
    assert study is not None
    generator = np.random.default_rng([seed, side, pool])
    reasons = Counter[str]()
    drawn = 0
    for _ in range(TRIES * study.originals):
        if drawn == study.originals:
            return
        try:
            original = _draw_original(problem, study, side, pool, generator)
            if original.id in known:
                reasons["were drawn before"] += 1
                continue
            found = _solutions(problem, settings, original, approaches, {*known, original.id})
        except NetworkError as error:
            reasons[f"cannot exist ({error})"] += 1
            continue
        except BudgetError as error:
            reasons[str(error)] += 1
            continue
        drawn += 1
        known[original.id] = original
        known |= {candidate.id: candidate for candidate in found.chosen}
        yield found
    if drawn < study.originals:
        often = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(2))
        raise BudgetError(
            f"study needs {study.originals} LeNets of {side} px with solutions of {', '.join(approaches)}, but of "
            f"{TRIES * study.originals} drawn only {drawn} are: {often}; raise the tolerance or the budget, or change "
            "study's resolutions, kernels or pool"
        )


def _draw_original(
    problem: Problem, study: StudySpec, side: int, pool: bool, generator: np.random.Generator
) -> Candidate:
    source = problem.source
    convs = [
        Conv(
            out_channels=int(generator.integers(study.filters[0], study.filters[1] + 1)),
            kernel=int(generator.choice(study.kernels)),
            stride=int(generator.choice(study.strides)),
            padding=int(generator.choice(study.paddings)),
        )
        for _ in range(2)
    ]
    lenet = LeNet(conv1=convs[0], conv2=convs[1], hidden=problem.spec.base.hidden, pool=pool)
    network: Architecture = lenet.architecture((source.channels, side, side), source.classes)
    made = Candidate(
        method=ORIGINAL,
        choice=choice_of(base_row(network)),
        architecture=network,
        cost=count_cost(network),
        original=network.id,
    )
    return replace(made, bounds=resolve_budget(problem.spec, made.costs).bounds)


def _solutions(
    problem: Problem,
    settings: CompensationSpec,
    original: Candidate,
    approaches: list[Approach],
    known: set[str],
) -> CandidateSet:
    """Solutions of every approach for one original, fewer where there are; raises BudgetError where one has none."""
    spec = problem.spec
    assert spec.study is not None
    bounds = original.bounds or {}
    own = replace(problem, base=original, budget=resolve_budget(spec, original.costs))
    found, _ = solve_within(own, settings, approaches)
    chosen: list[Candidate] = []
    for approach, solutions in found.items():
        drawn = Draw(own, approach, solutions, settings).choose(spec.study.solutions, None, known, [])
        if not drawn:
            raise BudgetError(f"have no network of approach {approach} that costs as much")
        chosen += [replace(candidate, original=original.id, bounds=bounds) for candidate in drawn]
    return candidate_set(found, chosen)
