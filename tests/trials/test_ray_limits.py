"""Limits of time and memory, kept by real workers."""

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trials.test_job import make_job
from tests.trials.test_memory_plan import wide_job
from tests.trials.test_run import TINY
from trials import DataSettings, Job, JobFailure, JobResult
from trials.dataset import load_dataset
from trials.job import AnyJob, Outcome
from trials.placement import Limits, Placement

# isort: off
from trials.ray_environment import TOKEN
from trials.ray_workers import start_workers
from trials.ray_tune import run_on_ray
# isort: on


def busy() -> list[int]:
    """Workers of this process's Ray that run a pack."""
    found = subprocess.run(["pgrep", "-f", "^ray::Worker.run"], capture_output=True, text=True, check=False).stdout
    mark = f"{TOKEN}={os.environ[TOKEN]}"
    return [pid for pid in map(int, found.split()) if mark in Path(f"/proc/{pid}/environ").read_text()]


class Source:
    """Packs, one after the other; the worker that runs the first is stopped, so that it hangs for ever."""

    def __init__(self, packs: Sequence[tuple[Job, ...]], *, stop: bool) -> None:
        self.packs, self.open = list(packs), sum(map(len, packs))
        self.told: dict[str, Outcome] = {}
        self.retried: list[str] = []
        self.stopped: list[int] = []
        self._stop = stop

    def ask(self) -> tuple[Job, ...]:
        if self._stop and not self.stopped and self.open > sum(map(len, self.packs)):
            for pid in busy():
                os.kill(pid, signal.SIGSTOP)
                self.stopped.append(pid)
            return ()
        return self.packs.pop(0) if self.packs else ()

    def finished(self) -> bool:
        return len(self.told) == self.open

    def tell(self, outcomes: Sequence[tuple[AnyJob, Outcome]]) -> None:
        self.told.update({job.id: outcome for job, outcome in outcomes})

    def retry(self, jobs: Sequence[AnyJob], why: str) -> None:
        self.retried += [why] * len(jobs)


@pytest.mark.slow
def test_a_job_that_hangs_is_ended_and_the_others_go_on(tmp_path: Path) -> None:
    long, others = make_job(TINY, epochs=100_000), [make_job(TINY, epochs=1, seed=seed) for seed in (1, 2)]
    source = Source([(long,), *((job,) for job in others)], stop=True)
    with start_workers(Placement(limits=Limits(minutes=0.2))) as workers:
        run_on_ray(source, load_dataset(DataSettings(source="mnist5k")), tmp_path, workers())
    assert len(source.stopped) == 1
    assert not Path(f"/proc/{source.stopped[0]}").exists()
    failure = source.told[long.id]
    assert isinstance(failure, JobFailure)
    assert failure == JobFailure(
        message="the job must end within search.job_minutes 0.2, but ran longer",
        settled=True,
        limits="search.job_minutes 0.2",
    )
    assert all(isinstance(source.told[job.id], JobResult) for job in others)


@pytest.mark.slow
def test_a_job_over_its_memory_goes_on_in_parts(tmp_path: Path) -> None:
    large = wide_job(3000)  # a layer's maps are 519 MB; a worker that has done nothing holds some 300
    large = replace(large, recipe=large.recipe.model_copy(update={"epochs": 3}))
    source = Source([(large,), (make_job(TINY, epochs=1),)], stop=False)
    with start_workers(Placement(limits=Limits(memory_gb=1.2))) as workers:
        run_on_ray(source, load_dataset(DataSettings(source="mnist5k")), tmp_path, workers())
    result = source.told[large.id]
    assert isinstance(result, JobResult), result
    assert result.micro_batch in (1500, 750, 375)
    assert set(source.retried) == {"the job must keep search.job_memory_gb 1.2, but held more"}
    assert all(isinstance(outcome, JobResult) for outcome in source.told.values())
