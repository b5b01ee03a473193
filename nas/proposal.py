"""What the methods that prune propose: prunings and networks, as a function of the prunings that are known."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nas.descent import Iteration, descend, halve
from nas.problem import Candidate, Problem
from nas.scaled import Curve, scaled_candidate
from nas.width_spec import MorphNetSpec, NeuralScaleSpec
from search_spaces import BudgetError
from search_spaces.power_law import PowerLaw, uniform_law
from search_spaces.width_groups import find_width_groups
from search_spaces.widths import with_widths
from trials.prune_job import PruneJob, PruneResult

Records = Mapping[str, PruneResult]
Failed = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """The prunings that are wanted now, by who wants them; the networks that are known; what there is to say.

    `descents` is what the store keeps of the methods, by name.
    """

    prunings: Mapping[str, PruneJob] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    descents: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()

    @property
    def jobs(self) -> list[PruneJob]:
        """The wanted prunings, each once."""
        return list({job.id: job for job in self.prunings.values()}.values())


def propose(problem: Problem, images_id: str, records: Records, failed: Failed) -> Proposal:
    """Deterministic: equal records, by job id, give equal proposals, and more of them only add to it.

    `failed` are the prunings that will have no record, and why.
    """
    made = [
        _descent(problem, method, images_id, records, failed)
        if isinstance(method, NeuralScaleSpec)
        else _halving(problem, method, images_id, records, failed)
        for method in problem.spec.methods
        if isinstance(method, NeuralScaleSpec | MorphNetSpec)
    ]
    return Proposal(
        prunings={name: job for one in made for name, job in one.prunings.items()},
        candidates=tuple(candidate for one in made for candidate in one.candidates),
        descents={name: kept for one in made for name, kept in one.descents.items()},
        lines=tuple(line for one in made for line in one.lines),
    )


def _descent(problem: Problem, method: NeuralScaleSpec, images_id: str, records: Records, failed: Failed) -> Proposal:
    found = descend(problem, method, images_id, records, failed)
    lines = [line for one in found.iterations for line in _iteration_lines(one, method.tau)]
    candidates: list[Candidate] = []
    for one in found.trained(method.trained):
        candidates += _candidates(problem, method, one.law, lines, one.number)
    return Proposal(
        prunings={}
        if found.wanted is None
        else {f"iteration {len(found.iterations) + 1} of at most {method.iterations}": found.wanted},
        candidates=tuple(candidates),
        descents={
            method.name: {
                "tau": method.tau,
                "groups": [group.name for group in find_width_groups(problem.base.architecture).groups],
                "iterations": [one.to_json() for one in found.iterations],
                "ended": found.ended,
            }
        },
        lines=(*lines, *([f"neuralscale ends: {found.ended}"] if found.ended else [])),
    )


def _halving(problem: Problem, method: MorphNetSpec, images_id: str, records: Records, failed: Failed) -> Proposal:
    found = halve(problem, method, images_id, records, failed)
    lines: list[str] = [f"morphnet ends: {found.ended}"] if found.ended else []
    candidates: list[Candidate] = []
    if found.widths is not None:
        if found.left > method.left:
            lines.append(f"morphnet: the pruning ended with {found.left:.1%} of the channels, not {method.left:.1%}")
        law = uniform_law(with_widths(problem.base.architecture, found.widths))
        candidates = list(_candidates(problem, method, law, lines))
    return Proposal(
        prunings={} if found.wanted is None else {method.name: found.wanted},
        candidates=tuple(candidates),
        descents={method.name: {"job_id": found.job_id, "widths": found.widths, "ended": found.ended}},
        lines=tuple(lines),
    )


def _candidates(
    problem: Problem,
    method: NeuralScaleSpec | MorphNetSpec,
    law: PowerLaw,
    lines: list[str],
    iteration: int | None = None,
) -> Iterator[Candidate]:
    """One for each share of the budget; a line for one that no widths keep."""
    curve = Curve(network=problem.base.architecture, law=law, iteration=iteration)
    for share in method.shares:
        try:
            made = scaled_candidate(problem, method, curve, share)
        except BudgetError as error:
            lines.append(str(error))
            continue
        if made.extrapolated:
            size = f"{made.cost.bounded()[law.cost]:,} {law.cost}"
            lines.append(f"{made.method}: EXTRAPOLATED: {size} lie outside of what was recorded")
        yield made


def _iteration_lines(one: Iteration, tau: str) -> Iterator[str]:
    """What a person should know of an iteration."""
    name, law = f"neuralscale, iteration {one.number}", one.law
    for group, reason in one.record.left_out.items():
        yield f"{name}: {group} is not pruned: {reason}"
    if one.record.without_norm:
        places = ", ".join(one.record.without_norm)
        yield f"{name}: no batch norm follows {places}: their gates stand behind the layer itself"
    if one.unfitted:
        yield f"{name}: NO FIT, widths are scaled UNIFORMLY: {one.unfitted}"
    else:
        assert law.tau_range is not None
        assert law.r2 is not None
        low, high = law.tau_range
        yield (
            f"{name}: {law.rows} networks recorded, of {low:,.0f} to {high:,.0f} {tau}; R^2 {min(law.r2):.3f} to "
            f"{max(law.r2):.3f}; widths change by {one.change:.1%}"
            + (f"; the base's size lies {one.beyond:.1f} times beyond the record" if one.beyond > 1 else "")
        )
