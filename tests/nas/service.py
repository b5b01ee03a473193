"""What tests of the queue share: workers as processes, and what a database holds in the end."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import NAS, environment, run_nas
from tests.nas.test_stopping import family, rows

LONG = {"preset": "borji", "epochs": 100_000, "seeds": 2}  # hours: what ends here is stopped


@contextmanager
def worker(folder: Path, *flags: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """`nas worker` in a folder, with further environment variables; killed at the end, if it has not ended by then."""
    process = subprocess.Popen(
        [NAS, "worker", "--poll", "0.2", *flags],
        cwd=folder,
        env=environment() | {"HOME": str(folder), "NAS_LEASE_SECONDS": "5"} | variables,
        start_new_session=True,
        text=True,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], seconds: float = 150) -> str:
    """What a worker said, after it has ended."""
    return process.communicate(timeout=seconds)[1]


def wait_until(what: Callable[[], object], process: subprocess.Popen[str] | None = None, seconds: float = 90) -> None:
    """Until it is true; the process must live meanwhile."""
    deadline = time.monotonic() + seconds
    while not what():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"not so in {seconds} s"
        time.sleep(0.05)


def status(folder: Path, name: str = "small") -> dict[str, Any]:
    """What `nas status --json` says."""
    done = run_nas(folder, "status", name, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def state(folder: Path, name: str = "small") -> object:
    """A search's state, straight from the database."""
    found = rows(folder, f"SELECT state FROM nas_queue WHERE name = '{name}'")
    return found[0][0] if found else None


def driver_of(process: subprocess.Popen[str]) -> int | None:
    """The process that a worker runs its search in."""
    found = [pid for pid, name in family(process.pid).items() if "nas.drive" in name]
    return found[0] if found else None


def jobs(folder: Path) -> int:
    """Results in the store."""
    return len(rows(folder, "SELECT id FROM nas_jobs"))


def gone(pid: int) -> bool:
    """True for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def send(pid: int | None, sent: signal.Signals) -> None:
    """A signal to a process that must be there."""
    assert pid is not None
    os.kill(pid, sent)


def dump(folder: Path) -> list[str]:
    """Every row of the database."""
    connection = sqlite3.connect(folder / "nas.db", timeout=10)
    found = list(connection.iterdump())
    connection.close()
    return found


def stop_between_writes(folder: Path, pid: int | None) -> None:
    """SIGSTOP where the process holds no lock on the database: in a transaction it would keep everybody out."""
    deadline = time.monotonic() + 30
    while True:
        send(pid, signal.SIGSTOP)
        time.sleep(0.1)
        try:
            connection = sqlite3.connect(folder / "nas.db", timeout=0.5)
            connection.execute("BEGIN IMMEDIATE")
            connection.close()
            return
        except sqlite3.OperationalError:
            assert time.monotonic() < deadline
            send(pid, signal.SIGCONT)
            time.sleep(0.1)


def check_same_result(folder: Path, undisturbed: Path, name: str = "small") -> None:
    """Same jobs with the same results, a trial for each training once, the same front."""
    query = "SELECT id, json_extract(result, '$.weights_sha256'), json_extract(result, '$.correct') FROM nas_jobs"
    assert sorted(rows(folder, query)) == sorted(rows(undisturbed, query))
    trials = "SELECT value_json FROM trial_user_attributes WHERE key = 'job_id'"
    assert sorted(rows(folder, trials)) == sorted(rows(undisturbed, trials)), "a job is counted once"
    assert rows(folder, "SELECT DISTINCT state FROM trials") == [("COMPLETE",)]
    fronts = [run_nas(place, "front", name, "--json").stdout.splitlines() for place in (folder, undisturbed)]
    shown = [[line for line in front if "seconds" not in line] for front in fronts]
    assert shown[0] == shown[1]
    assert len(shown[0]) > 20
