"""Jobs and their results as rows: written whole, read whole or in short."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session

from trials.job import AnyJob, Job, JobResult
from trials.prune_job import PruneResult
from trials.route_job import RouteJob
from trials.schema import FigureRow, JobRow, Table

Recorded = tuple[AnyJob | RouteJob, JobResult | PruneResult]


class Figures(NamedTuple):
    """What a job found, in short: `correct` of `images`, and on test, where its weights were not scored 0 of 0."""

    correct: int
    images: int
    wall_seconds: float
    test_correct: int
    test_images: int


def write_results(session: Session, results: Sequence[Recorded]) -> None:
    """Keep them in place of earlier ones."""
    jobs = [{"id": job.id, "job": job.to_json(), "result": result.to_json()} for job, result in results]
    figures = [_figures(job, result) for job, result in results if isinstance(result, JobResult)]
    for table, rows in ((JobRow, jobs), (FigureRow, figures)):
        if rows:
            _put(session, table, rows)


def _put(session: Session, table: type[Table], rows: Sequence[dict[str, Any]]) -> None:
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    new = insert(table)
    kept = {name: new.excluded[name] for name in rows[0] if name != "id"}
    session.execute(new.on_conflict_do_update(index_elements=["id"], set_=kept), rows)


def _figures(job: AnyJob | RouteJob, result: JobResult) -> dict[str, Any]:
    return {
        "id": job.id,
        "correct": result.correct,
        "images": result.images,
        "wall_seconds": result.wall_seconds,
        "weights_sha256": result.weights_sha256,
        "training_id": job.training().id if isinstance(job, Job) and job.kind == "test" else None,
    }


def read_results(session: Session, job_ids: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Ids of those that are there, and their results."""
    query = select(JobRow.id, JobRow.result).where(among(session, JobRow.id, job_ids))
    return [(id_, result) for id_, result in session.execute(query)]


def read_figures(session: Session, job_ids: Sequence[str]) -> dict[str, Figures]:
    """The same in short; none of prunings. Scores on test are of the weights that a training has now."""
    own, test = FigureRow.__table__.alias(), FigureRow.__table__.alias()  # rows as they are: quicker than the ORM's
    same = (test.c.training_id == own.c.id) & (test.c.weights_sha256 == own.c.weights_sha256)
    on_test = (func.coalesce(test.c[name], 0) for name in ("correct", "images"))
    query = select(own.c.id, own.c.correct, own.c.images, own.c.wall_seconds, *on_test)
    rows = session.connection().execute(query.outerjoin(test, same).where(among(session, own.c.id, job_ids)))
    return {row[0]: Figures._make(row[1:]) for row in rows.all()}


def among(
    session: Session, column: ColumnElement[str] | InstrumentedAttribute[str], values: Sequence[str]
) -> ColumnElement[bool]:
    """That a column holds one of these, which go as one value: there may be tens of thousands."""
    if session.get_bind().dialect.name == "postgresql":
        return column == func.any(list(values))
    return column.in_(select(func.json_each(json.dumps(list(values))).table_valued("value").c.value))
