"""Stopped at any moment, a search goes on, and its store ends as if nothing had happened."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import NAS, environment, heed_interrupts, run_nas, write_spec
from tests.nas.test_main_job import stored


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [NAS, "search", "small.yaml"],
        cwd=folder,
        env=environment() | {"HOME": str(folder)},
        start_new_session=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 the tests run no threads here
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    try:
        connection = sqlite3.connect(f"file:{folder}/nas.db?mode=ro", uri=True, timeout=10)
        found = connection.execute(query).fetchall()
        connection.close()
    except sqlite3.OperationalError:  # not there yet
        return []
    return found


def wait_for_jobs(folder: Path, process: subprocess.Popen[str], count: int) -> None:
    """Until the store holds so many jobs."""
    deadline = time.monotonic() + 90
    while len(rows(folder, "SELECT id FROM nas_jobs")) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the search has not come this far in 90 s"
        time.sleep(0.02)


def check_as_if_nothing_had_happened(folder: Path, finished: Path, kept: dict[str, tuple[str, int, float]]) -> None:
    done = run_nas(folder, "search", "small.yaml")
    assert done.returncode == 0, done.stderr
    assert rows(folder, "SELECT DISTINCT state FROM trials") == [("COMPLETE",)]
    assert rows(folder, "SELECT count(*) FROM trials") == [(6,)]
    assert len(list((folder / "nas.db-checkpoints").glob("*.safetensors"))) == 6
    now = stored(folder)
    assert {key: now[key] for key in kept} == kept, "a job in the store was trained again"
    assert {k: v[:2] for k, v in now.items()} == {k: v[:2] for k, v in stored(finished).items()}
    fronts = [run_nas(place, "front", "small", "--json").stdout for place in (folder, finished)]
    assert [line for line in fronts[0].splitlines() if "seconds" not in line] == [
        line for line in fronts[1].splitlines() if "seconds" not in line
    ]


def test_kill_9_in_the_middle(finished_search: Path, tmp_path: Path) -> None:
    write_spec(tmp_path)
    process = start(tmp_path)
    wait_for_jobs(tmp_path, process, 2)
    process.kill()
    process.communicate()
    assert ("RUNNING",) not in rows(tmp_path, "SELECT state FROM trials")
    kept = stored(tmp_path)
    assert 2 <= len(kept) < 6
    check_as_if_nothing_had_happened(tmp_path, finished_search, kept)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1.0, 3.0, 5.0, 7.0, 9.0, 10.0, 11.0, 12.0, 13.0])
def test_kill_9_at_any_moment(finished_search: Path, tmp_path: Path, seconds: float) -> None:
    write_spec(tmp_path)
    process = start(tmp_path)
    time.sleep(seconds)
    process.kill()
    process.communicate()
    kept = stored(tmp_path) if rows(tmp_path, "SELECT version FROM nas_schema") else {}
    check_as_if_nothing_had_happened(tmp_path, finished_search, kept)


@pytest.mark.parametrize("sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_ends_soon_and_says_how_to_go_on(tmp_path: Path, sent: signal.Signals) -> None:
    # hours of epochs: what ends here is a training, not a search that was nearly done
    write_spec(tmp_path, train={"preset": "borji", "epochs": 100_000, "seeds": 2})
    process = start(tmp_path)
    deadline = time.monotonic() + 90
    while not busy_workers(process.pid):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert {address for pid in family(process.pid) for address in listening(pid)} == {"127.0.0.1"}
    started = time.monotonic()
    if sent == signal.SIGINT:
        os.killpg(process.pid, sent)  # as a terminal does: to the driver, Ray and all workers
    else:
        process.send_signal(sent)
    shown, errors = process.communicate(timeout=30)
    assert time.monotonic() - started < 5
    assert process.returncode == 130
    assert "stopped; what is done is kept. Go on with: nas search small.yaml" in errors
    assert "Traceback" not in errors
    assert "SIGTERM" not in errors
    assert shown == ""
    assert not busy_workers(process.pid)
    assert not (tmp_path / ".ray").exists(), "Ray must not write its token under HOME"


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
def test_stopped_while_ray_starts_nothing_stays(tmp_path: Path, sent: signal.Signals, seconds: float) -> None:
    write_spec(tmp_path, train={"preset": "borji", "epochs": 100_000, "seeds": 2})
    process = start(tmp_path)
    time.sleep(seconds)
    begun = family(process.pid).keys()
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("stopped; what is done is kept.")
    assert len(errors.splitlines()) <= 2, errors  # before it, at most the progress
    time.sleep(1)
    assert not [pid for pid in begun if Path(f"/proc/{pid}").exists()]


def busy_workers(driver: int) -> list[int]:
    """Processes below the driver in which Ray runs a pack."""
    return [pid for pid, name in family(driver).items() if name.startswith("ray::Worker.run")]


def family(driver: int) -> dict[int, str]:
    """Command lines of the driver and of all processes below it."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            names[int(stat.parent.name)] = (stat.parent / "cmdline").read_text()
        except OSError:  # it has ended meanwhile
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    return {pid: name for pid, name in names.items() if driver in line(pid, parents)}


def line(pid: int, parents: dict[int, int]) -> set[int]:
    """The process's ancestors."""
    found: set[int] = set()
    while pid in parents and pid not in found:
        found.add(pid)
        pid = parents[pid]
    return found


def listening(pid: int) -> set[str]:
    """Addresses on which a process accepts TCP connections."""
    sockets = set()
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            sockets |= set(re.findall(r"socket:\[(\d+)\]", str(descriptor.readlink())))
    except OSError:  # it has ended meanwhile
        return set()
    found = set()
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A" and fields[9] in sockets:  # 0A: listening
                address = bytes.fromhex(fields[1].partition(":")[0])
                found.add(socket.inet_ntoa(address[-4:][::-1]))  # of IPv6, the IPv4 address that it maps
    return found


def cause(folder: Path) -> str:
    """The last fault that `nas status` shows."""
    told: str = json.loads(run_nas(folder, "status", "small", "--json").stdout)["cause"]
    return told


@pytest.mark.slow
def test_jobs_of_a_killed_worker_are_run_again_to_the_same_bits(finished_search: Path, tmp_path: Path) -> None:
    write_spec(tmp_path)
    process = start(tmp_path)
    kill_a_worker(process)
    shown, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "failed" not in shown + errors
    assert "tried again: train, seed 0 at " in shown + errors
    assert cause(tmp_path).endswith(" px: the worker process died (out of memory, or killed)")
    assert rows(tmp_path, "SELECT state, count(*) FROM trials GROUP BY state") == [("COMPLETE", 6)]
    assert {k: v[:2] for k, v in stored(tmp_path).items()} == {k: v[:2] for k, v in stored(finished_search).items()}


def kill_a_worker(process: subprocess.Popen[str]) -> None:
    """SIGKILL to the first that runs a pack."""
    deadline = time.monotonic() + 90
    while not (workers := busy_workers(process.pid)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(workers[0], signal.SIGKILL)


@pytest.mark.slow
def test_job_that_always_kills_its_worker_fails_and_the_others_go_on(tmp_path: Path) -> None:
    """As one that the kernel ends for want of memory, whatever is tried."""
    write_spec(tmp_path, methods=[], train={"preset": "borji", "epochs": 100_000, "seeds": 1, "confirm": 0})
    process = start(tmp_path)
    for _ in range(4):
        kill_a_worker(process)
        time.sleep(2)  # longer than it takes to be noticed
    shown, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert "failed: train, seed 0 at 14 px: the worker process died (out of memory, or killed), 4 times" in errors
    assert "1 job failed; try it again with: nas search small.yaml" in shown
    assert rows(tmp_path, "SELECT state, count(*) FROM trials GROUP BY state") == [("FAIL", 1)]


@pytest.mark.slow
def test_database_that_stays_locked_ends_the_search_in_one_line(
    finished_search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAS_WAIT_SECONDS", "5")
    write_spec(tmp_path)
    process = start(tmp_path)
    wait_for_jobs(tmp_path, process, 1)
    blocker = sqlite3.connect(tmp_path / "nas.db", timeout=10)
    blocker.execute("BEGIN EXCLUSIVE")
    _, errors = process.communicate(timeout=150)
    blocker.rollback()
    blocker.close()
    assert process.returncode == 2
    assert errors.splitlines()[-1].startswith("error: database nas.db must be free, but another process has locked it")
    assert "Traceback" not in errors
    check_as_if_nothing_had_happened(tmp_path, finished_search, stored(tmp_path))


@pytest.mark.slow
def test_two_searches_at_once_in_one_database(tmp_path: Path) -> None:
    train = {"preset": "borji", "epochs": 1, "seeds": 1, "confirm": 0}
    specs = []
    for name in ("one", "two"):
        specs.append(write_spec(tmp_path, name=name, train=train, search={"max_candidates": 2, "workers": 1}))
        specs[-1] = specs[-1].rename(tmp_path / f"{name}.yaml")
    processes = [
        subprocess.Popen([NAS, "search", spec.name, "--local"], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE)
        for spec in specs
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert rows(tmp_path, "SELECT count(*) FROM trials WHERE state = 'COMPLETE'") == [(6,)]


@pytest.mark.slow
def test_race_goes_on_after_kill_9_to_the_same_bits(tmp_path: Path) -> None:
    """Its rungs are in SQL, its trainings are continued from their states."""
    changes = {
        "train": {"preset": "borji", "epochs": 4, "seeds": 1, "confirm": 1, "deterministic": True},
        "race": {"eta": 2},
        "search": {"max_candidates": 4, "workers": 1},
    }
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for folder in (killed, whole):
        folder.mkdir()
        write_spec(folder, **changes)
    assert run_nas(whole, "search", "small.yaml", "--local").returncode == 0
    process = subprocess.Popen([NAS, "search", "small.yaml", "--local"], cwd=killed, env=environment(), text=True)
    wait_for_jobs(killed, process, 7)  # the base, the first rung, and some of the second
    process.kill()
    process.wait()
    query = "SELECT id, json_extract(result, '$.weights_sha256'), json_extract(result, '$.correct') FROM nas_jobs"
    seconds = "SELECT id, json_extract(result, '$.wall_seconds') FROM nas_jobs"
    before = rows(killed, seconds)
    assert list((killed / "nas.db-checkpoints").glob("*.state"))
    assert run_nas(killed, "search", "small.yaml", "--local").returncode == 0
    assert set(before) <= set(rows(killed, seconds)), "what was in the store was not trained again"
    assert sorted(rows(killed, query)) == sorted(rows(whole, query))
    assert not list((killed / "nas.db-checkpoints").glob("*.state"))
    partial = rows(killed, "SELECT count(*) FROM nas_jobs WHERE json_extract(job, '$.until') < 4")
    pruned = rows(killed, "SELECT count(*) FROM trials WHERE state = 'PRUNED'")
    assert (partial, pruned) == ([(4 + 2,)], [(3,)])
