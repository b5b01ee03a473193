"""Removing a search: its study, and what of its jobs no other search needs, with their files."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import delete, false, select, text, update
from sqlalchemy.orm import Session

from search_spaces import content_id
from trials.database import clear_errors
from trials.files import list_files, remove_file
from trials.job import NUMBERS_VERSION
from trials.schema import FigureRow, JobRow, SearchRow
from trials.store import Store

_T = TypeVar("_T")
GOING = "removing"  # in a search's data: ids of jobs and start weights whose files are to go


def remove_search(store: Store, name: str) -> int:
    """Remove a search from the store; how many files went with it. One that was never begun has nothing there.

    Its results go first, while no other search can begin: one that begins later makes them anew. Then files that nobody
    has come to need meanwhile, the study, the search's row. Where it is killed between two, it can be called again: the
    row says what is to go. Whoever calls it sees to it that nobody runs the search meanwhile.
    """
    engine = store.engines[0]
    with clear_errors(store.shown):
        with Session(engine) as session, session.begin():
            _keep_others_out(session)
            row = session.get(SearchRow, name)
            if row is None:
                return 0
            gone, starts = _gone(session, set(_roots(row)) - _needed(session, name))
            going = gone | starts | set(row.data.get(GOING, ()))
            for some in _some(sorted(gone), 500):  # a statement takes a limited number of values
                session.execute(delete(FigureRow).where(FigureRow.id.in_(some)))
                session.execute(delete(JobRow).where(JobRow.id.in_(some)))
            row.data = {**row.data, GOING: sorted(going)}
        files, removed = [path for path in list_files(store.checkpoints, "", "") if _owner(path) in going], 0
        for some_files in _some(files, 50):
            with Session(engine) as session:
                needed = _needed(session, name)
                kept = set(session.scalars(select(JobRow.id).where(JobRow.id.in_(map(_owner, some_files)))))
            for path in some_files:
                if _owner(path) not in needed | kept:
                    remove_file(path)
                    removed += 1
        with suppress(KeyError):  # killed before it made its study, or while it was removed
            store.optuna_storage.delete_study(store.optuna_storage.get_study_id_from_name(name))
        with Session(engine) as session, session.begin():
            session.execute(delete(SearchRow).where(SearchRow.name == name))
    return removed


def _keep_others_out(session: Session) -> None:
    """Until the transaction ends no search begins or grows."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE nas_searches IN SHARE ROW EXCLUSIVE MODE"))
    else:  # whoever writes is alone
        session.execute(update(SearchRow).where(false()).values(name=SearchRow.name))


def _needed(session: Session, name: str) -> set[str]:
    """What other searches are made of."""
    others = session.scalars(select(SearchRow).where(SearchRow.name != name))
    return {id_ for other in others for id_ in _roots(other)}


def _roots(row: SearchRow) -> Iterator[str]:
    """The trainings and prunings that a search is made of; all its other jobs are about these."""
    yield from row.job_ids
    descents: dict[str, Any] = row.data.get("descents") or {}
    for descent in descents.values():
        made = [descent, *descent.get("iterations", ())]
        yield from (one["job_id"] for one in made if one.get("job_id"))


def _gone(session: Session, roots: set[str]) -> tuple[set[str], set[str]]:
    """Ids of all jobs that are about these roots alone, and the names of start weights that no other job needs."""
    gone, routes, starts, kept_starts = set(roots), list[tuple[str, list[str]]](), set[str](), set[str]()
    for id_, job in session.execute(select(JobRow.id, JobRow.job).execution_options(yield_per=500)):
        if job["kind"] == "route":
            routes.append((id_, job["scores"]))
            continue
        ours = id_ in roots or (job["kind"] != "prune" and training_id(job) in roots)
        if ours:
            gone.add(id_)
        if job.get("start_sha256"):
            (starts if ours else kept_starts).add(f"start-{job['start_sha256'][:16]}")
    gone |= {id_ for id_, scores in routes if gone & set(scores)}
    return gone, starts - kept_starts


def training_id(job: dict[str, Any]) -> str:
    """Id of the whole training that a job begins or is about: `Job.training().id`, of plain data."""
    training = {key: value for key, value in job.items() if key not in ("until", "split")}
    return content_id({"numbers_version": NUMBERS_VERSION, **training, "kind": "train", "weights_sha256": ""})


def _owner(path: Path) -> str:
    """What a file of the folder belongs to: the id of a job, or start weights."""
    name = path.name.removeprefix(".").partition(".")[0]
    return name if name.startswith("start-") else name.partition("-")[0]


def _some(values: list[_T], size: int) -> Iterable[list[_T]]:
    return (values[first : first + size] for first in range(0, len(values), size))
