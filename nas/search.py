"""The search loop: hands out the jobs that are missing, keeps what comes back, ends with the test figures."""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from dashboards import Front, read_front
from nas.begin import begin_search
from nas.course import Course
from nas.plan import Plan
from nas.problem import Candidate
from nas.progress import Progress
from nas.racing import Step
from search_spaces import Budget
from trials.data import Dataset
from trials.job import Job, JobFailure, JobResult, Outcome
from trials.store import Store, TrialRecord
from trials.weights import checkpoint_path, drop_states, weights_are_whole

PACK_SECONDS = 2.0  # of training that one worker gets at once, where jobs are short
TRIES = 3  # trainings whose worker dies so often are given up: a network that always kills it must not stop the search


class Search:
    """The jobs of a search as `trials.loop.JobSource`; every outcome is in the store before the next is asked for.

    What runs next is a function of the results in the store: first the trainings (all of them, or those that a race
    asks for), then base and front with fresh seeds, then base and winner on the test split. Jobs whose result and
    weights are there already, from this search or another, are not run again. A search that was begun before keeps
    the networks that it began with.
    """

    def __init__(self, plan: Plan, store: Store, dataset: Dataset, on_progress: Callable[[Progress], None]) -> None:
        self.spec, self.store, self.name = plan.problem.spec, store, plan.problem.spec.name
        self.failures: list[tuple[Job, JobFailure]] = []
        self._budget, self._on_progress = plan.problem.budget, on_progress
        self.networks = begin_search(plan, store, dataset)
        self._course = Course(plan.problem, self.networks, dataset.id)
        self._spans = _spans(self.networks)
        trials = store.trials(self.name)
        self._shown = {trial["job_id"] for trial in trials if "failure" not in trial}
        self._settled = {trial["job_id"] for trial in trials if trial.get("settled")}
        self._failed = Counter(trial["job_id"] for trial in trials if "failure" in trial)
        self._running: set[str] = set()
        self._fresh: set[Step] = set()  # trainings with fresh seeds that were asked for
        self._epoch_seconds: list[float] = []  # of this run's trainings
        self._keep_stored(store.results(self._course.step_of))
        self.kept = sum(
            self._course.is_whole(step) and not self._course.is_fresh(step) for step in self._course.results
        )
        self._queue: deque[Job] | None = None  # None: to be made of what is known
        store.set_finished(self.name, self.complete)

    @property
    def complete(self) -> bool:
        """True when nothing is left to do, also not for a later run."""
        return self.finished() and all(failure.settled for _, failure in self.failures)

    def ask(self) -> tuple[Job, ...]:
        """The next pack: what is missing of one network, and of more where that takes less than PACK_SECONDS."""
        while queue := self._missing():
            given = _take_pack(queue, self._seconds_an_epoch(), self.spec.search.workers)
            found = self.store.results(job.id for job in given)  # from another search in the same store
            self._keep_stored(found)
            pack = tuple(job for job in given if not self._is_done(job, found))
            if pack:
                self._running |= {job.id for job in pack}
                return pack
            self._queue = None
        return ()

    def finished(self) -> bool:
        """True when no job is left to hand out and none is running."""
        return not self._running and not self._missing()

    def tell(self, outcomes: Sequence[tuple[Job, Outcome]]) -> None:
        """Keep a pack's outcomes: the results first, then the trials that show them."""
        self.store.record_results([(job, found) for job, found in outcomes if isinstance(found, JobResult)])
        for job, outcome in ((job, self._count_tries(job, outcome)) for job, outcome in outcomes):
            self._running.discard(job.id)
            if isinstance(outcome, JobFailure):
                self.failures.append((job, outcome))
            step = self._course.step_of.get(job.id)
            if step is None:  # on test
                continue
            if isinstance(outcome, JobResult):
                self._course.add(step, outcome)
                self._epoch_seconds.append(outcome.wall_seconds / job.epochs)
            self._show_trial(step, job, outcome)
            if job.until is None if isinstance(outcome, JobResult) else outcome.settled:
                drop_states(self.store.checkpoints, job)  # it will not be continued
        if self.spec.race is not None or not self._queue:
            self._queue = None
        self.report()

    def _count_tries(self, job: Job, outcome: Outcome) -> Outcome:
        """The outcome; settled where it is the last failure that a training may have."""
        if isinstance(outcome, JobResult) or outcome.settled:
            return outcome
        self._failed[job.id] += 1
        if self._failed[job.id] < TRIES:
            return outcome
        return replace(outcome, message=f"{outcome.message}, {TRIES} times: given up", settled=True)

    def report(self) -> None:
        """Tell `on_progress` where the search stands."""
        self._missing()  # knows how many are to be confirmed
        workers = self.spec.search.workers
        waiting = len(self._fresh - self._course.results.keys())
        self._on_progress(self._course.progress(self._seconds_an_epoch(), workers, waiting))

    def _is_done(self, job: Job, found: Mapping[str, JobResult]) -> bool:
        step = self._course.step_of.get(job.id)
        return step in self._course.results if step else job.id in found

    def _keep_stored(self, results: Mapping[str, JobResult]) -> None:
        """Take stored results for done; of whole trainings, if their weights are there and whole."""
        for job_id, result in results.items():
            step = self._course.step_of.get(job_id)
            if step is None or step in self._course.results:
                continue
            job = self._course.jobs[step]
            path = checkpoint_path(self.store.checkpoints, job)
            if job.until is not None or weights_are_whole(path, result.weights_sha256):
                self._course.add(step, result)
                self._show_trial(step, job, result)

    def _missing(self) -> deque[Job]:
        """Jobs to hand out now; made anew when results may have changed what is wanted."""
        if self._queue is None:
            self._queue = deque(self._wanted())
        return self._queue

    def _wanted(self) -> list[Job]:
        course = self._course
        given_up = self._settled | {job.id for job, _ in self.failures}
        settled = self._settled | {job.id for job, failure in self.failures if failure.settled}
        failed = {step for step in map(course.step_of.get, settled) if step and not course.is_fresh(step)}
        jobs = [course.jobs[step] for step in course.next_steps({step.network for step in failed})]
        missing = [job for job in jobs if job.id not in given_up]
        if missing or self._running:
            return [job for job in missing if job.id not in self._running]
        if not all(failure.settled for _, failure in self.failures):
            return []  # they may succeed in the next run, and change what wins
        if self.spec.race is not None:
            self._show_pruned()
        front = read_front(self.store, self.name)
        fresh = [step for step in course.fresh_steps(set(front.unconfirmed)) if course.jobs[step].id not in given_up]
        self._fresh = set(fresh)
        return [course.jobs[step] for step in fresh] or self._test_jobs(front, given_up)

    def _test_jobs(self, front: Front, given_up: set[str]) -> list[Job]:
        """Base and winner on test, in a study all networks, seed by seed, where that was not done before."""
        networks = {network.id: network for network in (front.base, front.winner) if network is not None}
        ids = [job_id for network in networks.values() for job_id in network.final_job_ids.values()]
        if self.spec.study is not None:  # a study compares all its networks on test, once
            ids = [job.id for job in self._course.jobs.values()]
        steps = [step for step in map(self._course.step_of.get, ids) if step in self._course.results]
        jobs = [
            self._course.jobs[step].scored_on_test(self._course.results[step].weights_sha256)
            for step in steps
            if step is not None
        ]
        known = self.store.results(job.id for job in jobs)
        return [job for job in jobs if job.id not in known.keys() | given_up]

    def _seconds_an_epoch(self) -> float | None:
        return fmean(self._epoch_seconds) if self._epoch_seconds else None

    def _show_trial(self, step: Step, job: Job, outcome: Outcome) -> None:
        """Add a trial to the Optuna study, once for a result: of a whole training, or of one that failed."""
        if job.id in self._shown or (isinstance(outcome, JobResult) and not self._course.is_whole(step)):
            return
        self.store.record_trial(self.name, self._record(step, job), outcome)
        if isinstance(outcome, JobResult):
            self._shown.add(job.id)

    def _show_pruned(self) -> None:
        """Once a race is over: a trial, pruned, for each training that it ended early; its state is of no more use."""
        for step in list(self._course.results):
            if self._course.is_whole(step) or self._course.reached(step) > step.until:
                continue
            job = self._course.jobs[step]
            drop_states(self.store.checkpoints, job)
            if job.id not in self._shown:
                self.store.record_trial(self.name, self._record(step, job), None)
                self._shown.add(job.id)

    def _budget_of(self, network: Candidate) -> Budget:
        return self._budget if network.bounds is None else Budget(bounds=network.bounds)

    def _record(self, step: Step, job: Job) -> TrialRecord:
        network = self.networks[step.network]
        return TrialRecord(
            params=_params(network),
            spans=self._spans,
            attributes={
                "job_id": job.id,
                "network_id": network.id,
                "method": network.method,
                "resolution": network.architecture.resolution,
                "seed": step.seed,
                "role": "confirm" if self._course.is_fresh(step) else "search",
                "images_id": job.images_id,
                "coverage": network.coverage,
                **({"original": network.original} if network.original else {}),
                **network.cost.to_json(),
                **network.costs,
            },
            objectives=self.spec.objectives,
            constraints=self._budget_of(network).slack(network.costs),
            rungs=self._course.accuracies(step) if self.spec.race else {},
        )


def _take_pack(queue: deque[Job], seconds_an_epoch: float | None, workers: int) -> tuple[Job, ...]:
    """Jobs of the first network, and of as many more as are expected to be done in PACK_SECONDS.

    At most half of a worker's share of the networks that wait, so that none runs dry while another has a long pack;
    where fewer networks wait than there are workers, the seeds of one are shared out.
    """
    waiting = len({job.architecture.id for job in queue})
    more = waiting // (2 * workers) - 1
    pack = _take_network(queue)
    if waiting < workers:
        share = -(-(len(pack) + len(queue)) // workers)
        queue.extendleft(reversed(pack[share:]))
        return pack[:share]
    while queue and more > 0 and seconds_an_epoch is not None:
        if sum(job.epochs for job in (*pack, queue[0])) * seconds_an_epoch > PACK_SECONDS:
            break
        pack += _take_network(queue)
        more -= 1
    return pack


def _take_network(queue: deque[Job]) -> tuple[Job, ...]:
    """The jobs at the queue's head that are of one network."""
    first = queue.popleft()
    jobs = [first]
    while queue and (queue[0].kind, queue[0].architecture, queue[0].until) == (
        first.kind,
        first.architecture,
        first.until,
    ):
        jobs.append(queue.popleft())
    return tuple(jobs)


def _params(network: Candidate) -> dict[str, int | str]:
    return {"method": network.method, "resolution": network.architecture.resolution, **network.choice}


def _spans(networks: list[Candidate]) -> dict[str, list[int | str]]:
    """All values of every parameter over the networks."""
    rows = [_params(network) for network in networks]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row[name] for row in rows if name in row] for name in names}
