"""`nas move` and `nas upgrade`, and a search that goes on where it was moved to."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import SMALL, run_nas, write_spec
from tests.nas.test_storage import SECRET
from tests.postgres import Server
from tests.trials.test_migrate import VERSION_2
from trials.queue import Queue
from trials.store import Store


@pytest.mark.slow
def test_search_goes_on_where_it_was_moved_to(finished_search: Path, tmp_path: Path, postgres: Server) -> None:
    source, target = f"sqlite:///{finished_search}/nas.db", postgres.make_database()
    before = (finished_search / "nas.db").read_bytes()
    done = run_nas(tmp_path, "move", source, target, "--checkpoints", "weights")
    assert done.returncode == 0, done.stderr
    assert "6 files copied to " in done.stdout
    assert SECRET not in done.stdout + done.stderr
    assert (finished_search / "nas.db").read_bytes() == before
    fronts = [run_nas(tmp_path, "front", "small", "--json", "--storage", url) for url in (source, target)]
    assert fronts[0].stdout == fronts[1].stdout
    again = run_nas(tmp_path, "search", str(write_spec(tmp_path, storage=target)))
    assert again.returncode == 0, again.stderr
    assert "6 of 6 trainings are in postgresql://nas@" in again.stderr
    more = write_spec(tmp_path, name="more", storage=target, train=SMALL["train"] | {"seeds": 3})
    done = run_nas(tmp_path, "search", str(more), "--local")
    assert done.returncode == 0, done.stderr
    assert "6 of 9 trainings are in postgresql://nas@" in done.stderr
    assert len(list((tmp_path / "weights").glob("*.safetensors"))) == 9
    assert SECRET not in done.stdout + done.stderr
    done = run_nas(tmp_path, "move", source, target)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the database to move to must be empty, but postgresql://nas@")


def test_running_search_is_not_moved(finished_search: Path, tmp_path: Path) -> None:
    shutil.copy(finished_search / "nas.db", tmp_path / "nas.db")
    with Queue(f"sqlite:///{tmp_path}/nas.db", create=True) as queue:
        taken = queue.take("small")
        assert taken is not None
        done = run_nas(tmp_path, "move", "sqlite:///nas.db", "sqlite:///other.db")
    assert done.returncode == 2
    assert "no search of nas.db must run meanwhile, but 'small' does (pid " in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "other.db").exists()


def test_older_database_is_upgraded(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "nas.db") as connection:
        connection.executescript(VERSION_2.read_text())
    connection.close()
    done = run_nas(tmp_path, "front", "a")
    assert done.returncode == 2
    assert done.stderr == (
        "error: database nas.db must be of version 0004, but is of the older 0001; bring it there with: "
        "nas upgrade --storage sqlite:///nas.db\n"
    )
    done = run_nas(tmp_path, *["upgrade", "--storage", "sqlite:///nas.db"])
    assert (done.returncode, done.stdout) == (0, "nas.db is of the newest version\n")
    with Store(f"sqlite:///{tmp_path}/nas.db") as store:
        assert store.search_names() == ["a"]
    assert run_nas(tmp_path, "upgrade", "--storage", "sqlite:///none.db").returncode == 2
    assert not (tmp_path / "none.db").exists()
