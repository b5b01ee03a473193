"""Folders by their text, and files in an object store that is reached as any is: by HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from sqlalchemy import text

from tests.object_store import run_s3
from tests.trials.test_job import make_job
from tests.trials.test_store import SEARCH
from trials.checkpoint import read_weights, weights_bytes
from trials.files import FilesError, list_files, read_file, remove_file, sweep_parts, write_atomically
from trials.folders import FolderError, beside, folder_text, is_remote, open_path
from trials.states import State, read_state, write_state
from trials.store import Store, StoreError
from trials.weights import CheckpointError, checkpoint_path, drop_states, sha256, weights_are_whole

JOB = make_job(epochs=10)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with run_s3() as url:
        yield url


@pytest.fixture
def remote(bucket: str, request: pytest.FixtureRequest) -> Path:
    """A folder of its own for every test."""
    return open_path(f"{bucket}/{request.node.name}")


def test_places_on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given in ("weights", f"{tmp_path}/weights", f"file://{tmp_path}/weights", f"{tmp_path}/x/../weights"):
        assert not is_remote(open_path(given))
        assert folder_text(open_path(given)) == f"{tmp_path}/weights"
    assert open_path("a::b") == Path("a::b")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("s3://me:secret@bucket/x", r"must hold no password, but s3://me:\*\*\*@bucket/x does; .* FSSPEC_S3_PASSWORD"),
        ("nonsense://bucket/x", "at a URL that fsspec knows, but it knows no nonsense://"),
        ("memory://x", "memory:// is this process's own"),
        ("gs://bucket/x", "need a package that is not installed: .*gcsfs"),
    ],
)
def test_urls_that_are_refused(given: str, message: str) -> None:
    with pytest.raises(FolderError, match=message) as caught:
        open_path(given)
    assert "secret" not in str(caught.value)


def test_weights_in_an_object_store(remote: Path) -> None:
    assert is_remote(remote)
    again = open_path(folder_text(remote))  # as a worker does
    content = weights_bytes({"a": torch.ones(3)})
    path = checkpoint_path(remote, JOB)
    assert not weights_are_whole(path, sha256(content))
    with pytest.raises(CheckpointError, match=r"weights must be readable at s3://.*: No such file"):
        read_weights(path, sha256(content))
    write_atomically({path: content})
    assert weights_are_whole(checkpoint_path(again, JOB), sha256(content))
    assert torch.equal(read_weights(path, sha256(content))["a"], torch.ones(3))
    write_atomically({path: content[:-1]})
    assert not weights_are_whole(path, sha256(content))


def test_states_in_an_object_store(remote: Path) -> None:
    other = make_job(seed=1)
    assert read_state(remote, JOB.id) is None
    for job in (JOB, other):
        for epoch in (1, 3):
            write_state(remote, job.id, State(epoch=epoch, seconds=1.0, tensors={"a": torch.full((2,), float(epoch))}))
    assert len(list_files(remote, "", ".state")) == 2
    found = read_state(remote, JOB.id)
    assert found is not None
    assert (found.epoch, found.tensors["a"].tolist()) == (3, [3.0, 3.0])
    drop_states(remote, JOB.id)
    assert read_state(remote, JOB.id) is None
    assert read_state(remote, other.id) is not None
    for path in list_files(remote, "", ""):
        remove_file(path)
    remove_file(remote / "not-there")
    assert list_files(remote, "", "") == []
    sweep_parts(remote)


def test_store_that_does_not_answer(remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSSPEC_S3_CONNECT_TIMEOUT", "1")
    bare = {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": {"retries": {"max_attempts": 0}}}
    path = type(remote)(str(remote), **bare) / "a.safetensors"
    with pytest.raises(FilesError, match=r"files must be writable, but s3://.*Could not connect"):
        write_atomically({path: b"x"})
    with pytest.raises(OSError, match="Could not connect"):
        read_file(path)
    with pytest.raises(FilesError, match="files must be readable"):  # not: as if it were not there
        weights_are_whole(path, "")
    with pytest.raises(FilesError, match="files must be readable"):
        read_state(path.parent, JOB.id)


def test_bucket_that_is_not_there(bucket: str) -> None:
    folder = open_path("s3://no-such-bucket/weights")
    with pytest.raises(FilesError, match="files must be writable"):
        write_atomically({folder / "a": b"x"})


def test_first_search_settles_where_weights_lie(url: str, bucket: str, tmp_path: Path) -> None:
    wanted = f"{bucket}/settled-{url.partition(':')[0]}"
    with Store(url, create=True) as store:  # nothing is begun: it may still be chosen
        if url.startswith("sqlite"):
            assert store.checkpoints == beside(tmp_path / "nas.db")
        else:
            with pytest.raises(
                StoreError, match=r"no folder is known; name one by checkpoints in the spec, or by NAS_"
            ):
                _ = store.checkpoints
    with Store(url, create=True, checkpoints=f"{wanted}/") as store:
        assert str(store.checkpoints) == wanted
        store.begin(SEARCH, ["maximize", "minimize"], ["validation accuracy", "macs"])
    for given in (None, wanted):
        with Store(url, create=True, checkpoints=given) as store:
            assert str(store.checkpoints) == wanted
    with Store(url) as store:
        assert str(store.checkpoints) == wanted
    for other in (f"{bucket}/other", str(tmp_path / "other")):
        with pytest.raises(StoreError, match=f"must stay in {wanted}, but checkpoints is .*other; leave it out"):
            Store(url, create=True, checkpoints=other)
    assert not (tmp_path / "other").exists()


def test_weights_beside_the_file_stay_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nas.db"
    with Store(url, create=True) as store:
        store.begin(SEARCH, ["maximize", "minimize"], ["validation accuracy", "macs"])
    with pytest.raises(StoreError, match=r"must stay in .*/nas.db-checkpoints, but checkpoints is /"):
        Store(url, create=True, checkpoints=str(tmp_path / "other"))
    same = f"{tmp_path}/nas.db-checkpoints"
    with Store(url, create=True, checkpoints=same) as store, store.engines[0].connect() as connection:
        # nothing is written down: file and folder may still be carried elsewhere together
        assert connection.scalar(text("SELECT count(*) FROM nas_settings")) == 0
