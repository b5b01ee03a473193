"""Who may use a device: real processes that hold, wait, and are killed."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

import pytest

from tests.conftest import environment
from tests.trials.test_job import make_job
from tests.trials.test_run import TINY
from trials.device_lock import DeviceLockError, lock_name, measuring_on, training_on
from trials.job import JobResult
from trials.run import run_jobs

HOLD = """
import sys, time
from trials.device_lock import measuring_on, training_on
say = lambda word: print(word, flush=True)
if sys.argv[1] == "train":
    held = training_on(sys.argv[2])
else:
    held = measuring_on(sys.argv[2], lambda: say("waits"))
with held:
    say("has it")
    sys.stdin.readline()
say("done")
"""
STREAM = """
import sys, time
from trials.device_lock import training_on
while True:  # one job after the other, without a pause
    with training_on("cpu"):
        print("begins", flush=True)
        time.sleep(0.02)
"""
SOON, LATE = 0.3, 20.0  # seconds: a process that does not wait would have gone on by then; one that may go on has


class Process:
    """Holds a device until it is told to end."""

    def __init__(self, *arguments: str, code: str = HOLD) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def said(self, word: str) -> bool:
        """True as soon as it says a word."""
        until = time.monotonic() + LATE
        while word not in self.lines and time.monotonic() < until:
            time.sleep(0.005)
        return word in self.lines

    def has_it_not(self) -> bool:
        """True when it still waits."""
        time.sleep(SOON)
        return "has it" not in self.lines

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        with self.process:  # which closes the pipes
            self.process.send_signal(signal.SIGKILL)
            self._reader.join()


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@contextmanager
def processes(*started: tuple[str, ...]) -> Iterator[list[Process]]:
    """Processes that have the device, or wait for it, one after the other; they end with the test."""
    with ExitStack() as ends:
        found = []
        for arguments in started:
            process = Process(*arguments)
            ends.callback(process.kill)
            found.append(process)
        yield found


def test_trainings_share_and_a_measurement_waits_for_them() -> None:
    with processes(("train", "cpu"), ("train", "cpu")) as (one, two):
        assert one.said("has it")
        assert two.said("has it")
        with processes(("measure", "cpu")) as (measurer,):
            assert measurer.said("waits")
            one.end()
            assert one.said("done")
            assert measurer.has_it_not()
            two.end()
            assert measurer.said("has it")
            assert measurer.lines == ["waits", "has it"]  # told once


def test_a_training_waits_for_a_measurement_that_waits() -> None:
    with processes(("train", "cpu")) as (running,):
        assert running.said("has it")
        with processes(("measure", "cpu")) as (measurer,):
            assert measurer.said("waits")
            with processes(("train", "cpu")) as (late,):
                assert late.has_it_not()  # the measurer was there first
                running.end()
                assert measurer.said("has it")
                assert late.has_it_not()
                measurer.end()
                assert late.said("has it")


def test_measurements_take_turns() -> None:
    with processes(("measure", "cpu")) as (one,):
        assert one.said("has it")
        with processes(("measure", "cpu")) as (two,):
            assert two.said("waits")
            assert two.has_it_not()
            one.end()
            assert two.said("has it")


def test_a_killed_training_frees_the_device() -> None:
    with processes(("train", "cpu")) as (training,):
        assert training.said("has it")
        with processes(("measure", "cpu")) as (measurer,):
            assert measurer.said("waits")
            training.kill()
            assert measurer.said("has it")


@pytest.mark.parametrize("while_it", ["waits", "has it"])
def test_a_killed_measurement_frees_the_device(while_it: str) -> None:
    with processes(*([("train", "cpu")] if while_it == "waits" else [])) as running:
        assert all(process.said("has it") for process in running)
        with processes(("measure", "cpu")) as (measurer,):
            assert measurer.said(while_it)
            with processes(("train", "cpu")) as (late,):
                assert late.has_it_not()
                measurer.kill()
                assert late.said("has it")


def test_a_stream_of_trainings_does_not_starve_a_measurement() -> None:
    with ExitStack() as ends:
        streams = [Process(code=STREAM) for _ in range(3)]
        for stream in streams:
            ends.callback(stream.kill)
        assert all(stream.said("begins") for stream in streams)
        start = time.monotonic()
        with measuring_on("cpu"):
            assert time.monotonic() - start < LATE / 2
            before = sum(len(stream.lines) for stream in streams)
            time.sleep(SOON)
            assert sum(len(stream.lines) for stream in streams) <= before + len(streams)  # those still in the pipe
        begun = [len(stream.lines) for stream in streams]
        time.sleep(SOON)
        assert any(len(stream.lines) > count + 1 for stream, count in zip(streams, begun, strict=True))


def test_devices_do_not_wait_for_each_other() -> None:
    def fail() -> None:
        raise AssertionError

    with (
        training_on("cpu"),
        training_on("cuda:1"),
        measuring_on("cuda", fail),
        training_on("cpu"),
        processes(("measure", "cuda:0")) as (measurer,),
    ):
        assert measurer.said("waits")  # cuda is cuda:0


def test_a_job_keeps_measurements_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> JobResult:
        with processes(("measure", "cpu")) as (measurer,):
            return JobResult(correct=measurer.said("waits"), images=1, weights_sha256="", wall_seconds=0)

    monkeypatch.setattr("trials.run._try_score", run)
    (outcome,) = run_jobs([make_job(TINY).scored_on_test("")], None, tmp_path)  # type: ignore[arg-type]
    assert isinstance(outcome, JobResult)
    assert outcome.accuracy == 1


@pytest.mark.parametrize(
    ("device", "visible", "name"),
    [
        ("cpu", None, "cpu"),
        ("cpu:0", None, "cpu"),
        ("cuda", None, "cuda-0"),
        ("cuda:3", None, "cuda-3"),
        ("cuda:0", "2, 5", "cuda-2"),
        ("cuda:1", "2, 5", "cuda-5"),
        ("cuda", "", "cuda-0"),
        ("cuda", "GPU-8f2c", "cuda-GPU-8f2c"),
    ],
)
def test_names(device: str, visible: str | None, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert lock_name(device) == name


def test_without_a_folder_jobs_run_and_measurements_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    with training_on("cpu"):
        pass
    with pytest.raises(DeviceLockError, match="make it writable, or set XDG_CACHE_HOME"), measuring_on("cpu"):
        pass


def test_an_error_within_passes_and_frees() -> None:
    with pytest.raises(OSError, match="mine"), training_on("cpu"):
        raise OSError("mine")
    with pytest.raises(OSError, match="mine"), measuring_on("cpu"):
        raise OSError("mine")
    with processes(("measure", "cpu")) as (measurer,):
        assert measurer.said("has it")
        assert measurer.lines == ["has it"]
