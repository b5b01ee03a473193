"""Where a search stands, as the search tells those who show it."""

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any, Literal

from nas.problem import Candidate
from nas.tables import duration
from trials.job import AnyJob, Job, JobResult

Stage = Literal["training", "racing", "confirming"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a search stands: trainings (of a race: epochs) done of all, best network, base, seconds left.

    The best is of those with all their seeds. Confirming are trainings of base and front with fresh seeds.
    """

    stage: Stage
    done: int
    total: int
    best: tuple[Candidate, float] | None
    base_accuracy: float | None
    seconds_left: float | None
    pruning: str = ""  # what runs beside it, after which more networks are known

    def to_json(self) -> dict[str, Any]:
        """What is shown of it, as plain data."""
        network, accuracy = self.best or (None, None)
        return {
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "best_accuracy": accuracy,
            "best_resolution": None if network is None else network.architecture.resolution,
            "base_accuracy": self.base_accuracy,
            "seconds_left": self.seconds_left,
            "pruning": self.pruning,
        }


_WORDS = {"training": "trained", "racing": "epochs of the race", "confirming": "confirmed"}


def progress_step(shown: dict[str, Any]) -> tuple[str, int]:
    """Stage and finished tenth of what `Progress.to_json` gave: where it changes, there is something to tell."""
    return shown["stage"], 10 * shown["done"] // max(1, shown["total"])


def progress_line(shown: dict[str, Any]) -> str:
    """The same as a line."""
    parts = (f"{shown['done']}/{shown['total']} {_WORDS[shown['stage']]}", found_so_far(shown), time_left(shown))
    return ", ".join(part for part in parts if part)


def found_so_far(shown: dict[str, Any]) -> str:
    """Best network and base."""
    parts = []
    if shown["best_accuracy"] is not None:
        parts.append(f"best {shown['best_accuracy']:.4f} ({shown['best_resolution']} px)")  # 80 characters
    if shown["base_accuracy"] is not None:
        parts.append(f"base {shown['base_accuracy']:.4f}")
    return ", ".join(parts)


def time_left(shown: dict[str, Any]) -> str:
    """How long it takes, or what runs until that is known."""
    if shown["pruning"]:
        return f"pruning: {shown['pruning']}"
    return "" if shown["seconds_left"] is None else f"{duration(shown['seconds_left'])} left"


def failure_line(job: AnyJob, why: str) -> str:
    """A job without a result, and why."""
    return f"{job.kind}, seed {job.seed} at {job.architecture.resolution} px: {why}"


def damage_line(files: Set[str]) -> str:
    """Weights that are not as they were kept."""
    count = "1 training is" if len(files) == 1 else f"{len(files)} trainings are"
    return f"{count} run again, as weights are missing or damaged: {', '.join(sorted(files)[:3])}"


def say_smaller_batches(job: Job, result: JobResult, say: Callable[[str], None]) -> None:
    """Say that a training had too little memory for its batches, if so."""
    if result.micro_batch:
        what = f"{job.recipe.batch_size} images of {job.architecture.resolution} px"
        say(f"too little memory for {what} at once: seed {job.seed} goes by {result.micro_batch}")
