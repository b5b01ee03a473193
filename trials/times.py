"""When the results of a search came, for what is drawn over time."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from trials.schema import JobRow, SearchRow, clear_errors
from trials.store import Store


def seconds_to_results(store: Store, name: str, job_ids: Iterable[str]) -> dict[str, float]:
    """Seconds from the beginning of a search to the result of each of these jobs that has one.

    0 for what another search had found before. Raises StoreError where the database fails.
    """
    ids = list(job_ids)
    found: dict[str, datetime] = {}
    with clear_errors(store.path), Session(store._engine) as session:
        began = session.scalars(select(SearchRow.created_at).where(SearchRow.name == name)).one()
        for i in range(0, len(ids), 500):  # a statement takes a limited number of values
            rows = session.execute(select(JobRow.id, JobRow.created_at).where(JobRow.id.in_(ids[i : i + 500])))
            found.update((id_, at) for id_, at in rows)
    return {id_: max(0.0, (at - began).total_seconds()) for id_, at in found.items()}
