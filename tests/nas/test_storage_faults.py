"""Searches whose database goes away, is locked or is on a full disk: the same end as if nothing had happened."""

import json
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.conftest import NAS, environment, run_nas, write_spec
from tests.nas.test_stopping import cause, check_as_if_nothing_had_happened, rows, start, wait_for_jobs
from tests.nas.test_storage import lines
from tests.postgres import Server, run_server
from tests.small_disk import fill, resize, small_disk
from trials.store import Store

pytestmark = pytest.mark.slow  # the store itself has quick tests of the same faults


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that may be stopped."""
    with run_server() as running:
        yield running


def count(url: str, table: str) -> int:
    with Store(url, create=True) as store, store.engines[0].connect() as connection:
        return connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_server_that_is_away_for_30_seconds(tmp_path: Path, finished_search: Path, server: Server, mode: str) -> None:
    url = server.make_database()
    write_spec(tmp_path, storage=url, checkpoints=str(tmp_path / "weights"))
    process = start(tmp_path)
    wait_until(lambda: count(url, "nas_jobs") >= 1, process)
    server.stop(mode)
    time.sleep(30)
    assert process.poll() is None, process.communicate()
    server.start()
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert "trying again for 300 s" in errors
    assert "the database answers again" in errors
    assert "Traceback" not in errors
    known = json.loads(run_nas(tmp_path, "status", "small", "--json", "--storage", url).stdout)
    assert known["cause"].startswith("the database answers again, after this: database ")
    assert "pw-Geheim" not in known["cause"]
    fronts = [
        run_nas(tmp_path, "front", "small", "--json", "--storage", place).stdout
        for place in (url, f"sqlite:///{finished_search}/nas.db")
    ]
    assert lines(fronts[0]) == lines(fronts[1])
    assert count(url, "trials") == 6
    assert count(url, "nas_jobs") == len(rows(finished_search, "SELECT id FROM nas_jobs"))


def test_file_that_is_locked_for_long(tmp_path: Path, finished_search: Path) -> None:
    write_spec(tmp_path)
    process = start(tmp_path)
    wait_for_jobs(tmp_path, process, 1)
    blocker = sqlite3.connect(tmp_path / "nas.db", timeout=10)
    blocker.execute("BEGIN EXCLUSIVE")
    time.sleep(30)
    assert process.poll() is None, process.communicate()
    blocker.rollback()
    blocker.close()
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    assert "must be free, but another process has locked it for 10 s; end it; trying again for 300 s" in errors
    assert "another process has locked it" in cause(tmp_path)
    check_as_if_nothing_had_happened(tmp_path, finished_search, {})


def test_full_disk_under_the_weights(tmp_path: Path, finished_search: Path) -> None:
    sizes = [path.stat().st_size for path in (finished_search / "nas.db-checkpoints").glob("*.safetensors")]
    with small_disk(tmp_path / "disk", 3 * max(sizes) // 1024 + 12) as disk:  # for half of them
        spec = write_spec(tmp_path, checkpoints=str(disk))
        done = run_nas(tmp_path, "search", str(spec))
        assert done.returncode == 2
        error = done.stderr.splitlines()[-1]
        assert error.startswith("error: files must be writable, but ")
        assert error.endswith(
            "No space left on device; see to that, then run the same command again: what is done is kept"
        )
        assert "Traceback" not in done.stderr
        assert cause(tmp_path) == error.removeprefix("error: ")
        kept = rows(tmp_path, "SELECT id, result FROM nas_jobs")
        assert 1 <= len(kept) < 6
        assert rows(tmp_path, "SELECT DISTINCT state FROM trials") == [("COMPLETE",)], "no job is to blame"
        resize(disk, 2048)
        done = run_nas(tmp_path, "search", str(spec))
        assert done.returncode == 0, done.stderr
        assert set(kept) <= set(rows(tmp_path, "SELECT id, result FROM nas_jobs"))
        shown = run_nas(tmp_path, "front", "small", "--json").stdout
        assert lines(shown) == lines(run_nas(finished_search, "front", "small", "--json").stdout)


def test_full_disk_under_the_database(tmp_path: Path, finished_search: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_WAIT_SECONDS", "5")
    with small_disk(tmp_path / "disk", 4096) as disk:
        storage = f"sqlite:///{disk}/nas.db"
        spec = write_spec(tmp_path, storage=storage, checkpoints=str(tmp_path / "weights"))
        process = subprocess.Popen(
            [NAS, "search", str(spec)],
            cwd=tmp_path, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        wait_for_jobs(disk, process, 1)
        filler = fill(disk)
        _, errors = process.communicate(timeout=150)
        assert process.returncode == 2, errors
        assert errors.splitlines()[-1] == (
            f"error: database {disk}/nas.db needs space, but the disk is full; free some and run the same command again"
        )
        assert "Traceback" not in errors
        filler.unlink()
        kept = rows(disk, "SELECT id, result FROM nas_jobs")
        assert 1 <= len(kept) < 8
        done = run_nas(tmp_path, "search", str(spec))
        assert done.returncode == 0, done.stderr
        assert f"pid {process.pid} on " in cause(disk), "there was no space to write down the error itself"
        assert set(kept) <= set(rows(disk, "SELECT id, result FROM nas_jobs"))
        assert rows(disk, "SELECT count(*), min(state), max(state) FROM trials") == [(6, "COMPLETE", "COMPLETE")]
        shown = run_nas(tmp_path, "front", "small", "--json", "--storage", storage).stdout
        assert lines(shown) == lines(run_nas(finished_search, "front", "small", "--json").stdout)
        json.loads(shown)
