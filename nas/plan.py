"""What would be trained: the base, and the candidates of every method."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.compensation import choice_of, compensation_candidates
from nas.problem import BASE_METHOD, Candidate, CandidateSet, Problem, make_problem
from nas.spec import Spec
from search_spaces import COSTS, base_row


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A problem with its candidates. Equal specs give equal plans."""

    problem: Problem
    base: Candidate
    found: CandidateSet

    @property
    def networks(self) -> list[Candidate]:
        """The base first, then the chosen candidates."""
        return [self.base, *self.found.chosen]

    @property
    def trainings(self) -> int:
        """Networks times seeds."""
        return len(self.networks) * self.problem.spec.train.seeds

    def to_json(self) -> dict[str, Any]:
        """The listing of `nas plan --json`."""
        return {
            "base": self.base.to_json(),
            "budget": dict(self.problem.budget.bounds),
            "enumerated": self.found.enumerated,
            "feasible": len(self.found.costs),
            "costs": {
                name: {
                    "min": int(column.min()),
                    "median": int(np.median(column)),
                    "max": int(column.max()),
                }
                for name, column in zip(COSTS, self.found.costs.T, strict=True)
            },
            "candidates": [candidate.to_json() for candidate in self.found.chosen],
        }


def make_plan(spec: Spec) -> Plan:
    """Enumerate, keep what is feasible, choose. Raises SpecError or BudgetError."""
    problem = make_problem(spec)
    found = compensation_candidates(problem, spec.methods[0])
    base = Candidate(
        method=BASE_METHOD,
        choice=choice_of(base_row(problem.base)),
        architecture=problem.base,
        cost=problem.base_cost,
    )
    return Plan(problem=problem, base=base, found=found)
