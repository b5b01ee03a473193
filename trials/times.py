"""When the results of a search came, for what is drawn over time."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from trials.database import clear_errors
from trials.results import among
from trials.schema import JobRow, SearchRow
from trials.store import Store


def seconds_to_results(store: Store, name: str, job_ids: Iterable[str]) -> dict[str, float]:
    """Seconds from the beginning of a search to the result of each of these jobs that has one.

    0 for what another search had found before. Raises StoreError where the database fails.
    """
    ids = list(job_ids)
    with clear_errors(store.shown), Session(store.engines[0]) as session:
        began = session.scalars(select(SearchRow.created_at).where(SearchRow.name == name)).one()
        query = select(JobRow.id, JobRow.created_at).where(among(session, JobRow.id, ids))
        times = {row.id: row.created_at for row in session.execute(query)}
    return {id_: max(0.0, (at - began).total_seconds()) for id_, at in times.items()}
