"""Optuna's studies: one a search, whose trials show what its jobs found.

Trials are added finished, so none is ever left RUNNING. All attributes of a trial stand once more in one system
attribute, `nas`: a row a trial, where Optuna has one for each attribute, is what makes a front quick to read.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import DateTime, Integer, String, Text, column, select, table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from trials.database import DatabaseGone, StoreError, database_name, engine_options, read_url, tell_when_gone
from trials.job import JobFailure, JobResult
from trials.records import TrialRecord
from trials.schema import SearchRow

SLACK = "slack_"  # before a bound's name: the trial attribute that holds cost minus bound
ATTRIBUTES = "nas"
_SHOWN = ("COMPLETE", "FAIL", "PRUNED")

# what is read of Optuna's tables; `RDBStorage` refuses tables of another version
_STUDIES = table("studies", column("study_id", Integer), column("study_name", String))
_TRIALS = table(
    "trials",
    column("trial_id", Integer),
    column("study_id", Integer),
    column("state"),
    column("datetime_complete", DateTime),
)
_USER = table("trial_user_attributes", column("trial_id", Integer), column("key", String), column("value_json", Text))
_SYSTEM = table(
    "trial_system_attributes", column("trial_id", Integer), column("key", String), column("value_json", Text)
)

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Studies:
    """The studies of a database. Errors are SQLAlchemy's, or DatabaseGone; call it in `clear_errors`."""

    def __init__(self, url: str, *, create: bool) -> None:
        name = database_name(url)
        try:
            with plain_errors():
                self.storage = RDBStorage(
                    read_url(url).render_as_string(hide_password=False),
                    engine_kwargs=engine_options(url),
                    skip_table_creation=not create,
                )
        except RuntimeError as error:  # tables of another version of Optuna
            reason = " ".join(str(error).split())
            raise StoreError(f"the Optuna tables of {name} must be of the installed version, but: {reason}") from error
        tell_when_gone(self.storage.engine, name)
        self._loaded: dict[str, optuna.Study] = {}

    def begin(self, name: str, directions: Sequence[str], metric_names: Sequence[str]) -> None:
        """Make the study of a search where it is not there yet."""
        with plain_errors():
            study = optuna.create_study(
                study_name=name,
                storage=self.storage,
                directions=[StudyDirection[direction.upper()] for direction in directions],
                load_if_exists=True,
            )
            if study.metric_names != list(metric_names):
                with warnings.catch_warnings():  # "experimental" since Optuna 3.2; optuna-dashboard shows the names
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    study.set_metric_names(list(metric_names))

    def adding(self, name: str, frozen: FrozenTrial) -> Callable[[], None]:
        """What adds a trial when it is called, and again where the database was gone meanwhile.

        A commit may have come through though nobody said so: then the trial is there already.
        """
        begun = False

        def add() -> None:
            nonlocal begun
            if begun and self._is_added(name, frozen):
                return
            begun = True
            with plain_errors():
                if name not in self._loaded:
                    self._loaded[name] = optuna.load_study(study_name=name, storage=self.storage)
                self._loaded[name].add_trial(frozen)

        return add

    def _is_added(self, name: str, frozen: FrozenTrial) -> bool:
        query = (
            select(_SYSTEM.c.value_json)
            .join(_TRIALS, _TRIALS.c.trial_id == _SYSTEM.c.trial_id)
            .join(_STUDIES, _STUDIES.c.study_id == _TRIALS.c.study_id)
            .where(_STUDIES.c.study_name == name, _SYSTEM.c.key == ATTRIBUTES)
            .where(_TRIALS.c.datetime_complete == frozen.datetime_complete)
        )
        with Session(self.storage.engine) as session:
            return json.dumps(frozen.system_attrs[ATTRIBUTES]) in set(session.scalars(query))


def read_names(session: Session) -> list[str]:
    """Names of all searches, the one that was begun last first, whatever the clock said."""
    query = select(SearchRow.name).outerjoin(_STUDIES, _STUDIES.c.study_name == SearchRow.name)
    return list(session.scalars(query.order_by(_STUDIES.c.study_id.desc())))


def read_attributes(session: Session, name: str) -> list[dict[str, Any]]:
    """Attributes of the trials that we added to a study, in that order; none of a study that is not there."""
    own = (_SYSTEM.c.trial_id == _TRIALS.c.trial_id) & (_SYSTEM.c.key == ATTRIBUTES)
    query = (
        select(_TRIALS.c.trial_id, _TRIALS.c.state, _SYSTEM.c.value_json)
        .join(_STUDIES, _STUDIES.c.study_id == _TRIALS.c.study_id)
        .outerjoin(_SYSTEM, own)
        .where(_STUDIES.c.study_name == name)
        .order_by(_TRIALS.c.trial_id)
    )
    texts = {id_: text for id_, state, text in session.execute(query) if state in _SHOWN}
    before = [id_ for id_, text in texts.items() if text is None]  # of an older version, or a person's own
    older = _read_older(session, name) if before else {}
    found = json.loads(f"[{','.join(text for text in texts.values() if text is not None)}]")
    later = iter(found)
    trials = [older.get(id_, {}) if text is None else next(later) for id_, text in texts.items()]
    return [trial for trial in trials if "job_id" in trial]


def _read_older(session: Session, name: str) -> dict[int, dict[str, Any]]:
    query = (
        select(_USER.c.trial_id, _USER.c.key, _USER.c.value_json)
        .join(_TRIALS, _TRIALS.c.trial_id == _USER.c.trial_id)
        .join(_STUDIES, _STUDIES.c.study_id == _TRIALS.c.study_id)
        .where(_STUDIES.c.study_name == name)
    )
    found: dict[int, dict[str, Any]] = {}
    for id_, key, text in session.execute(query):
        found.setdefault(id_, {})[key] = json.loads(text)
    return found


@contextmanager
def plain_errors() -> Iterator[None]:
    """What Optuna wraps, as it was."""
    try:
        yield
    except StorageInternalError as error:
        cause = error.__cause__
        raise (cause if isinstance(cause, SQLAlchemyError | DatabaseGone) else ValueError(error)) from error


def make_trial(trial: TrialRecord, outcome: JobResult | JobFailure | None) -> FrozenTrial:
    """A finished trial: COMPLETE with its objectives, or FAIL with the reason.

    Without an outcome it is PRUNED: a race ended it after the last of its rungs.
    """
    ended = datetime.now()
    seconds = outcome.wall_seconds if isinstance(outcome, JobResult) else 0.0
    attributes = {
        **trial.attributes,
        **{f"{SLACK}{bound}": slack for bound, slack in trial.constraints.items()},
        **trial.ending(outcome),
    }
    frozen = create_trial(
        state=_state(outcome),
        values=trial.values(outcome) if isinstance(outcome, JobResult) else None,
        params=dict(trial.params),
        distributions={name: _distribution(trial.spans[name]) for name in trial.params},
        user_attrs=attributes,
        intermediate_values=dict(trial.rungs),
        # the list, not Trial.set_constraint: both Optuna's samplers and optuna-dashboard read it
        system_attrs={"constraints": list(trial.constraints.values()), ATTRIBUTES: attributes},
    )
    frozen.datetime_start, frozen.datetime_complete = ended - timedelta(seconds=seconds), ended
    return frozen


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
