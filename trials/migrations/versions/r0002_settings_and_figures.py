"""A table of settings; what the front reads of a job's result in columns of their own."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from search_spaces import content_id

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBERS_VERSION = 2  # of all jobs from before this revision
BATCH = 500


def upgrade() -> None:
    """Add them and fill them from the results."""
    op.create_table(
        "nas_settings",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(), nullable=False),
    )
    op.add_column("nas_jobs", sa.Column("correct", sa.Integer(), nullable=True))
    op.add_column("nas_jobs", sa.Column("images", sa.Integer(), nullable=True))
    op.add_column("nas_jobs", sa.Column("wall_seconds", sa.Double(), nullable=True))
    op.add_column("nas_jobs", sa.Column("weights_sha256", sa.String(64), nullable=True))
    op.add_column("nas_jobs", sa.Column("training_id", sa.String(16), nullable=True))
    op.create_index("ix_nas_jobs_training_id", "nas_jobs", ["training_id"])
    _fill()
    op.execute(sa.table("nas_schema", sa.column("version")).update().values(version=3))


def _fill() -> None:
    connection, last = op.get_bind(), ""
    jobs = sa.table(
        "nas_jobs",
        sa.column("id", sa.String),
        sa.column("job", sa.JSON),
        sa.column("result", sa.JSON),
        *(sa.column(name) for name in ("correct", "images", "wall_seconds", "weights_sha256", "training_id")),
    )
    query = sa.select(jobs.c.id, jobs.c.job, jobs.c.result).order_by(jobs.c.id).limit(BATCH)
    change = (
        jobs.update()
        .where(jobs.c.id == sa.bindparam("of"))
        .values({name: sa.bindparam(f"new_{name}") for name in _figures({}, {})})
    )
    while rows := connection.execute(query.where(jobs.c.id > last)).all():
        connection.execute(
            change,
            [
                {"of": id_, **{f"new_{name}": value for name, value in _figures(job, result).items()}}
                for id_, job, result in rows
            ],
        )
        last = rows[-1].id


def _figures(job: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    training = None
    if job.get("kind") == "test":  # of a training; routes are scored by jobs of kind route
        plain = {key: value for key, value in job.items() if key not in ("until", "split")}
        training = content_id({"numbers_version": NUMBERS_VERSION, **plain, "kind": "train", "weights_sha256": ""})
    found = {name: result.get(name) for name in ("correct", "images", "wall_seconds", "weights_sha256")}
    return {**found, "training_id": training}
