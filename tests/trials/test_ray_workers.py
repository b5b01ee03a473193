"""Workers that stand, that cannot be had, and that die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.trials.test_job import make_job
from tests.trials.test_run import TINY
from trials import DataSettings, Job, JobFailure, JobResult
from trials.attempts import DIED
from trials.dataset import load_dataset
from trials.job import AnyJob, Outcome
from trials.placement import Placement
from trials.run import run_jobs

# isort: off
from trials.ray_environment import WorkersError
from trials.ray_workers import pack_text, read_outcomes, start_workers
from trials.ray_start import check_gpus
from trials.ray_tune import run_on_ray
import ray
# isort: on


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (RuntimeError("no\n  port"), "Ray must be able to start on this machine, but: no port; try --local"),
        (OSError("disk is full"), "but: disk is full; try --local"),
    ],
)
def test_ray_that_cannot_start_is_one_line(monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: str) -> None:
    ended: list[bool] = []

    def fail(**_: object) -> None:
        raise raised

    monkeypatch.setattr(ray, "init", fail)
    monkeypatch.setattr(ray, "shutdown", lambda: ended.append(True))
    with pytest.raises(WorkersError, match=expected), start_workers(Placement()) as workers:
        workers()
    assert ended == [True]


def test_interrupt_waits_for_ray_to_start_and_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def start(**_: object) -> None:
        time.sleep(0.3)
        order.append("started")

    monkeypatch.setattr(ray, "init", start)
    monkeypatch.setattr("trials.ray_start._services", list)
    monkeypatch.setattr(ray, "shutdown", lambda: order.append("ended"))
    with pytest.raises(KeyboardInterrupt), start_workers(Placement(count=0)):
        raise KeyboardInterrupt
    assert order == ["started", "ended"]


@pytest.mark.parametrize(
    ("gpus", "workers", "share", "message"),
    [
        (0, 1, 1.0, "search.device cuda needs a GPU that torch can use, but there is none; set it to cpu"),
        (1, 2, 1.0, "ray.max_concurrent must be at most 1 on 1 GPUs where each takes ray.gpus_per_job 1, but is 2"),
        (2, 7, 0.3, "ray.max_concurrent must be at most 6 on 2 GPUs"),
        (1, 2, 0.5, None),
        (2, 2, 1.0, None),
    ],
)
def test_gpus(monkeypatch: pytest.MonkeyPatch, gpus: int, workers: int, share: float, message: str | None) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    if message is None:
        check_gpus(workers, share)
        return
    with pytest.raises(WorkersError, match=message):
        check_gpus(workers, share)


def test_gpu_that_is_not_there_is_told_before_ray_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was started"))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(WorkersError, match="needs a GPU"), start_workers(Placement(count=2, device="cuda", gpus=1.0)):
        pass


def test_a_ray_of_the_callers_own_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "shutdown", lambda: pytest.fail("it was ended"))
    with (
        pytest.raises(WorkersError, match="must have no Ray of its own, but has one; call"),
        start_workers(Placement(count=2)),
    ):
        pass


def test_packs_and_outcomes_are_text_on_their_way() -> None:
    jobs = [make_job(TINY), make_job(TINY).scored_on_test("ab" * 32)]
    assert pack_text(jobs).startswith("[{")
    told = [
        JobResult(correct=1, images=2, weights_sha256="ab", wall_seconds=0.5),
        JobFailure(message="x", settled=True),
    ]
    text = (
        '[{"correct": 1, "images": 2, "weights_sha256": "ab", "wall_seconds": 0.5}, {"message": "x", "settled": true}]'
    )
    assert read_outcomes(text) == told


def test_driver_needs_no_torch() -> None:
    script = "import sys, nas.start, nas.run; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


class _Kills:
    """A pack of two jobs, whose worker is killed while it runs them, then a pack of one."""

    def __init__(self) -> None:
        self.packs = [(_deterministic(0), _deterministic(1)), (_deterministic(2),)]
        self.told: list[list[tuple[AnyJob, Outcome]]] = []
        self.retried: list[AnyJob] = []
        self.killed = 0

    def ask(self) -> tuple[Job, ...]:
        if len(self.packs) == 2 or self.killed:
            return self.packs.pop(0) if self.packs else ()
        busy = subprocess.run(["pgrep", "-f", "^ray::Worker.run"], capture_output=True, text=True, check=False).stdout
        for pid in map(int, busy.split()):
            if f"RAY_AUTH_TOKEN={os.environ['RAY_AUTH_TOKEN']}" in Path(f"/proc/{pid}/environ").read_text():  # ours
                os.kill(pid, signal.SIGKILL)
                self.killed += 1
        return ()

    def finished(self) -> bool:
        return sum(map(len, self.told)) == 3

    def tell(self, outcomes: Sequence[tuple[AnyJob, Outcome]]) -> None:
        self.told.append(list(outcomes))

    def retry(self, jobs: Sequence[AnyJob], why: str) -> None:
        assert why == DIED
        self.retried += jobs


def _deterministic(seed: int) -> Job:
    job = make_job(TINY, epochs=5, seed=seed)
    return replace(job, recipe=job.recipe.model_copy(update={"deterministic": True}))


@pytest.mark.slow
def test_all_jobs_of_a_killed_worker_are_run_again_one_by_one(tmp_path: Path) -> None:
    source, dataset = _Kills(), load_dataset(DataSettings(source="mnist5k"))
    jobs = [job for pack in source.packs for job in pack]
    with start_workers(Placement()) as workers:
        run_on_ray(source, dataset, tmp_path, workers())
    assert source.killed == 1
    assert {job.seed for job in source.retried} == {0, 1}
    assert sorted(len(told) for told in source.told) == [1, 1, 1]
    undisturbed = run_jobs(jobs, dataset, tmp_path)
    found = {job.id: outcome for told in source.told for job, outcome in told}
    assert [_weights(found[job.id]) for job in jobs] == [_weights(outcome) for outcome in undisturbed]


def _weights(outcome: Outcome) -> str:
    assert isinstance(outcome, JobResult), outcome
    return outcome.weights_sha256
