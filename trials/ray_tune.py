"""Runs the jobs of a search on Ray Tune."""

import os
import tempfile
from pathlib import Path
from typing import Any

# isort: off
from trials.ray_workers import DIED, Workers, pack_text, read_outcomes  # first: it sets what Ray reads at its import

import ray
from ray import tune
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.search import Searcher
# isort: on

from search_spaces import NasError
from trials.data import Dataset
from trials.folders import folder_text
from trials.job import AnyJob, JobFailure
from trials.loop import JobSource

_METRIC = "jobs"


class _Packs(Searcher):  # type: ignore[misc, unused-ignore]
    """Tune's view of a job source: one Tune trial is one pack, for one of the workers."""

    def __init__(self, source: JobSource, workers: int) -> None:
        super().__init__(metric=_METRIC, mode="max")
        self._source = source
        self._free = set(range(workers))
        self._running: dict[str, tuple[int, tuple[AnyJob, ...]]] = {}
        self.error: NasError | None = None

    def suggest(self, trial_id: str) -> Any:
        """The next pack as a Tune configuration; None while Tune should wait."""
        if self.error is None and not self._free:
            return None
        try:
            jobs = self._source.ask()
        except NasError as error:
            self.error = error
        if self.error is not None:
            return Searcher.FINISHED
        if not jobs:
            return Searcher.FINISHED if self._source.finished() else None
        worker = self._free.pop()
        self._running[trial_id] = worker, jobs
        return {"jobs": pack_text(jobs), "worker": worker}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass the outcomes on; an error here means that the trial's process died."""
        worker, jobs = self._running.pop(trial_id)
        self._free.add(worker)
        if self.error is not None:  # Tune is ending: what it stopped has no outcome
            return
        text, cause = (None, DIED) if error or result is None else (result["outcomes"], str(result["cause"]))
        outcomes = read_outcomes(text) if text else [JobFailure(message=cause)] * len(jobs)
        try:
            self._source.tell(list(zip(jobs, outcomes, strict=True)))
        except NasError as stopped:  # Tune would wrap it and print a traceback; `_StopOnError` ends the run instead
            self.error = stopped

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher for a restore of its own, which is never asked for: the store remembers."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the store knows what is done, and a restart proposes the rest."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class _StopOnError(tune.Stopper):  # type: ignore[misc, unused-ignore]
    """Ends the run when an outcome could not be kept, as on a full disk."""

    def __init__(self, packs: _Packs) -> None:
        self._packs = packs

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped."""
        return False

    def stop_all(self) -> bool:
        """True after an error."""
        return self._packs.error is not None


def _trainable(config: dict[str, Any], *, workers: Workers, dataset: list[Any], folder: str) -> None:
    """In a process of Tune's: have a worker run one pack, and report it once. `dataset` holds a reference alone."""
    worker = workers.actors[config["worker"]]
    outcomes, cause = None, DIED
    try:
        ray.get(worker.ready.options(max_task_retries=-1).remote())  # also where it must be started anew first
        outcomes = ray.get(worker.run.remote(config["jobs"], dataset[0], folder, workers.device))
    except RayActorError:
        pass
    except RayTaskError as error:  # an error that `try_jobs` does not expect
        cause = f"the worker raised {type(error.cause).__name__}: {' '.join(str(error.cause).split())[:200]}"
    tune.report({_METRIC: 1, "outcomes": outcomes, "cause": cause})


def run_on_ray(source: JobSource, dataset: Dataset, folder: Path, workers: Workers) -> None:
    """Run all jobs of the source on the workers; images are placed once per node.

    Raises KeyboardInterrupt on Ctrl-C, and what the source raises.
    """
    # start all trials' processes at once, not one after the other
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(len(workers.actors))
    packs = _Packs(source, len(workers.actors))
    trainable = tune.with_parameters(
        _trainable, workers=workers, dataset=[ray.put(dataset)], folder=folder_text(folder)
    )
    with tempfile.TemporaryDirectory(prefix="nas-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 0, "trial": 1}),
            tune_config=tune.TuneConfig(search_alg=packs, num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(storage_path=scratch, name="jobs", verbose=0, stop=_StopOnError(packs)),
        )
        tuner.fit()
    if packs.error is not None:
        raise packs.error
