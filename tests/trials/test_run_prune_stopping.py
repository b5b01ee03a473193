"""A pruning that was stopped anywhere goes on to the record of one that was not."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import environment
from tests.trials.test_prune_job import JOB, prune_job
from tests.trials.test_run_prune import STEPS, pruned, run, timeless
from trials import Dataset, DataSettings
from trials.dataset import load_dataset
from trials.prune import Pruning
from trials.prune_job import PruneResult
from trials.states import State, read_state, write_state
from trials.weights import state_paths


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(DataSettings(source="mnist5k"))


@pytest.fixture(scope="module")
def whole(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> PruneResult:
    """The record of `JOB`, undisturbed."""
    return pruned(JOB, dataset, tmp_path_factory.mktemp("whole"))


def interrupted(at: int) -> tuple[Callable[[Pruning], None], list[int]]:
    """A `run_step` that is interrupted instead of the step of this number, and the numbers of those that were made."""
    step, made = Pruning.run_step, list[int]()

    def counted(pruning: Pruning) -> None:
        number = len(pruning.pretraining_losses) + len(pruning.losses) + 1
        if number == at:
            raise KeyboardInterrupt
        step(pruning)
        made.append(number)

    return counted, made


@pytest.mark.parametrize(
    ("epochs", "at", "kept"),
    [(2, 1, 0), (2, 2, 1), (2, 3, 2), (2, 7, 6), (0, 3, 2)],
    ids=["at once", "in pre-training", "between", "in the pruning", "without pre-training"],
)
def test_a_stopped_pruning_goes_on_to_the_same_end(
    epochs: int, at: int, kept: int, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prune_job(pretrain_epochs=epochs)
    undisturbed = pruned(job, dataset, tmp_path)
    monkeypatch.setattr("trials.run_prune.STATE_SECONDS", 0.0)
    with monkeypatch.context() as patched:
        stopping, made = interrupted(at)
        patched.setattr(Pruning, "run_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(job, dataset, tmp_path)
    assert list(state_paths(tmp_path, job.id).values()) == ([kept] if kept else [])
    stopping, rest = interrupted(-1)
    monkeypatch.setattr(Pruning, "run_step", stopping)
    continued = pruned(job, dataset, tmp_path)
    assert timeless(continued) == timeless(undisturbed)
    assert made + rest == list(range(1, epochs + STEPS + 1)), "no step is made twice"


def test_stopped_again_and_again(
    whole: PruneResult, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trials.run_prune.STATE_SECONDS", 0.0)
    for at in range(2, STEPS + 2):
        with monkeypatch.context() as patched:
            patched.setattr(Pruning, "run_step", interrupted(at)[0])
            with pytest.raises(KeyboardInterrupt):
                run(JOB, dataset, tmp_path)
        assert list(state_paths(tmp_path, JOB.id).values()) == [at - 1]
    assert timeless(pruned(JOB, dataset, tmp_path)) == timeless(whole)


def test_a_state_is_kept_every_minute(
    whole: PruneResult, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if every step took 20 s."""
    counted, made = interrupted(-1)
    states: list[State] = []
    monkeypatch.setattr(Pruning, "run_step", counted)
    monkeypatch.setattr("trials.run_prune.time", SimpleNamespace(perf_counter=lambda: 20.0 * len(made)))
    monkeypatch.setattr("trials.run_prune.write_state", lambda *given: states.append(given[-1]))
    found = pruned(JOB, dataset, tmp_path)
    assert found == replace(whole, wall_seconds=20.0 * (1 + STEPS))
    assert [(state.epoch, state.seconds) for state in states] == [(4, 80.0), (8, 160.0), (12, 240.0)]


def test_the_time_before_the_stop_counts(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trials.run_prune.STATE_SECONDS", 0.0)
    first = pruned(JOB, dataset, tmp_path)
    state = read_state(tmp_path, JOB.id)
    assert state is not None
    assert state.epoch == 1 + STEPS
    assert 0 < state.seconds <= first.wall_seconds
    write_state(tmp_path, JOB.id, replace(state, seconds=1000.0))
    monkeypatch.setattr(Pruning, "run_step", lambda _: pytest.fail("it is pruned again"))
    again = pruned(JOB, dataset, tmp_path)
    assert timeless(again) == timeless(first)
    assert 1000 < again.wall_seconds < 1000 + 60


def test_damaged_states_are_none(
    whole: PruneResult, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trials.run_prune.STATE_SECONDS", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(Pruning, "run_step", interrupted(5)[0])
        with pytest.raises(KeyboardInterrupt):
            run(JOB, dataset, tmp_path)
    (path,) = state_paths(tmp_path, JOB.id)
    path.write_bytes(path.read_bytes()[:-1])
    assert timeless(pruned(JOB, dataset, tmp_path)) == timeless(whole)


KILLED = """
import json, sys
from pathlib import Path
from trials import DataSettings, run_prune
from trials.dataset import load_dataset
from trials.job import read_job
from trials.run import run_jobs

run_prune.STATE_SECONDS = 0.0
run_jobs([read_job(json.loads(sys.argv[1]))], load_dataset(DataSettings(source="mnist5k")), Path(sys.argv[2]))
"""


def test_kill_9_in_the_middle(dataset: Dataset, tmp_path: Path) -> None:
    job = prune_job(channels=1, batches=6, stop_share=0.7)
    steps = 1 + 31  # 31 of 44 channels are the first 70 %
    arguments = [sys.executable, "-c", KILLED, json.dumps(job.to_json()), str(tmp_path)]
    process = subprocess.Popen(arguments, env=environment())
    deadline = time.monotonic() + 90
    while max(state_paths(tmp_path, job.id).values(), default=0) < 4:  # one epoch before, then three steps
        assert process.poll() is None
        assert time.monotonic() < deadline, "the pruning has not come this far in 90 s"
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    state = read_state(tmp_path, job.id)
    assert state is not None
    assert 4 <= state.epoch < steps, "it was killed inside"
    continued = pruned(job, dataset, tmp_path)
    (tmp_path / "whole").mkdir()
    undisturbed = pruned(job, dataset, tmp_path / "whole")
    assert len(undisturbed.steps) == steps - 1
    assert timeless(continued) == timeless(undisturbed)
    assert continued.wall_seconds > state.seconds


def test_on_a_full_disk_it_goes_on(
    whole: PruneResult, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trials.run_prune.STATE_SECONDS", 0.0)
    written, sync = list[int](), os.fsync

    def full(file: int) -> None:
        written.append(file)
        if len(written) > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        found = pruned(JOB, dataset, tmp_path)
    assert len(written) > 4, "a state is kept for a crash alone: without room for it the pruning goes on"
    assert timeless(found) == timeless(whole)
    (path,) = tmp_path.iterdir()  # the last whole state, and nothing half-written
    assert state_paths(tmp_path, JOB.id) == {path: 4}
    assert timeless(pruned(JOB, dataset, tmp_path)) == timeless(whole)
