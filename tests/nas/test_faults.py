"""Whatever is killed, stopped or fails: every result is kept, none is counted twice, the front is the same."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import NAS, environment, run_nas, write_spec
from tests.nas.service import (
    LONG,
    check_same_result,
    driver_of,
    dump,
    ended,
    gone,
    jobs,
    send,
    state,
    status,
    stop_between_writes,
    wait_until,
    worker,
)
from tests.nas.test_main_job import job_ids
from tests.nas.test_stopping import busy_workers, family, rows


def local(folder: Path, lease: float, cache: Path) -> subprocess.Popen[str]:
    """`nas search --local`, a driver without Ray; with a cache of its own, as on another machine."""
    return subprocess.Popen(
        [NAS, "search", "small.yaml", "--local"],
        cwd=folder,
        env=environment() | {"NAS_LEASE_SECONDS": str(lease), "XDG_CACHE_HOME": str(cache)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
@pytest.mark.parametrize("who", ["worker and driver", pytest.param("worker", marks=pytest.mark.slow)])
def test_killed_worker_is_succeeded_by_another(finished_search: Path, tmp_path: Path, who: str) -> None:
    write_spec(tmp_path)
    assert run_nas(tmp_path, "submit", "small.yaml").returncode == 0
    with worker(tmp_path) as first:
        wait_until(lambda: jobs(tmp_path) >= 2, first)
        driver = driver_of(first)
        # Ray's two agents, which compute nothing, end by themselves a minute later
        begun = [pid for pid, name in family(first.pid).items() if "Agent" not in name]
        if who == "worker and driver":
            send(first.pid, signal.SIGSTOP)  # so that it cannot see its driver end
            send(driver, signal.SIGKILL)
        send(first.pid, signal.SIGKILL)
        first.wait()
        wait_until(lambda: all(map(gone, begun)), seconds=30)
        assert 2 <= jobs(tmp_path) < 6
        found = status(tmp_path)
        assert (found["state"], found["silent"]) == ("running", True)
        assert found["next"] == "its driver is silent: another worker goes on from where it stood"
        with worker(tmp_path, "--once") as second:
            said = ended(second)
    assert f"small: its driver, pid {driver} on " in said
    assert "has died; it is queued" in said
    assert "small: finished" in said
    check_same_result(tmp_path, finished_search)
    assert f"its driver, pid {driver} on" in run_nas(tmp_path, "logs", "small").stdout
    assert "has died" in status(tmp_path)["cause"]


@pytest.mark.slow
def test_killed_driver_is_started_again_by_its_worker(finished_search: Path, tmp_path: Path) -> None:
    write_spec(tmp_path)
    assert run_nas(tmp_path, "submit", "small.yaml").returncode == 0
    with worker(tmp_path, "--once") as process:
        wait_until(lambda: jobs(tmp_path) >= 2, process)
        send(driver_of(process), signal.SIGKILL)
        said = ended(process)
    assert "was killed by SIGKILL" in said
    assert "small: finished" in said
    check_same_result(tmp_path, finished_search)


@pytest.mark.slow
def test_stopped_driver_that_comes_back_writes_nothing(finished_search: Path, tmp_path: Path) -> None:
    """SIGSTOP until another driver has done everything, then SIGCONT: one line, and the store stays as it is."""
    write_spec(tmp_path)
    # stopped while it makes images it would keep others from these: their lock is a machine's
    first = local(tmp_path, 3.0, tmp_path / "first")
    wait_until(lambda: jobs(tmp_path) >= 1, first)
    stop_between_writes(tmp_path, first.pid)
    second = local(tmp_path, 3.0, tmp_path / "second")
    _, said = second.communicate(timeout=200)
    assert second.returncode == 0, said
    assert f"pid {first.pid} on" in said
    assert "runs 'small' but is silent; after 3 s it is taken over" in said
    before = dump(tmp_path)
    first.send_signal(signal.SIGCONT)
    _, errors = first.communicate(timeout=100)
    assert first.returncode == 2
    assert errors.splitlines()[-1].startswith(
        "error: a search must have one driver, but 'small' was given to another one or deleted while this one was "
    )
    assert "Traceback" not in errors
    assert dump(tmp_path) == before
    check_same_result(tmp_path, finished_search)


@pytest.mark.slow
def test_stopped_driver_of_a_worker_is_succeeded(finished_search: Path, tmp_path: Path) -> None:
    write_spec(tmp_path)
    assert run_nas(tmp_path, "submit", "small.yaml").returncode == 0
    caches = [{"XDG_CACHE_HOME": str(tmp_path / name)} for name in ("first", "second")]
    with worker(tmp_path, "--once", **caches[0]) as running, ExitStack() as later:
        wait_until(lambda: jobs(tmp_path) >= 1, running)
        other = later.enter_context(worker(tmp_path, **caches[1]))
        driver = driver_of(running)
        stop_between_writes(tmp_path, driver)
        wait_until(lambda: driver_of(other) is not None, other)
        wait_until(lambda: state(tmp_path) == "finished", seconds=150)
        send(driver, signal.SIGCONT)
        wait_until(lambda: gone(driver or 0), seconds=60)
        running.send_signal(signal.SIGTERM)
        ended(running)
    assert state(tmp_path) == "finished"
    check_same_result(tmp_path, finished_search)


@pytest.mark.slow
def test_search_that_kills_every_driver_is_given_up(tmp_path: Path) -> None:
    write_spec(tmp_path)
    assert run_nas(tmp_path, "submit", "small.yaml").returncode == 0
    with worker(tmp_path, "--once") as process:
        killed: set[int | None] = {None}
        while process.poll() is None:
            driver = driver_of(process)
            if driver not in killed:
                time.sleep(0.5)
                send(driver, signal.SIGKILL)
                killed.add(driver)
            time.sleep(0.05)
        said = ended(process)
    assert len(killed) == 1 + 3
    assert "given up after 3 tries without a new result" in said
    found = status(tmp_path)
    assert found["state"] == "failed"
    assert "was killed by SIGKILL; given up after 3 tries" in found["cause"]
    assert found["next"] == "nas resume small tries again what is missing"


@pytest.mark.slow
def test_loss_that_is_not_finite_is_told(tmp_path: Path) -> None:
    """It would fail again: the search ends without these trainings."""
    diverges = {"preset": "fast", "epochs": 2, "learning_rate": 1000, "momentum": 0.99}
    write_spec(tmp_path, train={**diverges, "seeds": 1, "confirm": 0})
    done = run_nas(tmp_path, "search", "small.yaml", "--local")
    assert done.returncode == 0, done.stderr
    found = status(tmp_path)
    assert found["state"] == "finished"
    assert found["cause"].startswith("3 jobs failed, the last one: train, seed 0 at ")
    assert "the loss must stay finite" in found["cause"]
    assert [one["settled"] for one in found["front"]["failed"]] == [True] * 3
    assert rows(tmp_path, "SELECT state FROM trials") == [("FAIL",)] * 3
    assert run_nas(tmp_path, "search", "small.yaml", "--local").returncode == 0  # tries nothing again
    assert run_nas(tmp_path, "logs", "small").stdout.count("failed: train, seed 0 at") == 3


def test_truncated_weights_are_made_again(finished_search: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_search, tmp_path, dirs_exist_ok=True)
    (first, second), weights = job_ids(finished_search)[:2], tmp_path / "nas.db-checkpoints"
    for job_id, size in ((first, 100), (second, -1)):
        path = weights / f"{job_id}.safetensors"
        os.truncate(path, path.stat().st_size + size if size < 0 else size)
    done = run_nas(tmp_path, "search", "small.yaml", "--local")
    assert done.returncode == 0, done.stderr
    files = ", ".join(f"{job_id}.safetensors" for job_id in sorted((first, second)))
    told = f"2 trainings are run again, as weights are missing or damaged: {files}"
    assert told in done.stderr
    assert status(tmp_path)["cause"] == told
    check_same_result(tmp_path, finished_search)
    for job_id in (first, second):
        name = f"nas.db-checkpoints/{job_id}.safetensors"
        assert (tmp_path / name).read_bytes() == (finished_search / name).read_bytes()


@pytest.mark.slow
def test_error_in_a_job_is_told(finished_search: Path, tmp_path: Path) -> None:
    """What might succeed in another try: run by hand, the search has failed until it is run again."""
    write_spec(tmp_path)
    in_the_way = tmp_path / "nas.db-checkpoints" / f"{job_ids(finished_search)[0]}.safetensors"
    in_the_way.mkdir(parents=True)
    done = run_nas(tmp_path, "search", "small.yaml", "--local")
    assert done.returncode == 2, done.stderr
    found = status(tmp_path)
    assert found["state"] == "failed"
    assert found["cause"].startswith("files must be writable, but")
    assert "Is a directory" in found["cause"]
    in_the_way.rmdir()
    assert run_nas(tmp_path, "search", "small.yaml", "--local").returncode == 0
    assert status(tmp_path)["state"] == "finished"
    assert "Is a directory" in status(tmp_path)["cause"], "the last fault is still told"
    assert rows(tmp_path, "SELECT count(*) FROM trials WHERE state = 'COMPLETE'") == [(6,)]


@pytest.mark.slow
def test_worker_tries_a_failing_job_three_times(tmp_path: Path) -> None:
    """One that its workers die of, in each run four times."""
    write_spec(tmp_path, methods=[], train=LONG | {"seeds": 1, "confirm": 0})
    assert run_nas(tmp_path, "submit", "small.yaml").returncode == 0
    with worker(tmp_path, "--once") as process:
        while process.poll() is None:
            for pid in busy_workers(process.pid):
                send(pid, signal.SIGKILL)
            time.sleep(0.5)
        said = ended(process)
    assert said.count("small: running") == 3
    assert "small: finished: 1 job failed: train, seed 0 at 14 px: the worker process died" in said
    assert "4 times, 3 times: given up" in said
    assert rows(tmp_path, "SELECT count(*) FROM trials WHERE state = 'FAIL'") == [(3,)]
    found = status(tmp_path)
    assert (found["state"], found["front"]["winner"]) == ("finished", None)


def test_spec_that_fails_on_the_worker_is_not_tried_again(tmp_path: Path) -> None:
    """Its images have gone since it was submitted: one line, at once."""
    images = tmp_path / "images.npz"
    source = (
        "import sys, numpy as np; r = np.random.default_rng(0);"
        "np.savez(sys.argv[1], images=r.integers(0, 256, (600, 28, 28), dtype=np.uint8), labels=np.arange(600) % 10)"
    )
    subprocess.run([sys.executable, "-c", source, str(images)], check=True)
    write_spec(tmp_path, data={"source": "images.npz"})
    done = run_nas(tmp_path, "submit", "small.yaml")
    assert done.returncode == 0, done.stderr
    images.unlink()
    with worker(tmp_path, "--once") as process:
        said = ended(process)
    assert "small: failed: " in said
    assert "images.npz" in status(tmp_path)["cause"]
    assert rows(tmp_path, "SELECT attempts FROM nas_queue") == [(1,)]
    assert "Traceback" not in said
