"""What becomes of jobs that lost their worker."""

from collections.abc import Sequence
from typing import get_args

import pytest

from tests.trials.test_job import make_job
from tests.trials.test_run import TINY
from trials import Job, JobFailure
from trials.attempts import DEATHS, DIED, Attempts, Cause, Pack
from trials.job import AnyJob, JobResult, Outcome
from trials.placement import Limits
from trials.prune_job import PruneJob
from trials.prune_settings import PruneSettings

DONE = JobResult(correct=1, images=2, weights_sha256="ab", wall_seconds=0.5)
LIMITS = Limits(minutes=2, memory_gb=1.5)


class Source:
    def __init__(self, *packs: tuple[AnyJob, ...]) -> None:
        self.packs = list(packs)
        self.open = sum(map(len, packs))
        self.told: list[tuple[AnyJob, Outcome]] = []
        self.retried: list[tuple[tuple[AnyJob, ...], str]] = []

    def ask(self) -> tuple[AnyJob, ...]:
        return self.packs.pop(0) if self.packs else ()

    def finished(self) -> bool:
        return self.open == 0

    def tell(self, outcomes: Sequence[tuple[AnyJob, Outcome]]) -> None:
        self.told += outcomes
        self.open -= len(outcomes)

    def retry(self, jobs: Sequence[AnyJob], why: str) -> None:
        self.retried.append((tuple(jobs), why))


def jobs(count: int) -> tuple[Job, ...]:
    return tuple(make_job(TINY, seed=seed) for seed in range(count))


def ask(attempts: Attempts) -> Pack:
    pack = attempts.ask()
    assert pack is not None
    return pack


def test_without_limits_a_worker_may_die() -> None:
    attempts = Attempts(source := Source(jobs(1)), Limits())
    attempts.lost(ask(attempts), "died")
    assert source.retried == [(jobs(1), DIED)]
    assert ask(attempts) == Pack(jobs=jobs(1))


@pytest.mark.parametrize("cause", get_args(Cause))
def test_what_was_lost_together_is_tried_one_by_one_before_anything_else(cause: Cause) -> None:
    three, later = jobs(3), (make_job(TINY, seed=9),)
    source = Source(three, later)
    attempts = Attempts(source, LIMITS)
    attempts.lost(ask(attempts), cause)
    ((lost, why),) = source.retried
    assert lost == three
    assert why
    assert [ask(attempts) for _ in range(4)] == [*(Pack(jobs=(job,)) for job in three), Pack(jobs=later)]
    assert attempts.ask() is None
    assert not attempts.finished()
    for job in (*three, *later):
        attempts.tell(Pack(jobs=(job,)), [DONE])
    assert source.told == [(job, DONE) for job in (*three, *later)]
    assert attempts.finished()


def test_a_job_over_its_memory_goes_on_in_halves_down_to_eight_images() -> None:
    source = Source(jobs(1))  # batches of 100
    attempts = Attempts(source, LIMITS)
    tried = []
    while (pack := attempts.ask()) is not None:
        tried.append(pack.parts)
        attempts.lost(pack, "memory")
    assert tried == [1, 2, 4, 8]
    ((_, failure),) = source.told
    assert isinstance(failure, JobFailure)
    assert failure.settled
    assert failure.limits == "search.job_minutes 2, search.job_memory_gb 1.5"
    assert failure.message.endswith("but held more, also with its batches in 8 parts")


def test_a_job_that_runs_too_long_is_not_tried_again() -> None:
    source = Source(jobs(1))
    attempts = Attempts(source, LIMITS)
    attempts.lost(ask(attempts), "time")
    assert attempts.ask() is None
    ((_, failure),) = source.told
    assert isinstance(failure, JobFailure)
    assert failure.settled
    assert failure.message == ("the job must end within search.job_minutes 2, but ran longer")


def test_a_worker_that_dies_once_is_an_accident_and_often_a_failure_that_a_later_run_tries_again() -> None:
    source = Source(jobs(1))
    attempts = Attempts(source, LIMITS)
    tried = []
    while (pack := attempts.ask()) is not None:
        tried.append(pack.parts)
        attempts.lost(pack, "died")
    assert tried == [1, 1, 2, 4]
    ((_, failure),) = source.told
    assert failure == JobFailure(message=f"the worker process died (out of memory, or killed), {DEATHS} times")


def test_a_node_that_died_says_nothing_of_the_job() -> None:
    attempts = Attempts(Source(jobs(1)), LIMITS)
    for _ in range(DEATHS):
        pack = ask(attempts)
        assert pack.parts == 1
        attempts.lost(pack, "node")


def test_a_pruning_is_not_cut() -> None:
    job = make_job(TINY)
    pruning = PruneJob(architecture=TINY, data=job.data, images_id=job.images_id, settings=PruneSettings(), seed=0)
    source = Source((pruning,))
    attempts = Attempts(source, LIMITS)
    attempts.lost(ask(attempts), "memory")
    ((told, failure),) = source.told
    assert told is pruning
    assert isinstance(failure, JobFailure)
    assert failure.settled
