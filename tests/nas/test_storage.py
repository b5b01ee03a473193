"""A search on a PostgreSQL server with its weights in an object store: the same front, and no password anywhere."""

import json
from pathlib import Path

import pytest
import torch

import nas
from tests.conftest import run_nas, write_spec
from tests.object_store import run_s3
from tests.postgres import PASSWORD, Server
from trials.store import Store

pytestmark = pytest.mark.slow  # the contract of the store, and files at URLs, have quick tests in tests/trials
SECRET = PASSWORD[3:9]  # the same as it is written in URLs and as it is


def lines(shown: str) -> list[str]:
    return [line for line in shown.splitlines() if "seconds" not in line]


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory, postgres: Server) -> Path:
    """A folder from which a search was run to its end, with its database and its weights on servers."""
    folder = tmp_path_factory.mktemp("remote")
    with run_s3() as bucket, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        url = postgres.make_database()
        done = run_nas(folder, "search", str(write_spec(folder, storage=url, checkpoints=f"{bucket}/weights/")))
        (folder / "stdout.txt").write_text(done.stdout)
        (folder / "stderr.txt").write_text(done.stderr)
        assert done.returncode == 0, done.stderr
        patch.setenv("NAS_STORAGE", url)  # from now on: checkpoints are found without being told
        (folder / "small.yaml").unlink()  # where the password stands
        for number, command in enumerate(
            [
                ["front", "small", "--json"],
                ["export", "small", "-o", f"{bucket}/exports/winner.json"],
                ["export", "small", "-o", f"{bucket}/exports/winner.json"],
                ["verify", f"{bucket}/exports/winner.json", "--score", "--json"],
                ["front", "other"],
                ["search", str(write_spec(folder, storage=url, checkpoints=f"{bucket}/elsewhere"))],
            ]
        ):
            done = run_nas(folder, *command)
            (folder / f"{number}.json").write_text(json.dumps([done.returncode, done.stdout, done.stderr]))
        (folder / "small.yaml").unlink()
        weights = nas.load(f"{bucket}/exports/winner.json")
        (folder / "scores.txt").write_text(str(tuple(weights(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).shape)))
        with Store(url) as store:
            names = sorted(path.name for path in store.checkpoints.iterdir())
            spec = store.search("small").spec
        (folder / "kept.json").write_text(json.dumps([names, spec]))
    return folder


def of(folder: Path, number: int) -> tuple[int, str, str]:
    status, shown, errors = json.loads((folder / f"{number}.json").read_text())
    return status, shown, errors


def test_front_is_the_same(remote: Path, finished_search: Path) -> None:
    status, shown, errors = of(remote, 0)
    assert (status, errors) == (0, "")
    assert lines(shown) == lines(run_nas(finished_search, "front", "small", "--json").stdout)


def test_weights_lie_in_the_store_alone(remote: Path) -> None:
    names, _ = json.loads((remote / "kept.json").read_text())
    assert len(names) == 6
    assert all(name.endswith(".safetensors") for name in names)
    assert not list(remote.rglob("*.safetensors"))
    assert not list(remote.rglob("nas.db*"))


def test_exports_at_urls(remote: Path) -> None:
    status, shown, errors = of(remote, 1)
    assert (status, errors) == (0, "")
    assert "wrote s3://nas-tests/exports/winner.json and s3://nas-tests/exports/winner.safetensors" in shown
    status, shown, errors = of(remote, 2)
    assert status == 2
    assert errors == (
        "error: the file must be new, but s3://nas-tests/exports/winner.json exists; choose another or pass --force\n"
    )
    status, shown, errors = of(remote, 3)
    assert (status, errors) == (0, "")
    assert json.loads(shown)["test_accuracy"] > 0.5
    assert (remote / "scores.txt").read_text() == "(2, 10)"


def test_other_checkpoints_are_refused(remote: Path) -> None:
    status, _, errors = of(remote, 5)
    assert status == 2
    assert "must stay in s3://nas-tests/weights, but checkpoints is s3://nas-tests/elsewhere; leave it out" in errors
    assert errors.count("\n") == 1


def test_password_is_nowhere(remote: Path, postgres: Server) -> None:
    """In no output, no error, no file that was written, not in the database and not in the server's log."""
    _, spec = json.loads((remote / "kept.json").read_text())
    assert spec["storage"] == f"postgresql://nas@127.0.0.1:{postgres.port}/{spec['storage'].rpartition('/')[2]}"
    assert f"--storage 'postgresql://nas:***@127.0.0.1:{postgres.port}" in (remote / "stdout.txt").read_text()
    status, _, errors = of(remote, 4)
    assert status == 2
    assert f"error: a search must be in postgresql://nas@127.0.0.1:{postgres.port}" in errors
    for path in remote.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in postgres.log()
