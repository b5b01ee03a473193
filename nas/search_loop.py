"""The search loop: hands out the jobs that are missing, keeps what comes back, ends with the test figures."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from statistics import fmean

from dashboards import Front, read_front
from nas.begin import begin_search
from nas.course import BASE, Course
from nas.packs import take_pack
from nas.planning import Plan, different
from nas.progress import Progress, damage_line, failure_line, say_smaller_batches
from nas.prunings import Prunings
from nas.racing import Step
from nas.routes import Routes
from nas.trial_records import prune_record, spans_of, training_record
from nas.tries import Tries
from trials.data import Dataset
from trials.files import FilesError
from trials.job import AnyJob, Job, JobFailure, JobResult, Outcome
from trials.prune_job import PruneJob, PruneResult
from trials.store import Store, TrialRecord
from trials.weights import checkpoint_path, drop_states, weights_are_whole


class Search:
    """The jobs of a search as `trials.loop.JobSource`; every outcome is in the store before the next is asked for.

    What runs next is a function of the results in the store: first the trainings (all of them, or those that a race
    asks for) beside the prunings that make more networks known, then base and front with fresh seeds, then base and
    winner on the test split. Jobs whose result and weights are there already, from this search or another, are not run
    again. A search that was begun before keeps the networks that it began with.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        dataset: Dataset,
        on_progress: Callable[[Progress], None],
        say: Callable[[str], None] = print,
        say_fault: Callable[[str], None] = print,
    ) -> None:
        self.spec, self.store, self.name = plan.problem.spec, store, plan.problem.spec.name
        self.workers = self.spec.ray.at_once  # a cluster says how many it holds
        self.failures: list[tuple[AnyJob, JobFailure]] = []
        self._problem, self._dataset_id = plan.problem, dataset.id
        self._on_progress, self._say, self._say_fault = on_progress, say, say_fault
        self._images = len(dataset.splits["train"])
        self.networks = begin_search(plan, store, dataset)
        trials = store.trials(self.name)
        self._shown = {trial["job_id"] for trial in trials if "failure" not in trial}
        limits = str(self.spec.search.limits)  # what was over others may be tried again
        self._settled = {
            trial["job_id"]: trial["failure"]
            for trial in trials
            if trial.get("settled") and trial.get("limits", limits) == limits
        }
        self._tries = Tries(trials)
        self._running: set[str] = set()
        self._damaged: set[str] = set()
        self._fresh: set[Step] = set()  # trainings with fresh seeds that were asked for
        self._epoch_seconds: list[float] = []  # of this run's trainings
        self._queue: deque[AnyJob] | None = None  # None: to be made of what is known
        self._prunings = Prunings(plan.problem, dataset.id, store, say)
        self._routes = Routes(plan.problem, dataset.id, store, say)
        self._course = Course(self._problem, [], self._dataset_id)
        self._set_course()
        if not store.search(self.name).finished:  # a finished search keeps what it found, whatever changes
            self._extend()
        self.kept = sum(
            self._course.is_whole(step) and not self._course.is_fresh(step) for step in self._course.results
        )
        store.set_finished(self.name, self.complete)

    @property
    def complete(self) -> bool:
        """True when nothing is left to do, also not for a later run."""
        return self.finished() and all(failure.settled for _, failure in self.failures)

    def _set_course(self) -> None:
        """Take in the results of all networks that are known now; what was taken in before has been checked."""
        before = self._course.results
        self._course = Course(self._problem, self.networks, self._dataset_id)
        for step, result in before.items():
            self._course.add(step, result)
        self._spans = spans_of(self.networks, self.spec)
        new = [job_id for job_id, step in self._course.step_of.items() if step not in before]
        self._keep_stored(self.store.results(new))

    def _extend(self) -> None:
        """Add the networks that the prunings which are known make known."""
        settled = self._settled | {job.id: failure.message for job, failure in self.failures if failure.settled}
        known = {network.id: network.method for network in self.networks}
        proposed = [one for one in self._prunings.update(settled) if one.method not in known.values()]
        for network in proposed:
            if network.id in known:
                line = f"{network.method} finds the network of {known[network.id]}, which is trained once"
                self._prunings.say_once(line)
        found = different(proposed, known.keys())
        jobs = [job.id for network in found for job in self._problem.jobs(network, self._dataset_id)]
        self._prunings.keep(self.name, found, jobs)
        if found:
            self.networks = [*self.networks, *found]
            self._set_course()
        self._queue = None

    def ask(self) -> tuple[AnyJob, ...]:
        """The next pack: what is missing of one network, and of more where that takes less than PACK_SECONDS."""
        while queue := self._missing():
            given = take_pack(queue, self._seconds_an_epoch(), self.workers, self._images)
            if self._prunings.look_up([job for job in given if isinstance(job, PruneJob)]):  # of another search
                self._extend()
                continue
            found = self.store.results(job.id for job in given if isinstance(job, Job))  # the same
            self._keep_stored(found)
            pack = tuple(job for job in given if isinstance(job, PruneJob) or not self._is_done(job, found))
            if pack:
                self._running |= {job.id for job in pack}
                return pack
            self._queue = None
        return ()

    def finished(self) -> bool:
        """True when no job is left to hand out and none is running."""
        return not self._running and not self._missing()

    def tell(self, outcomes: Sequence[tuple[AnyJob, Outcome]]) -> None:
        """Keep a pack's outcomes: the results first, then the trials that show them."""
        self.store.record_results([(job, found) for job, found in outcomes if not isinstance(found, JobFailure)])
        halted = ""
        for job, found in outcomes:
            outcome = self._tries.count(job, found)
            self._running.discard(job.id)
            if isinstance(outcome, JobFailure):
                if outcome.halts:
                    halted = outcome.message
                    continue
                self.failures.append((job, outcome))
                self._say_fault(f"failed: {failure_line(job, outcome.message)}")
            if isinstance(job, PruneJob):
                self._end_pruning(job, outcome)
                continue
            step = self._course.step_of.get(job.id)
            if step is None or isinstance(outcome, PruneResult):  # on test
                continue
            if isinstance(outcome, JobResult):
                self._course.add(step, outcome)
                self._epoch_seconds.append(outcome.wall_seconds / job.epochs)
                say_smaller_batches(job, outcome, self._say)
            self._show_trial(step, job, outcome)
            if job.until is None if isinstance(outcome, JobResult) else outcome.settled:
                drop_states(self.store.checkpoints, job.training().id)  # it will not be continued
        if halted:
            raise FilesError(f"{halted}; see to that, then run the same command again: what is done is kept")
        if self.spec.race is not None or not self._queue:
            self._queue = None
        self.report()

    def retry(self, jobs: Sequence[AnyJob], why: str) -> None:
        """Jobs that are tried again; they are running still."""
        for job in jobs:
            self._say_fault(f"tried again: {failure_line(job, why)}")

    def _end_pruning(self, job: PruneJob, outcome: Outcome) -> None:
        if isinstance(outcome, JobFailure):
            record = prune_record(self._problem, job, self._spans)
            self.store.record_trial(self.name, record, outcome)
        if not isinstance(outcome, JobFailure) or outcome.settled:
            drop_states(self.store.checkpoints, job.id)
        self._extend()

    def report(self) -> None:
        """Tell `on_progress` where the search stands."""
        self._missing()  # knows how many are to be confirmed
        waiting = len(self._fresh - self._course.results.keys())
        progress = self._course.progress(self._seconds_an_epoch(), self.workers, waiting)
        if pruning := self._prunings.names:  # how long that takes, and what follows, is not known
            progress = replace(progress, pruning=pruning, seconds_left=None)
        self._on_progress(progress)

    def _is_done(self, job: Job, found: Mapping[str, JobResult]) -> bool:
        step = self._course.step_of.get(job.id)
        if job.kind == "scores":
            return self._routes.is_kept(job)
        return step in self._course.results if step else job.id in found

    def _keep_stored(self, results: Mapping[str, JobResult]) -> None:
        """Take stored results for done; of whole trainings, if their weights are there and whole."""
        damaged: set[str] = set()
        for job_id, result in results.items():
            step = self._course.step_of.get(job_id)
            if step is None or step in self._course.results:
                continue
            job = self._course.jobs[step]
            path = checkpoint_path(self.store.checkpoints, job)
            if job.until is not None or weights_are_whole(path, result.weights_sha256):
                self._course.add(step, result)
                self._show_trial(step, job, result)
            else:
                damaged.add(path.name)
        if damaged - self._damaged:
            self._say_fault(damage_line(damaged))
        self._damaged |= damaged

    def _missing(self) -> deque[AnyJob]:
        """Jobs to hand out now; made anew when results may have changed what is wanted."""
        if self._queue is None:
            self._queue = deque(self._wanted())
        return self._queue

    def _wanted(self) -> list[AnyJob]:
        course = self._course
        given_up = self._settled.keys() | {job.id for job, _ in self.failures}
        settled = self._settled.keys() | {job.id for job, failure in self.failures if failure.settled}
        failed = {step for step in map(course.step_of.get, settled) if step and not course.is_fresh(step)}
        prunings = [job for job in self._prunings.wanted if job.id not in given_up]
        steps = course.next_steps({step.network for step in failed})
        pending = [job for job in self._prunings.wanted if job.id not in settled]
        if self.spec.race is not None and pending:  # a race compares all networks: only the base runs before it
            steps = [step for step in steps if step.network == BASE]
        jobs = [course.jobs[step] for step in steps]
        missing = [job for job in jobs if job.id not in given_up and not self._lost_origin(job, given_up)]
        if missing or prunings or self._running:
            ready: list[AnyJob] = [*prunings, *self._ready(missing)]
            return [job for job in ready if job.id not in self._running]
        if not all(failure.settled for _, failure in self.failures):
            return []  # they may succeed in the next run, and change what wins
        if self.spec.race is not None:
            self._show_pruned()
        scores = self._routes.wanted(course, {step.network for step in failed}, self._spans)
        if scores:
            return list(scores)
        front = read_front(self.store, self.name)
        waiting = self._routes.stages_of(front.unconfirmed)
        fresh = [step for step in course.fresh_steps(waiting) if course.jobs[step].id not in given_up]
        self._fresh = set(fresh)
        jobs = [course.jobs[step] for step in fresh]
        if jobs:
            return list(self._ready([job for job in jobs if not self._lost_origin(job, given_up)]))
        return list(self._test_jobs(front, given_up))

    def _lost_origin(self, job: Job, given_up: Set[str]) -> bool:
        return job.origin is not None and job.origin.id in given_up

    def _ready(self, jobs: Sequence[Job]) -> list[Job]:
        """Those whose beginning, where it is another training, is done."""
        course = self._course
        return [job for job in jobs if job.origin is None or course.step_of[job.origin.id] in course.results]

    def _test_jobs(self, front: Front, given_up: Set[str]) -> list[Job]:
        """Base and winner on test, seed by seed, where that was not done before.

        All networks in a study, and where methods are compared at one budget.
        """
        shown = front.networks if front.compares else (front.base, front.winner)
        networks = {network.id: network for network in shown if network is not None}
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
        routed = self._routes.wanted_on_test(self._course, list(networks.values()))
        return [job for job in (*jobs, *routed) if job.id not in known.keys() | given_up]

    def _seconds_an_epoch(self) -> float | None:
        return fmean(self._epoch_seconds) if self._epoch_seconds else None

    def _show_trial(self, step: Step, job: Job, outcome: JobResult | JobFailure) -> None:
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
            drop_states(self.store.checkpoints, job.training().id)
            if job.id not in self._shown:
                self.store.record_trial(self.name, self._record(step, job), None)
                self._shown.add(job.id)

    def _record(self, step: Step, job: Job) -> TrialRecord:
        network, course = self.networks[step.network], self._course
        rungs = course.accuracies(step) if self.spec.race else {}
        attributes = {"seed": step.seed, "role": "confirm" if course.is_fresh(step) else "search"}
        return training_record(network, job, attributes, self._spans, self._problem, rungs)
