"""The queue as a person uses it: submitted searches, real workers with Ray, and what one sees of them."""

import json
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import run_nas, write_spec
from tests.nas.service import (
    LONG,
    check_same_result,
    driver_of,
    ended,
    gone,
    send,
    state,
    status,
    wait_until,
    worker,
)
from tests.nas.test_stopping import busy_workers, family, rows


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a worker has run two searches, the second with a seed more; tests only read it."""
    folder = tmp_path_factory.mktemp("worked")
    more = {"preset": "borji", "epochs": 1, "seeds": 3, "confirm": 0, "deterministic": True}
    spec = write_spec(folder, name="more", train=more)
    assert run_nas(folder, "submit", spec.rename(folder / "more.yaml").name).returncode == 0
    done = run_nas(folder, "submit", str(write_spec(folder)), "--priority", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "submitted small; a worker runs it: nas worker\nnext: nas status small\n"
    (folder / "before.json").write_text(run_nas(folder, "status", "--json").stdout)
    with worker(folder, "--once") as process:
        (folder / "said.txt").write_text(ended(process))
        assert process.returncode == 0
    return folder


def test_worker_runs_the_queue(worked: Path, finished_search: Path) -> None:
    said = (worked / "said.txt").read_text()
    assert said.index("small: finished") < said.index("more: running"), "the higher priority goes first"
    assert "6/6 trained" in said
    assert rows(worked, "SELECT DISTINCT state, token, attempts, cause FROM nas_queue") == [("finished", "", 0, "")]
    fronts = [run_nas(folder, "front", "small", "--json").stdout for folder in (worked, finished_search)]
    assert [line for line in fronts[0].splitlines() if "seconds" not in line] == [
        line for line in fronts[1].splitlines() if "seconds" not in line
    ]


def test_status_before_and_after(worked: Path) -> None:
    small, more = json.loads((worked / "before.json").read_text())
    assert (small["name"], small["state"], small["priority"], small["progress"]) == ("small", "queued", 1, None)
    assert small["next"] == "the next free worker takes it"
    assert more["next"] == "the next free worker takes it, after 1 other"
    done = status(worked)
    assert (done["state"], done["holder"], done["silent"], done["cause"]) == ("finished", None, False, "")
    assert (done["progress"]["done"], done["progress"]["total"]) == (6, 6)
    assert done["submitted_at"] < done["started_at"] < done["ended_at"]
    assert done["front"]["winner"]["id"] in {point["id"] for point in done["front"]["front"]}
    shown = run_nas(worked, "status", "small").stdout
    assert shown.startswith("small is finished\n  last run from 2")
    assert "next: nothing is left to do; nas front small" in shown
    assert "test accuracy of the winner" in shown
    assert run_nas(worked, "status", "small", "--watch").stdout.strip().startswith("small is finished")


def test_list_and_logs(worked: Path) -> None:
    assert [one["name"] for one in json.loads(run_nas(worked, "list", "--json").stdout)] == ["small", "more"]
    table = run_nas(worked, "list").stdout.splitlines()
    assert [row.split()[:4] for row in table if "finished" in row] == [
        ["small", "finished", "1", "6/6"],
        ["more", "finished", "0", "9/9"],
    ]
    logs = run_nas(worked, "logs", "more", "--follow").stdout.splitlines()
    assert "6 of 9 trainings are in" in logs[0], "what another search has done is not done again"
    assert "9/9 trained, best 0." in logs[-1]


def test_search_by_hand_stands_beside_them(finished_search: Path) -> None:
    (found,) = json.loads(run_nas(finished_search, "list", "--json").stdout)
    assert (found["name"], found["state"], found["by_hand"]) == ("small", "finished", True)
    assert "6/6 trained" in run_nas(finished_search, "logs", "small").stdout
    again = run_nas(finished_search, "resume", "small")
    assert again.returncode == 2
    assert "only a stopped or failed search can be resumed, but 'small' is finished" in again.stderr


def test_delete_leaves_what_others_use(worked: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(worked, tmp_path / "copy")
    weights = {path.name for path in (folder / "nas.db-checkpoints").glob("*.safetensors")}
    assert len(weights) == 9
    refused = run_nas(folder, "delete", "more")  # no answer
    assert refused.returncode == 1
    assert state(folder, "more") == "finished"
    done = run_nas(folder, "delete", "more", "--yes")
    assert (done.returncode, done.stdout) == (0, "removed more, and 3 files of weights\n"), done.stderr
    check_same_result(folder, shutil.copytree(folder, tmp_path / "now"))
    assert rows(folder, "SELECT study_name FROM studies") == [("small",)]
    assert rows(folder, "SELECT name FROM nas_queue") == rows(folder, "SELECT name FROM nas_searches") == [("small",)]
    trained = "SELECT count(*) FROM nas_jobs WHERE json_extract(job, '$.kind') = 'train'"
    assert rows(folder, trained) == [(6,)]
    assert rows(folder, "SELECT count(*) FROM trials") == [(6,)]
    assert run_nas(folder, "delete", "small", "--yes").returncode == 0
    for table in ("nas_jobs", "nas_searches", "nas_queue", "nas_log", "studies", "trials", "trial_user_attributes"):
        assert rows(folder, f"SELECT * FROM {table}") == [], table
    assert not list((folder / "nas.db-checkpoints").glob("*.safetensors"))


def test_submit_refuses_what_cannot_be_run(tmp_path: Path) -> None:
    write_spec(tmp_path, budget={"params": "1.0x", "macs": 10})
    done = run_nas(tmp_path, "submit", "small.yaml")
    assert done.returncode == 2
    assert "but none of approach IV has; the nearest" in done.stderr
    write_spec(tmp_path, data={"source": "nowhere"})
    assert run_nas(tmp_path, "submit", "small.yaml").returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"], "nothing is written"
    write_spec(tmp_path)
    assert "submitted small" in run_nas(tmp_path, "submit", "small.yaml").stdout
    again = run_nas(tmp_path, "submit", "small.yaml", "--priority", "7")
    assert (again.returncode, again.stdout) == (
        0,
        "small is there already, and queued, with priority 7; see nas status small\n",
    )
    assert rows(tmp_path, "SELECT priority, folder FROM nas_queue") == [(7, str(tmp_path))]
    write_spec(tmp_path, train={"epochs": 2})
    for command in ("submit", "search"):
        other = run_nas(tmp_path, command, "small.yaml")
        assert other.returncode == 2
        assert "search 'small' must keep its spec, but train.epochs differs from when it began" in other.stderr
    assert "submitted b" in run_nas(tmp_path, "submit", "small.yaml", "--name", "b").stdout
    bad = run_nas(tmp_path, "submit", "small.yaml", "--name", "../b")
    assert bad.returncode == 2
    assert "--name: name must be 1 to 64 letters" in bad.stderr
    assert rows(tmp_path, "SELECT name, state FROM nas_queue") == [("small", "queued"), ("b", "queued")]


OWN_MODULE = """
from torch import nn


def make_model():
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 12 * 12, 10))
"""


@pytest.mark.slow
def test_code_of_ones_own_needs_two_consents(tmp_path: Path) -> None:
    (tmp_path / "own_net.py").write_text(OWN_MODULE)
    write_spec(tmp_path, base={"module": "own_net:make_model", "resolution": 14}, methods=[])
    refused = run_nas(tmp_path, "submit", "small.yaml")
    assert refused.returncode == 2
    assert "--allow-code" in refused.stderr
    assert run_nas(tmp_path, "submit", "small.yaml", "--allow-code").returncode == 0
    assert run_nas(tmp_path, "worker", "--once").returncode == 0
    assert status(tmp_path)["next"] == "a worker with --allow-code takes it"
    assert state(tmp_path) == "queued"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "x"], "error: there must be a database at nas.db, but there is none; run a search"),
        (["list"], "error: there must be a database at nas.db"),
        (["logs", "x"], "error: there must be a database at nas.db"),
        (["delete", "x"], "error: there must be a database at nas.db"),
    ],
)
def test_no_database(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = run_nas(tmp_path, *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_search_begun_by_hand_goes_on_in_the_queue(tmp_path: Path) -> None:
    """Its folder is that in which it was begun; where that is gone, the worker's, which is said."""
    write_spec(tmp_path, methods=[], train={"preset": "fast", "epochs": 1, "seeds": 1, "confirm": 0})
    assert run_nas(tmp_path, "search", "small.yaml", "--local").returncode == 0
    execute = sqlite3.connect(tmp_path / "nas.db", isolation_level=None).execute
    assert execute("SELECT folder FROM nas_queue").fetchall() == [(str(tmp_path),)]
    for folder, said in (("", False), (str(tmp_path), False), (str(tmp_path / "gone"), True)):
        execute("UPDATE nas_queue SET state = 'stopped', folder = ?", (folder,))
        assert run_nas(tmp_path, "resume", "small").returncode == 0
        done = run_nas(tmp_path, "worker", "--once")
        assert done.returncode == 0, done.stderr
        assert "small: finished" in done.stderr
        assert ("cannot be used here: paths are those of" in done.stderr) == said


@pytest.mark.parametrize("command", ["status", "stop", "resume", "delete", "logs"])
def test_unknown_search(command: str, finished_search: Path) -> None:
    done = run_nas(finished_search, command, "unknown")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "a search must be in nas.db, but 'unknown' is not; " in done.stderr
    assert "small" in done.stderr


@pytest.mark.slow
def test_running_search_is_stopped(tmp_path: Path) -> None:
    write_spec(tmp_path, train=LONG)
    assert run_nas(tmp_path, "submit", "small.yaml").returncode == 0
    with worker(tmp_path) as process:
        wait_until(lambda: busy_workers(process.pid), process)
        driver = driver_of(process)
        running = status(tmp_path)
        assert (running["state"], running["holder"]["pid"], running["silent"]) == ("running", driver, False)
        refused = {
            "delete small --yes": f"must have stopped before it is deleted, but 'small' is run by pid {driver} on ",
            "search small.yaml --local": f"but another one runs 'small' now (pid {driver} on ",
            "resume small": "'small' is running",
        }
        for command, message in refused.items():
            done = run_nas(tmp_path, *command.split())
            assert (done.returncode, message in done.stderr) == (2, True), done.stderr
        done = run_nas(tmp_path, "stop", "small")
        assert done.stdout.endswith("small is stopped; go on with: nas resume small\n"), done.stderr
        wait_until(lambda: not busy_workers(process.pid), process)
        assert process.poll() is None, "the worker waits for others"
        process.send_signal(signal.SIGINT)
        ended(process, 30)
    assert rows(tmp_path, "SELECT state, attempts, token FROM nas_queue") == [("stopped", 0, "")]
    assert "stopped; what is done is kept" in run_nas(tmp_path, "logs", "small").stdout
    assert run_nas(tmp_path, "resume", "small").stdout == "small is queued; a worker runs it: nas worker\n"
    assert run_nas(tmp_path, "stop", "small").stdout == "small is stopped; go on with: nas resume small\n"


@pytest.mark.slow
def test_interrupted_worker_puts_its_search_back(tmp_path: Path) -> None:
    write_spec(tmp_path, train=LONG)
    assert run_nas(tmp_path, "submit", "small.yaml").returncode == 0
    with worker(tmp_path) as process:
        wait_until(lambda: busy_workers(process.pid), process)
        begun = family(process.pid).keys()
        process.send_signal(signal.SIGTERM)
        assert "small: queued\nstopped" in ended(process, 60)
        assert process.returncode == 130
        wait_until(lambda: all(map(gone, begun)), seconds=30)
    assert rows(tmp_path, "SELECT state, attempts, token FROM nas_queue") == [("queued", 0, "")]


@pytest.mark.slow
def test_database_that_is_locked_is_waited_for(tmp_path: Path) -> None:
    write_spec(tmp_path)
    assert run_nas(tmp_path, "submit", "small.yaml").returncode == 0
    assert run_nas(tmp_path, "stop", "small").returncode == 0
    with worker(tmp_path) as process:
        assert process.stderr is not None
        assert "takes searches of nas.db" in process.stderr.readline()
        other = sqlite3.connect(tmp_path / "nas.db", timeout=30)
        other.execute("BEGIN EXCLUSIVE")
        assert "must be free, but another process has locked it for 10 s; end it; trying again" in (
            process.stderr.readline()
        )
        other.rollback()
        other.close()
        assert run_nas(tmp_path, "resume", "small").returncode == 0
        assert process.stderr.readline() == "small: running\n"
        send(driver_of(process), signal.SIGKILL)
        assert "was killed by SIGKILL" in process.stderr.readline()
