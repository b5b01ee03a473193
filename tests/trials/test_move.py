"""Whole databases taken to other ones, either way: searches, trials, notes, artifacts, weights."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from itertools import permutations
from pathlib import Path

import optuna
import pytest
from optuna.artifacts import download_artifact, get_all_artifact_meta, upload_artifact
from optuna_dashboard import get_note, save_note
from sqlalchemy import MetaData, select, text

from tests.postgres import Server
from tests.trials.test_job import make_job
from tests.trials.test_store import RESULT, SEARCH, processes, record
from trials.job import JobFailure
from trials.move import check_places, move
from trials.store import Store, StoreError
from trials.weights import checkpoint_path

KINDS = ["sqlite", "postgresql"]


@pytest.fixture
def urls(tmp_path: Path, postgres: Server, made_database: str) -> dict[str, Callable[[str], str]]:
    """A fresh database of each kind, by a name of its own."""
    return {
        "sqlite": lambda name: f"sqlite:///{tmp_path}/{name}.db",
        "postgresql": lambda name: postgres.make_database(made_database),
    }


def fill(url: str, folder: Path) -> None:
    """All that a database may hold."""
    with Store(url, create=True, checkpoints=str(folder)) as store:
        store.begin(SEARCH, ["maximize", "minimize"], ["validation accuracy", "macs"])
        store.begin(replace(SEARCH, name="b", spec={"ünïcode": "\x00'\"\\"}), ["maximize"], ["accuracy"])
        for seed in range(3):
            job = replace(make_job(), seed=seed)
            (folder / checkpoint_path(folder, job).name).write_bytes(b"weights of %d" % seed)
            store.record_results([(job, replace(RESULT, losses=(0.1 + 0.2, 1e-300)))])
            store.record_trial("a", record(job_id=job.id), RESULT)
        store.record_trial("a", replace(record(), rungs={1: 0.5, 2: float("inf")}), None)
        store.record_trial("a", record(), JobFailure(message="the loss must stay finite"))
        store.set_finished("a", True)
        (folder / "a.lock").touch()
        study = optuna.load_study(study_name="a", storage=store.optuna_storage)
        save_note(study, "# a note")
        save_note(optuna.Trial(study, study.trials[0]._trial_id), "of a trial")
        picture = folder.parent / "picture.png"
        picture.write_bytes(bytes(range(256)))
        assert store.artifacts is not None
        waiting = study.ask()
        waiting.suggest_int("resolution", 14, 28)
        for place in (study, waiting):
            upload_artifact(artifact_store=store.artifacts, file_path=str(picture), study_or_trial=place)


def rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    """All that it holds but where its weights lie."""
    with Store(url) as store, store.engines[0].connect() as connection:
        metadata = MetaData()
        metadata.reflect(connection)
        return {
            name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for name, table in metadata.tables.items()
            if name != "nas_settings"
        }


@pytest.mark.parametrize(("kind", "to"), [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("sqlite", "sqlite")])
def test_everything_is_taken_along(kind: str, to: str, urls: dict[str, Callable[[str], str]], tmp_path: Path) -> None:
    source, target, folder, said = urls[kind]("one"), urls[to]("two"), tmp_path / "weights", list[str]()
    folder.mkdir()
    fill(source, folder)
    before = rows(source)
    with Store(source) as store:
        move(store, target, str(tmp_path / "copies"), said.append)
    assert rows(source) == before
    assert rows(target) == before
    assert len(before["trials"]) == 6
    assert any("5 files copied" in line for line in said)
    assert sorted(path.name for path in (tmp_path / "copies").iterdir() if path.is_file()) == sorted(
        path.name for path in folder.glob("*.safetensors")
    )
    with Store(source) as one, Store(target) as two:
        assert two.checkpoints == tmp_path / "copies"
        assert two.search("b").spec == {"ünïcode": "\x00'\"\\"}
        assert two.trials("a") == one.trials("a")
        studies = [optuna.load_study(study_name="a", storage=store.optuna_storage) for store in (one, two)]
        assert get_note(studies[1]) == "# a note"
        assert get_note(optuna.Trial(studies[1], studies[1].trials[0]._trial_id)) == "of a trial"
        assert studies[0].trials == studies[1].trials
        found = [get_all_artifact_meta(study) for study in studies]
        assert found[0] == found[1]
        waiting = [get_all_artifact_meta(study.trials[-1], storage=study._storage) for study in studies]
        assert waiting[0] == waiting[1]
        assert (len(found[0]), len(waiting[0])) == (1, 1)
        assert two.artifacts is not None
        download_artifact(
            artifact_store=two.artifacts, artifact_id=found[1][0].artifact_id, file_path=str(tmp_path / "again")
        )
    assert (tmp_path / "again").read_bytes() == bytes(range(256))
    with Store(target, create=True) as store:  # numbers of new rows go on behind the others
        store.record_trial("a", record(job_id="later"), RESULT)
        store.begin(replace(SEARCH, name="c"), ["maximize"], ["accuracy"])
        assert store.search_names() == ["c", "b", "a"]
        assert store.trials("a")[-1]["job_id"] == "later"


def test_weights_stay_where_they_are_unless_told(urls: dict[str, Callable[[str], str]], tmp_path: Path) -> None:
    source, target = urls["sqlite"]("one"), urls["postgresql"]("two")
    with Store(source, create=True) as store:
        store.begin(SEARCH, ["maximize", "minimize"], ["validation accuracy", "macs"])
    with Store(source) as store:
        move(store, target, None, print)
    with Store(target) as store:
        assert store.checkpoints == tmp_path / "one.db-checkpoints"


@pytest.mark.parametrize("to", KINDS)
def test_target_must_be_empty(to: str, urls: dict[str, Callable[[str], str]], tmp_path: Path) -> None:
    source, target = urls["sqlite"]("one"), urls[to]("two")
    for url in (source, target):
        with Store(url, create=True, checkpoints=str(tmp_path)) as store:
            store.begin(SEARCH, ["maximize", "minimize"], ["validation accuracy", "macs"])
    before = rows(target)
    with Store(source) as store, pytest.raises(StoreError, match=r"must be empty, but .* has rows in .*; name another"):
        move(store, target, str(tmp_path / "copies"), print)
    assert rows(target) == before
    assert not (tmp_path / "copies").exists()


def test_other_place_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for one, two in [
        ("sqlite:///nas.db", f"sqlite:///{tmp_path}/nas.db"),
        ("postgresql://me:pw@h/db", "postgresql+psycopg://me:pw@h/db"),
    ]:
        for source, target in permutations((one, two)):
            with pytest.raises(StoreError, match="must be moved to another one, but both are"):
                check_places(source, target)


@pytest.mark.parametrize("to", KINDS)
def test_killed_move_leaves_the_target_empty(to: str, urls: dict[str, Callable[[str], str]], tmp_path: Path) -> None:
    source, target, folder = urls["sqlite"]("one"), urls[to]("two"), tmp_path / "weights"
    folder.mkdir()
    fill(source, folder)
    killed = processes().Process(target=_die_while_moving, args=(source, target))
    killed.start()
    killed.join(60)
    assert killed.exitcode == -9
    with Store(target, create=True) as store, store.engines[0].connect() as connection:
        assert store.search_names() == []
        assert connection.scalar(text("SELECT count(*) FROM studies")) == 0
    with Store(source) as store:
        move(store, target, None, print)
    assert rows(target) == rows(source)


def _die_while_moving(source: str, target: str) -> None:
    """As by kill -9, once the jobs are copied."""

    def die(line: str) -> None:
        if line.startswith("nas_jobs"):
            os.kill(os.getpid(), signal.SIGKILL)

    with Store(source) as store:
        move(store, target, None, die)


def test_artifacts_cannot_leave_their_folder(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/nas.db", create=True) as store:
        assert store.artifacts is not None
        store.artifacts.write("one", BytesIO(b"x"))
        assert store.artifacts.open_reader("one").read() == b"x"
        store.artifacts.remove("one")
        for bad in ("../nas.db", "/etc/passwd", "", "a/b", "..", "x" * 100, "one"):
            for ask in (store.artifacts.open_reader, store.artifacts.remove):
                with pytest.raises(optuna.artifacts.exceptions.ArtifactNotFound):
                    ask(bad)
        assert (tmp_path / "nas.db").exists()
