"""The tables of version 2, from before there were revisions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make those that are missing: a program of that time may have been killed between two."""
    op.create_table("nas_schema", sa.Column("version", sa.Integer(), primary_key=True), if_not_exists=True)
    op.create_table(
        "nas_searches",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("networks", sa.JSON(), nullable=False),
        sa.Column("job_ids", sa.JSON(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("versions", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        if_not_exists=True,
    )
    op.create_table(
        "nas_jobs",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("job", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        if_not_exists=True,
    )
    schema = sa.table("nas_schema", sa.column("version"))
    if op.get_bind().scalar(sa.select(sa.func.count()).select_from(schema)) == 0:
        op.execute(schema.insert().values(version=2))
