"""The search loop: hands out the jobs that are missing, keeps what comes back, ends with the test figures."""

import platform
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import version
from statistics import mean

from filelock import FileLock, Timeout

from dashboards import read_front
from nas.plan import Plan
from nas.problem import BASE_METHOD, Candidate
from nas.progress import Progress
from nas.spec import Spec, parse_spec
from search_spaces import NasError
from trials.checkpoint import weights_are_whole
from trials.data import Dataset
from trials.images import channel_statistics
from trials.job import Job, JobFailure, JobResult
from trials.loop import Outcome
from trials.run import checkpoint_path
from trials.store import Store, StoredSearch, TrialRecord


class SearchError(NasError):
    """A search that cannot begin or go on."""


class Search:
    """The jobs of a search as `trials.loop.JobSource`; every outcome is in the store before the next is asked for.

    Networks are trained in the order of the plan, each with all its seeds, so that early results are complete ones.
    Jobs whose result and weights are there already, from this search or another, are not run again. A search that
    was begun before keeps the networks that it began with.
    """

    def __init__(self, plan: Plan, store: Store, dataset: Dataset, on_progress: Callable[[Progress], None]) -> None:
        self.spec, self.store, self.name = plan.problem.spec, store, plan.problem.spec.name
        self.failures: list[tuple[Job, JobFailure]] = []
        self._budget, self._on_progress = plan.problem.budget, on_progress
        self.networks = _begin(plan, store, dataset)
        self._of_job = {
            job.id: (network, job)
            for network in self.networks
            for job in plan.problem.jobs(network.architecture, dataset.id)
        }
        self._spans = _spans(self.networks)
        trials = store.trials(self.name)
        self._shown = {trial["job_id"] for trial in trials if "failure" not in trial}
        self._settled = {trial["job_id"] for trial in trials if trial.get("settled")}
        self._results: dict[str, JobResult] = {}
        self._running: set[str] = set()
        self._seconds: list[float] = []
        self._finals_given = False
        for job_id, result in store.results(self._of_job).items():
            self._keep_stored(self._of_job[job_id][1], result)
        self.kept = len(self._results)
        self._pending = deque(
            job for job_id, (_, job) in self._of_job.items() if job_id not in self._results.keys() | self._settled
        )
        self._give_finals()
        store.set_finished(self.name, self.complete)

    @property
    def complete(self) -> bool:
        """True when nothing is left to do, also not for a later run."""
        return self.finished() and all(failure.settled for _, failure in self.failures)

    def ask(self) -> Job | None:
        """The next training job; after all of them, the test jobs of base and winner."""
        while True:
            self._give_finals()
            if not self._pending:
                return None
            job = self._pending.popleft()
            meanwhile = self.store.results([job.id]).get(job.id)  # from another search in the same store
            if meanwhile is None or not self._keep_stored(job, meanwhile):
                self._running.add(job.id)
                return job

    def finished(self) -> bool:
        """True when no job is left to hand out and none is running."""
        return self._finals_given and not self._pending and not self._running

    def tell(self, job: Job, outcome: Outcome) -> None:
        """Keep an outcome: the result first, then the trial that shows it."""
        self._running.discard(job.id)
        if isinstance(outcome, JobFailure):
            self.failures.append((job, outcome))
        else:
            self.store.record_result(job, outcome)
        if job.kind == "train":
            self._show_trial(job, outcome)
            if isinstance(outcome, JobResult):
                self._results[job.id] = outcome
                self._seconds.append(outcome.wall_seconds)
        self.report()

    def _keep_stored(self, job: Job, result: JobResult) -> bool:
        """Take a stored result for done, if its weights are there and whole."""
        if job.kind == "test":
            return True
        if not weights_are_whole(checkpoint_path(self.store.checkpoints, job), result.weights_sha256):
            return False
        self._results[job.id] = result
        self._show_trial(job, result)
        return True

    def _give_finals(self) -> None:
        """Once all training is done, the test jobs; none while a training is to be tried again."""
        if not self._pending and not self._running and not self._finals_given:
            self._finals_given = True
            if all(failure.settled for _, failure in self.failures):
                self._pending.extend(self._final_jobs())

    def _final_jobs(self) -> list[Job]:
        """Base and winner on test, seed by seed, where that was not done before."""
        front = read_front(self.store, self.name)
        networks = {network.id: network for network in (front.base, front.winner) if network is not None}
        jobs = [
            self._of_job[job_id][1].scored_on_test(self._results[job_id].weights_sha256)
            for network in networks.values()
            for job_id in network.job_ids.values()
            if job_id in self._results
        ]
        known = self.store.results(job.id for job in jobs)
        return [job for job in jobs if job.id not in known]

    def _show_trial(self, job: Job, outcome: Outcome) -> None:
        """Add the job's trial to the Optuna study, once for a result."""
        if job.id in self._shown:
            return
        network = self._of_job[job.id][0]
        record = TrialRecord(
            params=_params(network),
            spans=self._spans,
            attributes={
                "job_id": job.id,
                "network_id": network.id,
                "method": network.method,
                "resolution": network.architecture.resolution,
                "seed": job.seed,
                **network.cost.to_json(),
                **network.costs,
            },
            objectives=self.spec.objectives,
            constraints=self._budget.slack(network.costs),
        )
        self.store.record_trial(self.name, record, outcome)
        if isinstance(outcome, JobResult):
            self._shown.add(job.id)

    def report(self) -> None:
        """Tell `on_progress` where the search stands."""
        accuracies: dict[str, list[float]] = {}
        for job_id, result in self._results.items():
            accuracies.setdefault(self._of_job[job_id][0].id, []).append(result.accuracy)
        means = {id_: mean(values) for id_, values in accuracies.items() if len(values) == self.spec.train.seeds}
        trained = [network for network in self.networks if network.id in means]
        best = max((n for n in trained if n.method != BASE_METHOD), key=lambda n: means[n.id], default=None)
        left = sum(job.kind == "train" for job in self._pending) + len(self._running & self._of_job.keys())
        workers = self.spec.search.workers
        self._on_progress(
            Progress(
                done=len(self._results),
                total=len(self._of_job),
                best=None if best is None else (best, means[best.id]),
                base_accuracy=next((means[n.id] for n in trained if n.method == BASE_METHOD), None),
                seconds_left=mean(self._seconds) * left / workers if self._seconds else None,
            )
        )


def lock_search(store: Store, name: str) -> AbstractContextManager[object]:
    """Held while a search runs and freed by the kernel when its process ends, however it ends."""
    lock = FileLock(store.checkpoints / f"{name}.lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout as error:
        raise SearchError(
            f"a search must be run by one process, but another one runs {name!r} now; wait for it or stop it"
        ) from error


def _begin(plan: Plan, store: Store, dataset: Dataset) -> list[Candidate]:
    """Enter the search, or check that the one of this name is the same; the networks that it began with."""
    spec = plan.problem.spec
    earlier = store.find_search(spec.name)
    if earlier is not None:
        _check_same(spec, earlier, dataset)
    means, stds = channel_statistics(dataset)
    new = StoredSearch(
        name=spec.name,
        spec=spec.model_dump(mode="json"),
        networks=[network.to_stored() for network in plan.networks],
        job_ids=_job_ids(plan, plan.networks, dataset),
        data={
            "fingerprint": dataset.fingerprint,
            "split_fingerprint": dataset.split_fingerprint,
            "sizes": {name: len(indices) for name, indices in dataset.splits.items()},
            "mean": means,
            "std": stds,
        },
        versions={name: version(name) for name in ("nas-service", "torch", "optuna", "ray")}
        | {"python": platform.python_version()},
    )
    directions = ["maximize" if objective == "accuracy" else "minimize" for objective in spec.objectives]
    names = ["validation accuracy" if objective == "accuracy" else objective for objective in spec.objectives]
    begun = store.begin(new, directions, names)
    networks = [Candidate.from_stored(stored) for stored in begun.networks]
    if _job_ids(plan, networks, dataset) != begun.job_ids:
        raise SearchError(
            f"search {spec.name!r} must go on with the version of this project that began it, but the installed one "
            "trains otherwise, or base.weights have changed; give this search another name"
        )
    return networks


def _job_ids(plan: Plan, networks: list[Candidate], dataset: Dataset) -> list[str]:
    return [job.id for network in networks for job in plan.problem.jobs(network.architecture, dataset.id)]


def _check_same(spec: Spec, earlier: StoredSearch, dataset: Dataset) -> None:
    changed = _first_difference(parse_spec(earlier.spec, origin="the stored spec").meaning(), spec.meaning())
    if changed:
        raise SearchError(
            f"search {spec.name!r} must keep its spec, but {changed} differs from when it began; "
            "give this one another name"
        )
    fingerprints = earlier.data["fingerprint"], earlier.data["split_fingerprint"]
    if fingerprints != (dataset.fingerprint, dataset.split_fingerprint):
        raise SearchError(
            f"search {spec.name!r} must keep its images, but those of {spec.data.source} have changed since it began; "
            "give this one another name"
        )


def _first_difference(earlier: object, now: object, place: str = "") -> str:
    """Dotted name of the first key whose values differ, or nothing."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        inner = (_first_difference(earlier.get(key), now.get(key), f"{place}.{key}") for key in {**earlier, **now})
        return next((difference for difference in inner if difference), "")
    return "" if earlier == now else place.removeprefix(".")


def _params(network: Candidate) -> dict[str, int | str]:
    return {"method": network.method, "resolution": network.architecture.resolution, **network.choice}


def _spans(networks: list[Candidate]) -> dict[str, list[int | str]]:
    """All values of every parameter over the networks."""
    rows = [_params(network) for network in networks]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row[name] for row in rows if name in row] for name in names}
