"""What would be trained: the base, and the candidates of every method."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nas.compensation import compensation_candidates
from nas.dynamic_spec import DYNAMIC_METHODS
from nas.method_spec import CompensationSpec
from nas.msnet import dynamic_networks
from nas.problem import NOTHING, Candidate, CandidateSet, LatencyOf, Problem, make_problem
from nas.racing import planned_epochs, rungs
from nas.resolution import resolution_candidates
from nas.resolution_spec import ResolutionSpec
from nas.scaled import check_pruning, static_candidates
from nas.spec import Spec
from nas.spec_errors import NothingFound
from nas.study import make_study
from nas.width_spec import PRUNING_METHODS, MorphNetSpec, NeuralScaleSpec
from search_spaces import COSTS, BudgetError, NasError

_FOUND = {
    "msnet": "once it is trained, the confidence at which its first exit answers",
    "cascade": "once all networks are trained, the best of them one behind the other; trains nothing more",
}
FRONT = 5  # networks that are often trained with fresh seeds beside the base; how many is not known before


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A problem with its candidates. Equal specs give equal plans.

    The seconds that its trainings and, at most, its prunings take are known where `nas.estimate` was asked.
    """

    problem: Problem
    found: CandidateSet
    estimated_seconds: float | None = field(default=None, compare=False)
    pruning_seconds: float | None = field(default=None, compare=False)

    @property
    def base(self) -> Candidate:
        """The network to beat."""
        return self.problem.base

    @property
    def networks(self) -> list[Candidate]:
        """The base first, then the chosen candidates."""
        return [self.base, *self.found.chosen]

    @property
    def trainings(self) -> int:
        """Networks times seeds: as many as there are without a race."""
        return len(self.networks) * self.problem.spec.train.seeds

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which networks are compared: of a race its rungs, otherwise full length alone."""
        train, race = self.problem.spec.train, self.problem.spec.race
        return rungs(train.epochs, race) if race else (train.epochs,)

    @property
    def prunings(self) -> list[str]:
        """What has to be pruned before all networks are known, in words, a line for each method."""
        return [_pruning_line(method) for method in self.problem.spec.methods if isinstance(method, PRUNING_METHODS)]

    @property
    def dynamics(self) -> list[str]:
        """What is found of the networks once they are trained, in words, a line for each method."""
        methods = [method for method in self.problem.spec.methods if isinstance(method, DYNAMIC_METHODS)]
        return [f"{method.name}: {_FOUND[method.name]}" for method in methods]

    @property
    def epochs(self) -> int:
        """Epochs of all trainings with the seeds that networks are found with."""
        train, race = self.problem.spec.train, self.problem.spec.race
        if race is None:
            return sum(one.tuning.epochs if one.tuning else train.epochs for one in self.networks) * train.seeds
        return planned_epochs(len(self.networks), train.seeds, self.rungs, race)

    @property
    def fresh_epochs(self) -> int:
        """Epochs of trainings with fresh seeds, of the base and FRONT others."""
        train = self.problem.spec.train
        return min(len(self.networks), 1 + FRONT) * train.confirm * train.epochs

    def to_json(self) -> dict[str, Any]:
        """The listing of `nas plan --json`."""
        return {
            "base": self.base.to_json(),
            **({} if self.problem.spec.study else {"budget": dict(self.problem.budget.bounds)}),
            **({"latency": self.problem.spec.latency.model_dump()} if self.base.latency_ms is not None else {}),
            "enumerated": self.found.enumerated,
            "feasible": len(self.found.costs),
            **(
                {"feasible_by_method": dict(self.found.feasible), "choice": self.found.choice}
                if self.found.choice
                else {}
            ),
            "costs": {
                name: {
                    "min": int(column.min()),
                    "median": int(np.median(column)),
                    "max": int(column.max()),
                }
                for name, column in zip(COSTS, self.found.costs.T, strict=True)
                if len(column)
            },
            "epochs": self.epochs,
            **({"rungs": self.rungs} if self.problem.spec.race else {}),
            **({"prunings": self.prunings} if self.prunings else {}),
            **({"dynamic": self.dynamics} if self.dynamics else {}),
            "candidates": [candidate.to_json() for candidate in self.found.chosen],
            **({} if self.estimated_seconds is None else {"estimated_seconds": self.estimated_seconds}),
            **({} if self.pruning_seconds is None else {"pruning_seconds": self.pruning_seconds}),
        }


def make_plan(spec: Spec, *, allow_code: bool = False, latency_of: LatencyOf | None = None) -> Plan:
    """Enumerate, keep what is feasible, choose. Raises SpecError or BudgetError.

    `allow_code` lets a base be made by code of the user's own; `latency_of` measures where the spec asks for latency.
    """
    problem = make_problem(spec, allow_code=allow_code, latency_of=latency_of)
    found = NOTHING
    if not spec.methods:
        _check_base(problem)
    if spec.study is not None:
        problem, found = make_study(problem)
        return Plan(problem=problem, found=found)
    made: list[Candidate] = []
    refused: list[NasError] = []
    for method in spec.methods:
        if isinstance(method, CompensationSpec):
            found += compensation_candidates(problem, method, latency_of)
        elif isinstance(method, DYNAMIC_METHODS):
            made += dynamic_networks(problem, method)
        elif isinstance(method, ResolutionSpec):
            try:
                found += resolution_candidates(problem, method)
            except (BudgetError, NothingFound) as error:  # a note, unless no method finds any
                refused.append(error)
                reason = str(error).removeprefix("methods: ").removeprefix(f"{method.name}: ")
                found += replace(NOTHING, feasible={method.name: 0}, choice=f"{method.name}: none, as {reason}")
        elif isinstance(method, PRUNING_METHODS):
            check_pruning(problem, method)
        else:
            made += static_candidates(problem, method)
    chosen = [problem.measured(candidate) for candidate in (*found.chosen, *made)]
    if refused and not chosen and not any(isinstance(method, PRUNING_METHODS) for method in spec.methods):
        raise refused[0]
    base = _with_choices(
        problem.base, [found.base_choice, *(one.choice for one in chosen if one.id == problem.base.id)]
    )
    unique = different(chosen, {base.id})
    found = replace(found, chosen=unique, choice=_with_equals(found.choice, len(chosen) - len(unique)))
    return Plan(problem=replace(problem, base=base), found=found)


def _with_equals(choice: str, count: int) -> str:
    """How networks were chosen, and what became of those that are others."""
    are = "1 of these is a network" if count == 1 else f"{count} of these are networks"
    return f"{choice}; {are} found already, or the base" if choice and count else choice


def _with_choices(first: Candidate, others: Iterable[Mapping[str, int | float]]) -> Candidate:
    """The network with what other methods chose in it, too, so that all of them show it; its own values stay."""
    choice = dict(first.choice)
    for other in others:
        choice = {**other, **choice}
    return replace(first, choice=choice)


def _pruning_line(method: MorphNetSpec | NeuralScaleSpec) -> str:
    if isinstance(method, MorphNetSpec):
        return f"{method.name}: prunes the base to {method.left:.0%} of its channels"
    which = {"first-and-last": "the first and the last", "last": "the last", "all": "each"}[method.trained]
    return f"{method.name}: at most {method.iterations} prunings one after the other; networks of {which} are trained"


def different(candidates: Iterable[Candidate], known: Set[str]) -> tuple[Candidate, ...]:
    """Every network that is not known, once: the first of equal ones, with the choices of all."""
    equal: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        equal.setdefault(candidate.id, []).append(candidate)
    return tuple(
        _with_choices(same[0], [one.choice for one in same[1:]]) for id_, same in equal.items() if id_ not in known
    )


def _check_base(problem: Problem) -> None:
    """Where the base alone is trained, it must keep the budget, or nothing could win."""
    for name, slack in problem.budget.slack(problem.base.costs).items():
        if slack > 0:
            raise BudgetError(
                f"with no methods the base must keep the budget, but budget.{name} allows "
                f"{problem.budget.bounds[name]:,} and the base has {problem.base.costs[name]:,}; raise it"
            )
