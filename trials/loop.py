"""What stands between the search and those who run its jobs; and the runner without Ray."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from trials.data import Dataset
from trials.job import AnyJob, Outcome


class JobSource(Protocol):
    """Hands out packs of jobs and takes their outcomes. All calls come from the driver's main thread."""

    def ask(self) -> tuple[AnyJob, ...]:
        """The next pack, for one worker; empty while running jobs must be awaited or when there are no more."""

    def finished(self) -> bool:
        """True when no job is left to hand out and none is running."""

    def tell(self, outcomes: Sequence[tuple[AnyJob, Outcome]]) -> None:
        """The outcomes of a pack that `ask` gave, all of them at once."""

    def retry(self, jobs: Sequence[AnyJob], why: str) -> None:
        """These jobs have no outcome yet: they are tried again."""


def try_jobs(
    jobs: Sequence[AnyJob], dataset: Dataset, folder: Path, device: str = "cpu", *, threads: int = 1, parts: int = 1
) -> list[Outcome]:
    """For each job of a pack its result, or why it has none; `parts` and `threads` as `run_jobs` has them."""
    # torch takes seconds to import, and the driver of a search on Ray, which imports this module, needs none of it
    from trials.run import run_jobs

    return run_jobs(jobs, dataset, folder, device, threads=threads, parts=parts)


def run_locally(source: JobSource, dataset: Dataset, folder: Path, *, device: str = "cpu") -> None:
    """One pack after the other in this process: for debugging, and where Ray cannot run."""
    while jobs := source.ask():
        source.tell(list(zip(jobs, try_jobs(jobs, dataset, folder, device), strict=True)))
