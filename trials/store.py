"""What is known, in SQL: Optuna's study of every search, and the jobs behind its trials.

The driver alone writes. A job's result is written first, then the Optuna trial that shows it, each in one
transaction; after a crash between the two the next run adds the trials that are missing. Trials are added
finished, so none is ever left RUNNING.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from trials import schema
from trials.job import AnyJob, Job, JobFailure, JobResult
from trials.prune_job import PruneResult
from trials.records import StoredSearch, TrialRecord
from trials.route_job import RouteJob
from trials.schema import (
    JobRow,
    SearchRow,
    StoreError,
    checkpoint_folder,
    clear_errors,
    commit_quickly,
    leave_as_one_file,
    make_tables,
    open_engine,
    schema_lock,
    sqlite_path,
)

__all__ = ["SLACK", "Store", "StoreError", "StoredSearch", "TrialRecord"]

_SHOWN = (TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED)
SLACK = "slack_"  # before a bound's name: the trial attribute that holds cost minus bound

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Store:
    """One database. Every method raises StoreError where the database fails."""

    def __init__(self, url: str, *, create: bool = False) -> None:
        self.path: Path = sqlite_path(url)
        self.checkpoints: Path = checkpoint_folder(url)
        self._engine = open_engine(url, create=create)
        self._writes = create
        self._studies: dict[str, optuna.Study] = {}
        try:
            with self._clear_errors():
                if create:
                    with schema_lock(url):
                        commit_quickly(self._engine)
                        make_tables(self._engine)
                        self._optuna = _open_optuna(url)
                    commit_quickly(self._optuna.engine)
                else:
                    self._optuna = _open_optuna(url)
        except BaseException:
            self._engine.dispose()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._optuna.engine.dispose()
        if self._writes:
            leave_as_one_file(self._engine)
        self._engine.dispose()

    @property
    def optuna_storage(self) -> optuna.storages.BaseStorage:
        """For optuna-dashboard."""
        return self._optuna

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """What SQLAlchemy and Optuna say, as a StoreError."""
        with clear_errors(self.path):
            try:
                yield
            except StorageInternalError as error:
                raise (
                    error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else ValueError(error)
                ) from error

    def begin(self, search: StoredSearch, directions: Sequence[str], metric_names: Sequence[str]) -> StoredSearch:
        """The search of this name as it was begun, now or earlier, with its Optuna study."""
        with self._clear_errors():
            with Session(self._engine) as session, session.begin():
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
            study = optuna.create_study(
                study_name=search.name,
                storage=self._optuna,
                directions=[StudyDirection[direction.upper()] for direction in directions],
                load_if_exists=True,
            )
            with warnings.catch_warnings():  # "experimental" since Optuna 3.2; optuna-dashboard shows the names
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(list(metric_names))
        return self.search(search.name)

    def extend(self, name: str, networks: list[dict[str, Any]], job_ids: list[str], data: Mapping[str, Any]) -> None:
        """Add networks and job ids that were not known when the search began, and put `data` over its own."""
        with self._clear_errors(), Session(self._engine) as session, session.begin():
            row = session.get_one(SearchRow, name)
            row.networks, row.job_ids = [*row.networks, *networks], [*row.job_ids, *job_ids]
            row.data = {**row.data, **data}

    def set_finished(self, name: str, finished: bool) -> None:
        """Mark a search as complete, or as one that has work left."""
        with self._clear_errors(), Session(self._engine) as session, session.begin():
            session.get_one(SearchRow, name).finished_at = datetime.now() if finished else None

    def search_names(self) -> list[str]:
        """All searches, the newest first."""
        with self._clear_errors(), Session(self._engine) as session:
            return list(session.scalars(select(SearchRow.name).order_by(SearchRow.created_at.desc())))

    def find_search(self, name: str) -> StoredSearch | None:
        """The search of this name, or None."""
        with self._clear_errors(), Session(self._engine) as session:
            row = session.get(SearchRow, name)
            if row is None:
                return None
            return StoredSearch(
                name=row.name,
                spec=row.spec,
                networks=row.networks,
                job_ids=row.job_ids,
                data=row.data,
                versions=row.versions,
                finished=row.finished_at is not None,
            )

    def search(self, name: str) -> StoredSearch:
        """The search of this name; raises StoreError, naming the near names, where there is none."""
        found = self.find_search(name)
        if found is None:
            names = self.search_names()
            near = get_close_matches(name, names, n=3, cutoff=0.4) or names[:3]
            known = f"did you mean {', '.join(near)}?" if near else "it holds none yet"
            raise StoreError(f"a search must be in {self.path}, but {name!r} is not; {known}")
        return found

    def results(self, job_ids: Iterable[str]) -> dict[str, JobResult]:
        """Results of those of the jobs, trainings and scorings, that are in the store."""
        return {job_id: JobResult.from_json(result) for job_id, result in self._results(job_ids)}

    def prunings(self, job_ids: Iterable[str]) -> dict[str, PruneResult]:
        """Records of those of the prunings that are in the store."""
        return {job_id: PruneResult.from_json(result) for job_id, result in self._results(job_ids)}

    def _results(self, job_ids: Iterable[str]) -> list[tuple[str, dict[str, Any]]]:
        with self._clear_errors(), Session(self._engine) as session:
            return [
                (job_id, result)
                for some in _batched(job_ids, 500)  # a statement takes a limited number of values
                for job_id, result in session.execute(select(JobRow.id, JobRow.result).where(JobRow.id.in_(some)))
            ]

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
        with self._clear_errors(), Session(self._engine) as session:
            return session.get_one(JobRow, job_id).job

    def record_results(self, results: Iterable[tuple[AnyJob | RouteJob, JobResult | PruneResult]]) -> None:
        """Keep the results of jobs, in place of earlier ones, all in one transaction."""
        rows = [{"id": job.id, "job": job.to_json(), "result": result.to_json()} for job, result in results]
        if not rows:
            return
        new = insert(JobRow)
        kept = {"job": new.excluded.job, "result": new.excluded.result}
        with self._clear_errors(), Session(self._engine) as session, session.begin():
            session.execute(new.on_conflict_do_update(index_elements=["id"], set_=kept), rows)

    def trials(self, name: str) -> list[dict[str, Any]]:
        """Attributes of the trials that we added to a search, in that order; of a failed one, `failure`.

        Of one that a race ended early, `pruned` is the epoch.
        """
        with self._clear_errors():
            try:
                study = optuna.load_study(study_name=name, storage=self._optuna)
            except KeyError:  # the process that began the search was killed before it made the study
                return []
            trials = study.get_trials(deepcopy=False, states=list(_SHOWN))
        return [trial.user_attrs for trial in trials if "job_id" in trial.user_attrs]

    def record_trial(self, name: str, trial: TrialRecord, outcome: JobResult | JobFailure | None) -> None:
        """Add a finished trial to the study: COMPLETE with its objectives, or FAIL with the reason.

        Without an outcome it is PRUNED: a race ended it after the last of its rungs.
        """
        ended = datetime.now()
        seconds = outcome.wall_seconds if isinstance(outcome, JobResult) else 0.0
        frozen = create_trial(
            state=_state(outcome),
            values=_objective_values(trial, outcome) if isinstance(outcome, JobResult) else None,
            params=dict(trial.params),
            distributions={name: _distribution(trial.spans[name]) for name in trial.params},
            user_attrs={
                **trial.attributes,
                **{f"{SLACK}{bound}": slack for bound, slack in trial.constraints.items()},
                **_ending(trial, outcome),
            },
            intermediate_values=dict(trial.rungs),
            # the list, not Trial.set_constraint: both Optuna's samplers and optuna-dashboard read it
            system_attrs={"constraints": list(trial.constraints.values())},
        )
        frozen.datetime_start, frozen.datetime_complete = ended - timedelta(seconds=seconds), ended
        with self._clear_errors():
            if name not in self._studies:
                self._studies[name] = optuna.load_study(study_name=name, storage=self._optuna)
            self._studies[name].add_trial(frozen)


def _open_optuna(url: str) -> RDBStorage:
    """Optuna's storage; makes its tables where there are none."""
    try:
        return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": schema.LOCK_SECONDS}})
    except RuntimeError as error:  # tables of another version of Optuna
        reason = " ".join(str(error).split())
        raise StoreError(f"the Optuna tables of {url} must be of the installed version, but: {reason}") from error


def _distribution(values: Sequence[int | float | str]) -> BaseDistribution:
    """The span of the values, so that plots show what was searched."""
    numbers = [value for value in values if not isinstance(value, str)]
    if any(isinstance(value, float) for value in numbers):
        return FloatDistribution(min(numbers), max(numbers))
    if numbers:
        return IntDistribution(int(min(numbers)), int(max(numbers)))
    return CategoricalDistribution(sorted(map(str, set(values))))


def _state(outcome: JobResult | JobFailure | None) -> TrialState:
    if outcome is None:
        return TrialState.PRUNED
    return TrialState.COMPLETE if isinstance(outcome, JobResult) else TrialState.FAIL


def _ending(trial: TrialRecord, outcome: JobResult | JobFailure | None) -> dict[str, Any]:
    return {"pruned": max(trial.rungs)} if outcome is None else outcome.attributes()


def _objective_values(trial: TrialRecord, result: JobResult) -> list[float]:
    return [result.accuracy if name == "accuracy" else float(trial.attributes[name]) for name in trial.objectives]


def _batched(values: Iterable[str], size: int) -> Iterator[list[str]]:
    """Lists of at most `size` values; itertools.batched is of Python 3.12."""
    iterator = iter(values)
    while batch := list(islice(iterator, size)):
        yield batch
