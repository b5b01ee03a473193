"""What the front reads of a job's result in a table of its own: rows of `nas_jobs` are long."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

FIGURES = ("correct", "images", "wall_seconds", "weights_sha256", "training_id")


def upgrade() -> None:
    """Take the columns of revision 0002 over; prunings have none."""
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
    jobs, figures = (
        sa.table(name, *(sa.column(column) for column in ("id", *FIGURES))) for name in ("nas_jobs", "nas_figures")
    )
    op.execute(figures.insert().from_select(figures.c.keys(), sa.select(jobs).where(jobs.c.correct.is_not(None))))
    op.drop_index("ix_nas_jobs_training_id", "nas_jobs")
    for name in FIGURES:
        op.drop_column("nas_jobs", name)
