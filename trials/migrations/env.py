"""Alembic runs this for every command, on the connection that `trials.migrate` gives it."""

from typing import Any

from alembic import context

from trials import queue_schema  # noqa: F401 its tables are ours, too
from trials.migrate import VERSION_TABLE
from trials.schema import Table


def _is_ours(_: Any, name: str | None, kind: str, *__: Any) -> bool:
    """Optuna's tables are not compared with ours."""
    return kind != "table" or str(name) in Table.metadata.tables


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    version_table=VERSION_TABLE,
    include_object=_is_ours,
    render_as_batch=True,  # SQLite changes a column by making its table anew
)
with context.begin_transaction():
    context.run_migrations()
