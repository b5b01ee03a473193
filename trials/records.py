"""What the store takes and gives: a search, and how a job of it appears in Optuna."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trials.job import JobFailure, JobResult


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """How a training job appears in Optuna: its parameters, attributes, objective names and constraints.

    `spans` holds for every parameter the values that the search may give it. A constraint at or below 0 is kept.
    `attributes` holds at least `job_id`.
    """

    params: Mapping[str, int | float | str]
    spans: Mapping[str, Sequence[int | float | str]]
    attributes: Mapping[str, Any]
    objectives: Sequence[str]
    constraints: Mapping[str, float]
    rungs: Mapping[int, float] = field(default_factory=dict)  # accuracy by epoch, of a race

    def values(self, result: JobResult) -> list[float]:
        """The objectives' values."""
        return [result.accuracy if name == "accuracy" else float(self.attributes[name]) for name in self.objectives]

    def ending(self, outcome: JobResult | JobFailure | None) -> dict[str, Any]:
        """The attributes that an outcome adds; none: a race ended the training after the last of its rungs."""
        return {"pruned": max(self.rungs)} if outcome is None else outcome.attributes()


@dataclass(frozen=True, kw_only=True)
class StoredSearch:
    """A search as it began; `networks` and `job_ids` are what it trains."""

    name: str
    spec: dict[str, Any]
    networks: list[dict[str, Any]]
    job_ids: list[str]
    data: dict[str, Any]
    versions: dict[str, Any]
    finished: bool = False
