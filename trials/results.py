"""Jobs and their results as rows: written whole, read whole or in short."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from trials.job import AnyJob, Job, JobResult
from trials.prune_job import PruneResult
from trials.route_job import RouteJob
from trials.schema import JobRow

_MOST_VALUES = 5000  # in a statement: SQLite takes 32,766, PostgreSQL twice as many


class Figures(NamedTuple):
    """What a job found, in short: `correct` of `images`, with weights of this hash."""

    correct: int
    images: int
    wall_seconds: float
    weights_sha256: str

    @property
    def accuracy(self) -> float:
        """Share of the images whose class was found."""
        return self.correct / self.images


def job_row(job: AnyJob | RouteJob, result: JobResult | PruneResult) -> dict[str, Any]:
    """A row's values by column."""
    figures = result if isinstance(result, JobResult) else None
    return {
        "id": job.id,
        "job": job.to_json(),
        "result": result.to_json(),
        "correct": figures and figures.correct,
        "images": figures and figures.images,
        "wall_seconds": result.wall_seconds,
        "weights_sha256": figures and figures.weights_sha256,
        "training_id": job.training().id if isinstance(job, Job) and job.kind == "test" else None,
    }


def read_results(session: Session, job_ids: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Ids of those that are there, and their results."""
    query = select(JobRow.id, JobRow.result)
    return [
        (job_id, result)
        for some in _batches(job_ids)
        for job_id, result in session.execute(query.where(JobRow.id.in_(some)))
    ]


def read_figures(session: Session, job_ids: Sequence[str]) -> dict[str, Figures]:
    """The same in short; none of prunings."""
    query = select(JobRow.id, JobRow.correct, JobRow.images, JobRow.wall_seconds, JobRow.weights_sha256)
    return {
        row[0]: Figures._make(row[1:])
        for some in _batches(job_ids)
        for row in session.execute(query.where(JobRow.id.in_(some), JobRow.correct.is_not(None)))
    }


def read_test_figures(session: Session, training_ids: Sequence[str]) -> dict[str, Figures]:
    """What the weights that trainings have now scored on test, by training."""
    trained, test = aliased(JobRow), aliased(JobRow)
    same = (test.training_id == trained.id) & (test.weights_sha256 == trained.weights_sha256)
    query = select(trained.id, test.correct, test.images, test.wall_seconds, test.weights_sha256).join(test, same)
    return {
        row[0]: Figures._make(row[1:])
        for some in _batches(training_ids)
        for row in session.execute(query.where(trained.id.in_(some)))
    }


def _batches(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(values), _MOST_VALUES):
        yield values[first : first + _MOST_VALUES]
