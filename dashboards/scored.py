"""A network of a search with all it scored so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any


def mean_of(values: Sequence[float]) -> float:
    """The exact one of statistics, which takes its time, only where values differ."""
    return values[0] if values.count(values[0]) == len(values) else mean(values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """Accuracies by seed, each on so many images."""

    by_seed: dict[int, float]
    images: int

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return mean_of(list(self.by_seed.values()))

    @property
    def std(self) -> float | None:
        """Sample standard deviation over seeds; None for a single one."""
        return stdev(self.by_seed.values()) if len(self.by_seed) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Mean, spread, seeds, and the images that each was scored on."""
        by_seed = {str(seed): accuracy for seed, accuracy in self.by_seed.items()}
        return {
            "mean": self.mean,
            "std": self.std,
            "n": len(self.by_seed),
            "images": self.images,
            "by_seed": by_seed,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredNetwork:
    """A network of a search with all it scored so far; slack is cost minus bound, `job_ids` are by seed.

    `validation` is of the seeds that it was found with, `confirmed` of fresh ones. `test` is of the seeds of the
    latter, where there are any.
    """

    id: str
    method: str
    resolution: int
    costs: Mapping[str, float]
    slack: Mapping[str, float]
    validation: Score
    confirmed: Score | None
    test: Score | None
    seconds: float
    job_ids: dict[int, str]
    choice: Mapping[str, int | float] = field(default_factory=dict)  # what its method chose
    stages: tuple[str, ...] = ()  # of a dynamic network: the trained ones that it consists of, by id
    family: str = ""  # its method's name in the spec; "" in stores from before
    original: str = ""  # in a study, the id of the network that it is compared with; an original has its own

    @property
    def final(self) -> Score:
        """What a winner is named by."""
        return self.confirmed or self.validation

    @property
    def final_job_ids(self) -> dict[int, str]:
        """The trainings whose weights are scored on test, by seed."""
        return {seed: self.job_ids[seed] for seed in self.final.by_seed}

    @property
    def trained_ids(self) -> set[str]:
        """The networks that are trained for it: itself, or what a dynamic one consists of."""
        return set(self.stages) or {self.id}

    @property
    def feasible(self) -> bool:
        """True when it keeps every bound."""
        return all(slack <= 0 for slack in self.slack.values())

    def to_json(self) -> dict[str, Any]:
        """What listings show of it; test figures where there are any."""
        return {
            "id": self.id,
            "method": self.method,
            "resolution": self.resolution,
            **self.costs,
            "feasible": self.feasible,
            "validation_accuracy": self.validation.to_json(),
            **({"confirmed_accuracy": self.confirmed.to_json()} if self.confirmed else {}),
            "seconds": self.seconds,
            **({"test_accuracy": self.test.to_json()} if self.test else {}),
            **({"choice": dict(self.choice)} if self.choice else {}),
            **({"stages": list(self.stages)} if self.stages else {}),
        }
