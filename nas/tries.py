"""How often a job may fail."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trials.job import AnyJob, JobFailure, Outcome

TRIES = 3  # a job that fails so often is given up: one that always does must not stop the search


class Tries:
    """The failures of a search's jobs, those of earlier runs included, which its trials tell."""

    def __init__(self, trials: Sequence[Mapping[str, Any]]) -> None:
        self._failed = Counter(trial["job_id"] for trial in trials if "failure" in trial)

    def count(self, job: AnyJob, outcome: Outcome) -> Outcome:
        """The outcome; settled where it is the last failure that the job may have."""
        if not isinstance(outcome, JobFailure) or outcome.settled or outcome.halts:
            return outcome
        self._failed[job.id] += 1
        if self._failed[job.id] < TRIES:
            return outcome
        return replace(outcome, message=f"{outcome.message}, {TRIES} times: given up", settled=True)
