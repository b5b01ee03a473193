"""Runs the jobs of a search on Ray Tune."""

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# isort: off
from trials.ray_workers import Workers, plain_pack, read_outcomes  # first: it sets what Ray reads at its import

import ray
from ray import tune
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.tune.search import Searcher
# isort: on

from search_spaces import NasError
from trials.attempts import Attempts, Cause, Pack
from trials.data import Dataset
from trials.folders import folder_text
from trials.job import JobFailure
from trials.loop import JobSource
from trials.placement import Limits, Placement
from trials.ray_environment import WorkersError
from trials.ray_start import live_nodes

_METRIC = "jobs"
LOOK_SECONDS = 1.0  # between two looks at a job that has limits
NODE_SECONDS = 40.0  # until a cluster knows that a node has died


class _Packs(Searcher):  # type: ignore[misc, unused-ignore]
    """Tune's view of a job source: one Tune trial is one pack, for one of the workers that stand."""

    def __init__(self, source: JobSource, workers: Workers) -> None:
        super().__init__(metric=_METRIC, mode="max")
        self._attempts, self._workers = Attempts(source, workers.placement.limits), workers
        # alone all fit, and packs may wait for them; on a cluster one may wait for room, while packs go to the others
        self._free = set() if workers.placement.address else set(range(len(workers.actors)))
        self._starting: dict[Any, int] = {}
        for number in set(range(len(workers.actors))) - self._free:
            self._await(number)
        self._running: dict[str, tuple[int, Pack]] = {}
        self.error: NasError | None = None

    def suggest(self, trial_id: str) -> Any:
        """The next pack as a Tune configuration; None while Tune should wait."""
        if self.look() is None and not self._free:
            return None
        try:
            pack = None if self.error else self._attempts.ask()
        except NasError as error:
            self.error = error
        if self.error is not None:
            return Searcher.FINISHED
        if pack is None:
            return Searcher.FINISHED if self._attempts.finished() else None
        worker = self._free.pop()
        self._running[trial_id] = worker, pack
        return {"worker": worker, **plain_pack(pack)}

    def look(self) -> NasError | None:
        """Why the run must end, if it must; and workers that stand now are free."""
        self.error = self.error or self._workers.ray.watch.error
        if self._starting and self.error is None:
            for ready in ray.wait(list(self._starting), num_returns=len(self._starting), timeout=0)[0]:
                worker = self._starting.pop(ready)
                try:
                    ray.get(ready)
                    self._free.add(worker)
                except ActorUnavailableError:  # it is being started anew
                    self._await(worker)
                except RayError as error:
                    self.error = WorkersError(f"a worker must be able to start, but: {_one_line(error)}")
        return self.error

    def _await(self, worker: int) -> None:
        """Give it no pack before it stands."""
        self._starting[self._workers.actors[worker].ready.remote()] = worker

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass the outcomes on; an error here means that the trial's process died."""
        worker, pack = self._running.pop(trial_id)
        if self.error is not None:  # Tune is ending: what it stopped has no outcome
            return
        told: Mapping[str, Any] = {"lost": "died"} if error or result is None else result
        if "lost" in told:
            self.error = self._workers.ray.watch.look()
            if self.error is not None:
                return
            self._await(worker)
        else:
            self._free.add(worker)
        try:
            if "lost" in told:
                self._attempts.lost(pack, told["lost"])
            elif "raised" in told:
                self._attempts.tell(pack, [JobFailure(message=told["raised"])] * len(pack.jobs))
            else:
                self._attempts.tell(pack, read_outcomes(told["outcomes"]))
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
    """Ends the run when an outcome could not be kept, as on a full disk, or when Ray is gone."""

    def __init__(self, packs: _Packs) -> None:
        self._packs = packs

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped."""
        return False

    def stop_all(self) -> bool:
        """True after an error."""
        return self._packs.look() is not None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _trainable(
    config: dict[str, Any], *, actors: list[Any], placement: Placement, dataset: list[Any], folder: str
) -> None:
    """In a process of Tune's: have a worker run one pack, and report it once. `dataset` holds a reference alone."""
    told = _run_pack(config, actors[config["worker"]], placement, dataset[0], folder)
    tune.report({_METRIC: 1, **told})


def _run_pack(config: dict[str, Any], worker: Any, placement: Placement, dataset: Any, folder: str) -> dict[str, str]:
    """What a pack came to: its `outcomes`, what its worker `raised`, or why it was `lost`."""
    pack = {name: config[name] for name in ("jobs", "parts")}
    node = ""
    try:
        node = ray.get(worker.ready.remote())
        running = worker.run.remote(pack, dataset, folder, placement.device, placement.cpus)
        over = _over_limit(worker, running, placement.limits, config["count"])
        if over is None:
            return {"outcomes": ray.get(running)}
        ray.kill(worker, no_restart=False)  # also one that hangs, or was stopped: a SIGKILL follows
        return {"lost": over}
    except RayTaskError as error:  # an error that `try_jobs` does not expect
        return {"raised": f"the worker raised {type(error.cause).__name__}: {_one_line(error.cause)[:200]}"}
    except RayActorError:
        return {"lost": _how_lost(worker, node)}


def _over_limit(worker: Any, running: Any, limits: Limits, jobs: int) -> Cause | None:
    """Wait for the end of a pack, or for a limit that it breaks; a pack has the time of all of its jobs."""
    if limits == Limits():
        return None
    ends = None if limits.minutes is None else time.monotonic() + 60 * limits.minutes * jobs
    while not ray.wait([running], timeout=LOOK_SECONDS)[0]:
        if ends is not None and time.monotonic() > ends:
            return "time"
        if limits.memory_gb is not None:
            try:
                held = ray.get(worker.memory.options(concurrency_group="watch").remote(), timeout=LOOK_SECONDS)
            except GetTimeoutError:  # deep in one operation
                continue
            if held > limits.memory_gb * 1e9:
                return "memory"
    return None


def _how_lost(worker: Any, node: str) -> Cause:
    """Whether the worker died or its node: the one is started anew soon, the other is known as dead then."""
    ends = time.monotonic() + NODE_SECONDS
    while time.monotonic() < ends:
        if node not in live_nodes():
            return "node"
        try:
            ray.get(worker.ready.remote(), timeout=LOOK_SECONDS)
            break
        except (RayActorError, GetTimeoutError):
            time.sleep(LOOK_SECONDS / 4)
    return "died"


def run_on_ray(source: JobSource, dataset: Dataset, folder: Path, workers: Workers) -> None:
    """Run all jobs of the source on the workers.

    Images that are mapped from a file go to the workers of this machine by its name; on a cluster they are placed once
    per node in Ray's object store. Raises KeyboardInterrupt on Ctrl-C, RayLostError when Ray is gone, and what the
    source raises.
    """
    placement, watch = workers.placement, workers.ray.watch
    # start all trials' processes at once, not one after the other
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(len(workers.actors))
    packs = _Packs(source, workers)
    trainable = tune.with_parameters(
        _trainable,
        actors=list(workers.actors),
        placement=placement,
        dataset=[ray.put(dataset.without_file() if placement.address else dataset)],
        folder=folder_text(folder),
    )
    with tempfile.TemporaryDirectory(prefix="nas-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(trainable, dict(workers.ray.trial_resources)),
            tune_config=tune.TuneConfig(search_alg=packs, num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(storage_path=scratch, name="jobs", verbose=0, stop=_StopOnError(packs)),
        )
        try:
            tuner.fit()
        except (RayError, tune.TuneError) as error:
            raise watch.look() or error from error
    if packs.error is not None:
        raise packs.error
