"""What stands between the search and those who run its jobs; and the runner without Ray."""

from pathlib import Path
from typing import Protocol

from trials.data import Dataset
from trials.job import Job, JobFailure, JobResult
from trials.run import run_job
from trials.train import TrainingDiverged

Outcome = JobResult | JobFailure


class JobSource(Protocol):
    """Hands out jobs and takes their outcomes. All calls come from the driver's main thread."""

    def ask(self) -> Job | None:
        """The next job, or None while the running ones must be awaited or when there are no more."""

    def finished(self) -> bool:
        """True when no job is left to hand out and none is running."""

    def tell(self, job: Job, outcome: Outcome) -> None:
        """The outcome of a job that `ask` gave."""


def try_job(job: Job, dataset: Dataset, folder: Path) -> Outcome:
    """The job's result, or why it has none."""
    try:
        return run_job(job, dataset, folder)
    except Exception as error:  # whatever it is, the other jobs go on; the message is kept with the trial
        message = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        return JobFailure(message=message, settled=isinstance(error, TrainingDiverged))


def run_locally(source: JobSource, dataset: Dataset, folder: Path) -> None:
    """One job after the other in this process: for debugging, and where Ray cannot run."""
    while job := source.ask():
        source.tell(job, try_job(job, dataset, folder))
