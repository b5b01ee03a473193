"""A table of settings; what the front reads of a job's result in a table of its own."""

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
FIGURES = ("correct", "images", "wall_seconds", "weights_sha256")


def upgrade() -> None:
    """Make them, and take the figures from the results."""
    op.create_table(
        "nas_settings",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(), nullable=False),
    )
    op.create_table(
        "nas_figures",
        sa.Column("id", sa.String(16), sa.ForeignKey("nas_jobs.id"), primary_key=True),
        sa.Column("correct", sa.Integer(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("wall_seconds", sa.Double(), nullable=False),
        sa.Column("weights_sha256", sa.String(64), nullable=False),
        sa.Column("training_id", sa.String(16), nullable=True),
    )
    op.create_index("ix_nas_figures_training_id", "nas_figures", ["training_id"])
    _fill()
    op.execute(sa.table("nas_schema", sa.column("version")).update().values(version=3))


def _fill() -> None:
    connection, last = op.get_bind(), ""
    jobs = sa.table("nas_jobs", sa.column("id"), sa.column("job", sa.JSON), sa.column("result", sa.JSON))
    figures = sa.table("nas_figures", *(sa.column(name) for name in ("id", *FIGURES, "training_id")))
    query = sa.select(jobs).order_by(jobs.c.id).limit(BATCH)
    while rows := connection.execute(query.where(jobs.c.id > last)).all():
        found = [{"id": id_, **_figures(job, result)} for id_, job, result in rows if "correct" in result]
        if found:
            connection.execute(figures.insert(), found)
        last = rows[-1].id


def _figures(job: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    training = None
    if job.get("kind") == "test":  # of a training; routes are scored by jobs of kind route
        plain = {key: value for key, value in job.items() if key not in ("until", "split")}
        training = content_id({"numbers_version": NUMBERS_VERSION, **plain, "kind": "train", "weights_sha256": ""})
    return {**{name: result[name] for name in FIGURES}, "training_id": training}
