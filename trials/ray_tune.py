"""Runs the jobs of a search on Ray Tune. No other module imports Ray."""

import json
import logging
import os
import secrets
import signal
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

# Ray reads these when it is imported: no telemetry, no folder of logs per trial, Ctrl-C is ours, every service on
# the loopback address (the variable's name is of other systems, its effect is not), and a token that lives in this
# process's environment instead of a file under HOME.
os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
    RAY_AUTH_MODE="token",
    RAY_AUTH_TOKEN=secrets.token_hex(32),
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    TUNE_DISABLE_SIGINT_HANDLER="1",
    RAY_AIR_NEW_OUTPUT="0",
)

import ray
from ray import tune
from ray.tune.search import Searcher

from search_spaces import NasError
from trials.data import Dataset
from trials.job import Job, JobFailure, JobResult
from trials.loop import JobSource, Outcome, try_job

_METRIC = "accuracy"


class WorkersError(NasError):
    """Ray that cannot start."""


class _Jobs(Searcher):  # type: ignore[misc, unused-ignore]
    """Tune's view of a job source: one Tune trial is one job."""

    def __init__(self, source: JobSource) -> None:
        super().__init__(metric=_METRIC, mode="max")
        self._source = source
        self._running: dict[str, Job] = {}
        self.error: NasError | None = None

    def suggest(self, trial_id: str) -> Any:
        """The next job as a Tune configuration; None while Tune should wait."""
        try:
            job = self._source.ask()
        except NasError as error:
            self.error = error
        if self.error is not None:
            return Searcher.FINISHED
        if job is None:
            return Searcher.FINISHED if self._source.finished() else None
        self._running[trial_id] = job
        return {"job": json.dumps(job.to_json())}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass the outcome on; an error here means that the worker's process died."""
        job = self._running.pop(trial_id)
        if self.error is not None:  # Tune is ending: what it stopped has no outcome
            return
        outcome: Outcome = JobFailure(message="the worker process died (out of memory, or killed)")
        if not error and result is not None:
            reported = json.loads(result["outcome"])
            outcome = JobFailure(**reported) if "message" in reported else JobResult(**reported)
        try:
            self._source.tell(job, outcome)
        except NasError as failure:  # Tune would wrap it and print a traceback; `_StopOnError` ends the run instead
            self.error = failure

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher for a restore of its own, which is never asked for: the store remembers."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the store knows what is done, and a restart proposes the rest."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class _StopOnError(tune.Stopper):  # type: ignore[misc, unused-ignore]
    """Ends the run when an outcome could not be kept, as on a full disk."""

    def __init__(self, jobs: _Jobs) -> None:
        self._jobs = jobs

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped."""
        return False

    def stop_all(self) -> bool:
        """True after an error."""
        return self._jobs.error is not None


def _trainable(config: dict[str, Any], *, dataset: Dataset, folder: str) -> None:
    """In a worker: run one job and report it once."""
    outcome = try_job(Job.from_json(json.loads(config["job"])), dataset, Path(folder))
    accuracy = outcome.accuracy if isinstance(outcome, JobResult) else 0.0
    tune.report({_METRIC: accuracy, "outcome": json.dumps(asdict(outcome))})


def run_on_ray(source: JobSource, dataset: Dataset, folder: Path, *, workers: int) -> None:
    """Run all jobs of the source on `workers` actors of one core each; images are placed once per node.

    Raises KeyboardInterrupt on Ctrl-C, and what the source raises, after every Ray process has been stopped;
    WorkersError where Ray cannot start.
    """
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # our own progress and errors are shown instead
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(workers)  # start all workers at once, not one after the other
    _start_ray(workers)
    try:
        with tempfile.TemporaryDirectory(prefix="nas-tune-") as scratch:
            _fit(source, dataset, folder, scratch)
    finally:
        ray.shutdown()


def _start_ray(workers: int) -> None:
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address="local",  # never a cluster that happens to run on this machine
            num_cpus=workers,
            num_gpus=0,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.CRITICAL,
        )
    except (RuntimeError, ValueError, OSError) as error:
        ray.shutdown()
        reason = " ".join(str(error).split())[:300]
        raise WorkersError(f"Ray must be able to start on this machine, but: {reason}; try --local") from error
    signal.signal(signal.SIGTERM, on_sigterm)  # Ray puts its own in place, which ends this process at once


def _fit(source: JobSource, dataset: Dataset, folder: Path, scratch: str) -> None:
    trainable = tune.with_parameters(_trainable, dataset=dataset, folder=str(folder.resolve()))
    jobs = _Jobs(source)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(search_alg=jobs, num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(storage_path=scratch, name="jobs", verbose=0, stop=_StopOnError(jobs)),
    )
    tuner.fit()
    if jobs.error is not None:
        raise jobs.error
