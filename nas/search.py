"""The search loop: hands out the jobs that are missing, keeps what comes back, ends with the test figures."""

import platform
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import version
from statistics import mean

from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from dashboards import read_front
from nas.plan import Plan
from nas.problem import BASE_METHOD, Candidate
from nas.progress import Progress
from search_spaces import NasError
from trials.data import Dataset
from trials.images import channel_statistics
from trials.job import Job, JobFailure, JobResult
from trials.loop import Outcome
from trials.run import checkpoint_path
from trials.store import Store, StoredSearch, TrialRecord


class SearchError(NasError):
    """A search that cannot begin or go on."""


class Search:
    """The jobs of a plan as `trials.loop.JobSource`; every outcome is in the store before the next is asked for.

    Jobs whose result and weights are there already, from this search or another, are not run again.
    """

    def __init__(self, plan: Plan, store: Store, dataset: Dataset, on_progress: Callable[[Progress], None]) -> None:
        self.plan, self.store = plan, store
        self.name = plan.problem.spec.name
        self.failures: list[tuple[Job, str]] = []
        self._on_progress = on_progress
        self._distributions = _distributions(plan)
        self._networks = {job.id: (network, job) for network, job in plan.training_jobs()}
        self._running: set[str] = set()
        self._finals_given = False
        self._seconds: list[float] = []
        _begin(plan, store, dataset)
        stored = store.results(self._networks)
        self._results = {
            job_id: result
            for job_id, result in stored.items()
            if checkpoint_path(store.checkpoints, self._networks[job_id][1]).exists()
        }
        self._shown = {trial.user_attrs["job_id"] for trial in store.trials(self.name)}
        for job_id, result in self._results.items():
            self._show_trial(self._networks[job_id][1], result)
        self.kept = len(self._results)
        self._pending = deque(job for job_id, (_, job) in self._networks.items() if job_id not in self._results)
        self._give_finals()

    def ask(self) -> Job | None:
        """The next training job; after all of them, the test jobs of base and winner."""
        self._give_finals()
        if not self._pending:
            return None
        job = self._pending.popleft()
        self._running.add(job.id)
        return job

    def finished(self) -> bool:
        """True when the test jobs are done too."""
        return self._finals_given and not self._pending and not self._running

    def tell(self, job: Job, outcome: Outcome) -> None:
        """Keep an outcome: the result first, then the trial that shows it."""
        self._running.discard(job.id)
        if isinstance(outcome, JobFailure):
            self.failures.append((job, outcome.message))
        else:
            self.store.record_result(job, outcome)
            self._seconds.append(outcome.wall_seconds)
        if job.kind == "train":
            self._show_trial(job, outcome)
        if isinstance(outcome, JobResult) and job.kind == "train":
            self._results[job.id] = outcome
        self.report()

    def _give_finals(self) -> None:
        if not self._pending and not self._running and not self._finals_given:
            self._finals_given = True
            self._pending.extend(self._final_jobs())

    def _final_jobs(self) -> list[Job]:
        """Base and winner on test, seed by seed, where that was not done before."""
        front = read_front(self.store, self.name)
        networks = {network.id: network for network in (front.base, front.winner) if network is not None}
        jobs = [
            self._networks[job_id][1].scored_on_test(self._results[job_id].weights_sha256)
            for network in networks.values()
            for job_id in network.job_ids.values()
        ]
        known = self.store.results(job.id for job in jobs)
        return [job for job in jobs if job.id not in known]

    def _show_trial(self, job: Job, outcome: Outcome) -> None:
        """Add the job's trial to the Optuna study, once for a result."""
        if job.id in self._shown:
            return
        network = self._networks[job.id][0]
        budget = self.plan.problem.budget
        record = TrialRecord(
            params=_params(network),
            distributions=self._distributions,
            attributes={
                "job_id": job.id,
                "network_id": network.id,
                "method": network.method,
                "resolution": network.architecture.resolution,
                "seed": job.seed,
                **network.cost.to_json(),
            },
            objectives=self.plan.problem.spec.objectives,
            constraints=budget.slack(network.cost),
        )
        self.store.record_trial(self.name, record, outcome)
        if isinstance(outcome, JobResult):
            self._shown.add(job.id)

    def report(self) -> None:
        """Tell `on_progress` where the search stands."""
        accuracies: dict[str, list[float]] = {}
        for job_id, result in self._results.items():
            accuracies.setdefault(self._networks[job_id][0].id, []).append(result.accuracy)
        seeds = self.plan.problem.spec.train.seeds
        means = {network_id: mean(values) for network_id, values in accuracies.items() if len(values) == seeds}
        candidates = [network for network in self.plan.networks if network.id in means]
        others = [network for network in candidates if network.method != BASE_METHOD]
        best = max(others, key=lambda network: means[network.id], default=None)
        left = len(self._networks) - len(self._results) - len(self.failures)
        self._on_progress(
            Progress(
                done=len(self._results),
                total=len(self._networks),
                best=None if best is None else (best, means[best.id]),
                base_accuracy=means.get(self.plan.base.id),
                seconds_left=mean(self._seconds) * left / self.plan.problem.spec.search.workers
                if self._seconds
                else None,
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


def _begin(plan: Plan, store: Store, dataset: Dataset) -> None:
    """Enter the search, or check that the one of this name is the same."""
    spec = plan.problem.spec
    mean_, std = channel_statistics(dataset)
    ours = StoredSearch(
        name=spec.name,
        spec=spec.model_dump(mode="json"),
        data={
            "fingerprint": dataset.fingerprint,
            "split_fingerprint": dataset.split_fingerprint,
            "sizes": {name: len(indices) for name, indices in dataset.splits.items()},
            "mean": mean_,
            "std": std,
        },
        versions={name: version(name) for name in ("nas-service", "torch", "optuna", "ray")}
        | {"python": platform.python_version()},
        finished=False,
    )
    earlier = store.find_search(spec.name)
    if earlier is not None:
        changed = _first_difference(type(spec).model_validate(earlier.spec).meaning(), spec.meaning())
        if changed:
            raise SearchError(
                f"search {spec.name!r} must keep its spec, but {changed} differs from when it began; "
                "give this one another name"
            )
        if earlier.data["fingerprint"] != dataset.fingerprint or (
            earlier.data["split_fingerprint"] != dataset.split_fingerprint
        ):
            raise SearchError(
                f"search {spec.name!r} must keep its images, but those of {spec.data.source} have changed since it "
                "began; give this one another name"
            )
    directions = ["maximize" if objective == "accuracy" else "minimize" for objective in spec.objectives]
    names = ["validation accuracy" if objective == "accuracy" else objective for objective in spec.objectives]
    store.begin(ours, directions, names)


def _first_difference(earlier: object, now: object, place: str = "") -> str:
    """Dotted name of the first key whose values differ, or nothing."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        inner = (_first_difference(earlier.get(key), now.get(key), f"{place}.{key}") for key in {**earlier, **now})
        return next((difference for difference in inner if difference), "")
    return "" if earlier == now else place.removeprefix(".")


def _params(network: Candidate) -> dict[str, int | str]:
    return {"method": network.method, "resolution": network.architecture.resolution, **network.choice}


def _distributions(plan: Plan) -> dict[str, BaseDistribution]:
    """The span of every value over the plan's networks, so that plots show what was searched."""
    rows = [_params(network) for network in plan.networks]
    distributions: dict[str, BaseDistribution] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        numbers = [value for value in values if isinstance(value, int)]
        distributions[name] = (
            IntDistribution(min(numbers), max(numbers))
            if numbers
            else CategoricalDistribution(sorted(set(map(str, values))))
        )
    return distributions
