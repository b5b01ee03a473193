"""The dynamic networks of a running search: which scores they need, which there are, where their images leave."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from dashboards import ScoredNetwork
from nas.course import Course
from nas.dynamic_spec import DYNAMIC_METHODS
from nas.problem import Candidate, Problem
from nas.racing import Step
from nas.routed import Routed, propose_routed
from nas.trial_records import Spans
from search_spaces import Budget
from trials.job import Job, JobResult
from trials.route_job import RouteJob
from trials.scores import KeptScores, read_scores, scores_path
from trials.store import Store, TrialRecord
from trials.weights import weights_are_whole


class Routes:
    """Proposes dynamic networks once all others are trained, and records the operating point of each seed.

    Everything but the scores of trained networks is computed here, from these: it takes seconds, and no torch.
    """

    def __init__(self, problem: Problem, images_id: str, store: Store, say: Callable[[str], None]) -> None:
        self._problem, self._images_id, self._store, self._name = problem, images_id, store, problem.spec.name
        self._active = any(isinstance(method, DYNAMIC_METHODS) for method in problem.spec.methods)
        stored = store.search(self._name).data.get("routed")
        self._routed = None if stored is None else tuple(map(Routed.from_json, stored))
        self._say = say
        self._kept: dict[str, JobResult] = {}  # scores that were found whole, by job id
        self._shown = {trial["job_id"] for trial in store.trials(self._name) if trial.get("role") == "route"}

    def stages_of(self, network_ids: Iterable[str]) -> set[str]:
        """The trained networks that these consist of: themselves, and what dynamic ones among them are made of."""
        stages = {routed.id: routed.networks for routed in self._routed or ()}
        return {stage for id_ in network_ids for stage in stages.get(id_, (id_,))}

    def is_kept(self, job: Job) -> bool:
        """Whether the scores that a job keeps are there and whole."""
        return not self._missing([job])

    def wanted(self, course: Course, failed: Iterable[int], spans: Spans) -> list[Job]:
        """Scores that are missing; where none is, what follows from them has been recorded."""
        if not self._active:
            return []
        pool = self._pool(course, set(failed))
        found = [(id_, seed) for id_ in pool for seed in range(course.train.seeds)]
        fresh = [
            (id_, seed)
            for routed in self._routed or ()
            for id_ in routed.networks
            for seed in range(course.train.seeds, course.train.seeds + course.train.confirm)
            if id_ in pool and _step(course, pool[id_], seed) in course.results
        ]
        jobs = {place: self._scores_job(course, pool[place[0]], place[1]) for place in (*found, *fresh)}
        missing = self._missing(jobs.values())
        if missing:
            return missing
        if self._routed is None:
            self._propose(course, pool, jobs)
        self._record(jobs, spans)
        return []

    def wanted_on_test(self, course: Course, shown: Sequence[ScoredNetwork]) -> list[Job]:
        """Scores of the test split that are missing for these networks; where none is, they have been routed on it."""
        known = {routed.id for routed in self._routed or ()}
        ids = [job_id for network in shown if network.id in known for job_id in network.final_job_ids.values()]
        results = self._store.results(ids)
        missing: dict[str, Job] = {}
        for job_id in ids:
            route = self._store.route(job_id)
            scores = [self._on_test(id_) for id_ in route.scores]
            lacking = {job.id: job for job in self._missing(scores)}
            figures = results[job_id].route
            assert figures is not None, "an operating point has figures"
            missing |= lacking
            if not lacking:
                self._run(route.on_test([job.id for job in scores], figures), scores)
        return list(missing.values())

    def _pool(self, course: Course, failed: set[int]) -> dict[str, int]:
        """Networks by id whose seeds are all trained in full."""
        seeds = range(course.train.seeds)
        return {
            network.id: number
            for number, network in enumerate(course.networks)
            if number not in failed and all(_step(course, number, seed) in course.results for seed in seeds)
        }

    def _scores_job(self, course: Course, number: int, seed: int) -> Job:
        step = _step(course, number, seed)
        return course.jobs[step].scores_on("validation", course.results[step].weights_sha256)

    def _on_test(self, scores_id: str) -> Job:
        return replace(self._store.job(scores_id), split="test")

    def _missing(self, jobs: Iterable[Job]) -> list[Job]:
        unknown = {job.id: job for job in jobs if job.id not in self._kept}
        for id_, result in self._store.results(unknown).items():
            if weights_are_whole(scores_path(self._store.checkpoints, id_), result.scores_sha256):
                self._kept[id_] = result
        return [job for id_, job in unknown.items() if id_ not in self._kept]

    def _read(self, job: Job) -> KeptScores:
        return read_scores(self._store.checkpoints, job.id, self._kept[job.id].scores_sha256)

    def _propose(self, course: Course, pool: Mapping[str, int], jobs: Mapping[tuple[str, int], Job]) -> None:
        networks: dict[str, Candidate] = {id_: course.networks[number] for id_, number in pool.items()}
        seeds = range(course.train.seeds)
        kept = {id_: [self._read(jobs[id_, seed]) for seed in seeds] for id_ in pool}
        self._routed = propose_routed(self._problem, networks, kept, self._say)
        self._store.extend(self._name, [], [], {"routed": [routed.to_json() for routed in self._routed]})

    def _record(self, jobs: Mapping[tuple[str, int], Job], spans: Spans) -> None:
        """The operating point of every seed whose scores are all there, and its trial."""
        train = self._problem.spec.train
        for routed in self._routed or ():
            for seed in range(train.seeds + train.confirm):
                scores = [jobs[id_, seed] for id_ in routed.networks if (id_, seed) in jobs]
                if len(scores) < len(routed.networks):
                    continue
                job = routed.job([one.id for one in scores], seed)
                if job.id not in self._shown:
                    self._show(routed, job, self._run(job, scores), spans)

    def _run(self, job: RouteJob, scores: Sequence[Job]) -> JobResult:
        """The job's result, from the store or now."""
        known = self._store.results([job.id])
        if job.id not in known:
            known = {job.id: job.run([self._read(one) for one in scores])}
            self._store.record_results([(job, known[job.id])])
        return known[job.id]

    def _show(self, routed: Routed, job: RouteJob, result: JobResult, spans: Spans) -> None:
        assert result.route is not None, "an operating point has figures"
        costs = routed.costs_at(result.route, result.images)
        choice = {f"threshold_{i + 1}": threshold for i, threshold in enumerate(result.route.thresholds)}
        params: dict[str, int | float | str] = {
            "method": routed.method.partition(" ")[0],
            "resolution": routed.resolution,
            **choice,
        }
        record = TrialRecord(
            params=params,
            spans={**dict.fromkeys(choice, (0.0, 1.0)), "method": spans["method"], "resolution": spans["resolution"]},
            attributes={
                "job_id": job.id,
                "network_id": routed.id,
                "method": routed.method,
                "family": params["method"],
                "resolution": routed.resolution,
                "seed": job.seed,
                "role": "route",
                "stages": list(routed.networks),
                "share": routed.share,
                "images_id": self._images_id,
                "choice": choice,
                **costs,
            },
            objectives=self._problem.spec.objectives,
            constraints=Budget(bounds=self._problem.routed).slack(costs),
        )
        self._store.record_trial(self._name, record, result)
        self._shown.add(job.id)


def _step(course: Course, number: int, seed: int) -> Step:
    return Step(number, seed, course.rungs[-1])
