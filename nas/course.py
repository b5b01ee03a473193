"""What a search trains next, as a function of the results that are known."""

from collections.abc import Iterator, Set
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.problem import Candidate, Problem
from nas.progress import Progress, Stage
from nas.racing import Step, next_steps, planned_epochs, rungs
from trials.job import Job, JobResult

BASE = 0  # the base's place among the networks


class Course:
    """The trainings of a search: every one that it can come to, and those that have a result.

    A step is a network's training with a seed up to an epoch. Seeds below `train.seeds` are those that networks are
    found with, the following ones are fresh: for base and front alone.
    """

    def __init__(self, problem: Problem, networks: list[Candidate], images_id: str) -> None:
        self.train, self.race, self.networks = problem.spec.train, problem.spec.race, networks
        self.rungs = rungs(self.train.epochs, self.race) if self.race else (self.train.epochs,)
        self.jobs = dict(self._all_steps(problem, images_id))
        self.step_of = {job.id: step for step, job in self.jobs.items()}
        self.results: dict[Step, JobResult] = {}
        self._reached: dict[tuple[int, int], int] = {}
        self._costs = _costs(problem, networks)

    def _all_steps(self, problem: Problem, images_id: str) -> Iterator[tuple[Step, Job]]:
        for number, network in enumerate(self.networks):
            for job in problem.jobs(network, images_id):
                raced = self.race is not None and number != BASE and job.seed < self.race.seeds
                for until in self.rungs if raced and job.seed < self.train.seeds else self.rungs[-1:]:
                    yield Step(number, job.seed, until), job if until == self.rungs[-1] else job.ending(until)

    def add(self, step: Step, result: JobResult) -> None:
        """Enter a result."""
        self.results[step] = result
        self._reached[step.network, step.seed] = max(self.reached(step), step.until)

    def reached(self, step: Step) -> int:
        """Epochs up to which this step's training has a result."""
        return self._reached.get((step.network, step.seed), 0)

    def is_whole(self, step: Step) -> bool:
        """True for a training to full length."""
        return step.until == self.train.epochs

    def is_fresh(self, step: Step) -> bool:
        """True for a seed that the networks were not found with."""
        return step.seed >= self.train.seeds

    def next_steps(self, failed: Set[int]) -> list[Step]:
        """Trainings that may run now and have no result; empty when base and front are known."""
        if self.race is None:
            numbers = range(len(self.networks))
            steps = (Step(number, seed, self.rungs[-1]) for number in numbers for seed in range(self.train.seeds))
            return [step for step in steps if step not in self.results]
        known = {(step.network, step.seed, step.until): found.accuracy for step, found in self.results.items()}
        return next_steps(self._costs, BASE, self.train.seeds, self.rungs, self.race, known, failed)

    def fresh_steps(self, network_ids: Set[str]) -> list[Step]:
        """Trainings of these networks with fresh seeds that have no result."""
        return [
            step
            for step in self.jobs
            if self.is_fresh(step) and self.networks[step.network].id in network_ids and step not in self.results
        ]

    def accuracies(self, step: Step) -> dict[int, float]:
        """Validation accuracy by epoch of this step's training, up to its end."""
        steps = (Step(step.network, step.seed, until) for until in self.rungs if until <= step.until)
        return {step.until: self.results[step].accuracy for step in steps if step in self.results}

    def progress(self, seconds_an_epoch: float | None, workers: int, waiting: int) -> Progress:
        """Where the search stands; `waiting` fresh trainings are missing."""
        stage, done, total = self._stage(waiting)
        accuracies: dict[int, list[float]] = {}
        for step, result in self.results.items():
            if self.is_whole(step) and not self.is_fresh(step):
                accuracies.setdefault(step.network, []).append(result.accuracy)
        means = {number: mean(values) for number, values in accuracies.items() if len(values) == self.train.seeds}
        best = max((number for number in means if number != BASE), key=lambda number: means[number], default=None)
        epochs = (total - done) * (1 if stage == "racing" else self.train.epochs)
        return Progress(
            stage=stage,
            done=done,
            total=total,
            best=None if best is None else (self.networks[best], means[best]),
            base_accuracy=means.get(BASE),
            seconds_left=None if seconds_an_epoch is None else seconds_an_epoch * epochs / workers,
        )

    def _stage(self, waiting: int) -> tuple[Stage, int, int]:
        fresh = sum(self.is_fresh(step) for step in self.results)
        if waiting or fresh:
            return "confirming", fresh, fresh + waiting
        if self.race is None:
            return "training", len(self.results), len(self.networks) * self.train.seeds
        done = sum(self._reached.values())
        return "racing", done, max(done, planned_epochs(len(self.networks), self.train.seeds, self.rungs, self.race))


def _costs(problem: Problem, networks: list[Candidate]) -> NDArray[Any]:
    """What a race weighs accuracy against: the objectives' costs [T, K].

    What the budget bounds beside them is kept by all candidates, and less of it is worth nothing: to weigh it, too,
    made the front worse (benchmarks/racing.py, "all costs").
    """
    names = problem.spec.objectives[1:]
    return np.array([[float(network.costs[name]) for name in names] for network in networks])
