"""What is known, in SQL: the searches, the jobs behind their trials, and Optuna's study of every search.

The driver alone writes. A job's result is written first, then the Optuna trial that shows it, each in one
transaction; after a crash between the two the next run adds the trials that are missing. A transaction that the
database did not answer is made again, as a whole.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self, TypeVar

from optuna.storages import BaseStorage
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from trials.artifacts import ARTIFACTS, FolderArtifacts
from trials.database import (
    DatabaseGone,
    StoreError,
    clear_errors,
    commit_quickly,
    database_name,
    leave_as_one_file,
    wait_for,
    wait_seconds,
)
from trials.job import Job, JobFailure, JobResult
from trials.migrate import open_engine, schema_lock, upgrade
from trials.prune_job import PruneResult
from trials.records import StoredSearch, TrialRecord
from trials.results import Figures, Recorded, read_figures, read_results, write_results
from trials.route_job import RouteJob
from trials.schema import JobRow, SearchRow
from trials.settings import find_folder, settle_folder
from trials.studies import SLACK, Studies, make_trial, read_attributes, read_names

__all__ = ["SLACK", "DatabaseGone", "Store", "StoreError", "StoredSearch", "TrialRecord"]

_T = TypeVar("_T")


class Store:
    """One database. Every method raises StoreError where the database fails.

    One that is open for writing (`create`) waits for a database that is gone, and says so; where all is made and
    upgraded as needed. `checkpoints` names the folder of the weights, where the database has none yet.
    """

    def __init__(
        self,
        url: str,
        *,
        create: bool = False,
        checkpoints: str | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.shown = database_name(url)
        self._writes, self._say = create, say
        self._wait_seconds = wait_seconds() if create else 0.0
        with clear_errors(self.shown), ExitStack() as opened:
            self._engine = open_engine(url, create=create)
            opened.callback(self._engine.dispose)
            with schema_lock(url, self._engine) if create else nullcontext():
                if create:
                    commit_quickly(self._engine)
                    upgrade(self._engine, self.shown)
                self._studies = Studies(url, create=create)
                opened.callback(self._studies.storage.engine.dispose)
                if checkpoints is not None and create:
                    settle_folder(self._engine, url, checkpoints)
            if create:
                commit_quickly(self._studies.storage.engine)
            self._folder = find_folder(self._engine, url)
            opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._studies.storage.engine.dispose()
        if self._writes:
            leave_as_one_file(self._engine)
        self._engine.dispose()

    @property
    def engines(self) -> tuple[Engine, Engine]:
        """Of our tables and of Optuna's."""
        return self._engine, self._studies.storage.engine

    @property
    def optuna_storage(self) -> BaseStorage:
        """For optuna-dashboard."""
        return self._studies.storage

    @property
    def checkpoints(self) -> Path:
        """The folder of the weights, as `trials.folders.open_path` gives it."""
        if self._folder is None:
            raise StoreError(
                f"weights of database {self.shown} must lie where all machines reach them, but no folder is known; "
                "name one by checkpoints in the spec, or by NAS_CHECKPOINTS"
            )
        return self._folder

    @property
    def artifacts(self) -> FolderArtifacts | None:
        """Files that people attach to trials; None where no folder is known yet."""
        return None if self._folder is None else FolderArtifacts(self._folder / ARTIFACTS)

    def _run(self, work: Callable[[Session], _T]) -> _T:
        """What a transaction gives; made again where the database was gone meanwhile."""

        def transact() -> _T:
            with Session(self._engine) as session, session.begin():
                return work(session)

        return self._wait(transact)

    def _wait(self, work: Callable[[], _T]) -> _T:
        with clear_errors(self.shown):
            return wait_for(work, self._wait_seconds, self._say)

    def begin(self, search: StoredSearch, directions: Sequence[str], metric_names: Sequence[str]) -> StoredSearch:
        """The search of this name as it was begun, now or earlier, with its Optuna study."""

        def add(session: Session) -> None:
            if session.get(SearchRow, search.name) is None:
                session.add(
                    SearchRow(
                        name=search.name,
                        spec=search.spec,
                        networks=search.networks,
                        job_ids=search.job_ids,
                        data=search.data,
                        versions=search.versions,
                    )
                )

        self._run(add)
        self._wait(lambda: self._studies.begin(search.name, directions, metric_names))
        return self.search(search.name)

    def extend(self, name: str, networks: list[dict[str, Any]], job_ids: list[str], data: Mapping[str, Any]) -> None:
        """Add networks and job ids that were not known when the search began, and put `data` over its own."""

        def add(session: Session) -> None:
            row = session.get_one(SearchRow, name)
            if not set(job_ids) <= set(row.job_ids):  # they are where a commit came through though nobody said so
                row.networks, row.job_ids = [*row.networks, *networks], [*row.job_ids, *job_ids]
            row.data = {**row.data, **data}

        self._run(add)

    def set_finished(self, name: str, finished: bool) -> None:
        """Mark a search as complete, or as one that has work left."""

        def mark(session: Session) -> None:
            session.get_one(SearchRow, name).finished_at = datetime.now() if finished else None

        self._run(mark)

    def search_names(self) -> list[str]:
        """All searches, the newest first."""
        return self._run(read_names)

    def find_search(self, name: str, *, networks: bool = True) -> StoredSearch | None:
        """The search of this name, or None; its networks, which may be many megabytes, only where they are wanted."""
        columns = [SearchRow.spec, SearchRow.job_ids, SearchRow.data, SearchRow.versions, SearchRow.finished_at]
        query = select(*columns, *([SearchRow.networks] if networks else [])).where(SearchRow.name == name)
        row = self._run(lambda session: session.execute(query).one_or_none())
        if row is None:
            return None
        return StoredSearch(
            name=name,
            spec=row.spec,
            networks=row.networks if networks else [],
            job_ids=row.job_ids,
            data=row.data,
            versions=row.versions,
            finished=row.finished_at is not None,
        )

    def search(self, name: str, *, networks: bool = True) -> StoredSearch:
        """What `find_search` finds; raises StoreError, naming the near names, where there is none."""
        found = self.find_search(name, networks=networks)
        if found is None:
            names = self.search_names()
            near = get_close_matches(name, names, n=3, cutoff=0.4) or names[:3]
            known = f"did you mean {', '.join(near)}?" if near else "it holds none yet"
            raise StoreError(f"a search must be in {self.shown}, but {name!r} is not; {known}")
        return found

    def results(self, job_ids: Iterable[str]) -> dict[str, JobResult]:
        """Results of those of the jobs, trainings and scorings, that are in the store."""
        return {job_id: JobResult.from_json(result) for job_id, result in self._results(job_ids)}

    def prunings(self, job_ids: Iterable[str]) -> dict[str, PruneResult]:
        """Records of those of the prunings that are in the store."""
        return {job_id: PruneResult.from_json(result) for job_id, result in self._results(job_ids)}

    def _results(self, job_ids: Iterable[str]) -> list[tuple[str, dict[str, Any]]]:
        ids = list(job_ids)
        return self._run(lambda session: read_results(session, ids))

    def figures(self, job_ids: Iterable[str]) -> dict[str, Figures]:
        """The results of `results` in short, with those on test of the same weights: quicker to read."""
        ids = list(job_ids)
        return self._run(lambda session: read_figures(session, ids))

    def job(self, job_id: str) -> Job:
        """A training or scoring that is in the store."""
        return Job.from_json(self._job(job_id))

    def route(self, job_id: str) -> RouteJob:
        """An operating point that is in the store."""
        return RouteJob.from_json(self._job(job_id))

    def on_test(self, job_id: str, result: JobResult) -> str:
        """The id of the job that scores on test what a job of the store, with this result, has found."""
        if result.route is None:
            return self.job(job_id).scored_on_test(result.weights_sha256).id
        route = self.route(job_id)
        return route.on_test([replace(self.job(id_), split="test").id for id_ in route.scores], result.route).id

    def _job(self, job_id: str) -> dict[str, Any]:
        return self._run(lambda session: session.get_one(JobRow, job_id).job)

    def record_results(self, results: Iterable[Recorded]) -> None:
        """Keep the results of jobs, in place of earlier ones, all in one transaction."""
        recorded = list(results)
        self._run(lambda session: write_results(session, recorded))

    def trials(self, name: str) -> list[dict[str, Any]]:
        """Attributes of the trials that we added to a search, in that order; of a failed one, `failure`.

        Of one that a race ended early, `pruned` is the epoch.
        """
        return self._run(lambda session: read_attributes(session, name))

    def record_trial(self, name: str, trial: TrialRecord, outcome: JobResult | JobFailure | None) -> None:
        """Add a finished trial to the study: COMPLETE with its objectives, or FAIL with the reason.

        Without an outcome it is PRUNED: a race ended it after the last of its rungs.
        """
        with clear_errors(self.shown):
            add = self._studies.adding(name, make_trial(trial, outcome))
        self._wait(add)
