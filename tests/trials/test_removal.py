"""What goes with a search: everything about its own trainings and prunings, and nothing that others need."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trials.test_job import make_job
from tests.trials.test_store import RESULT, SEARCH, record
from trials.files import list_files
from trials.removal import remove_search, training_id
from trials.route_job import RouteJob
from trials.store import Store

JOBS = [replace(make_job(), seed=seed) for seed in range(3)]
SHARED, OWN, OTHER = JOBS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path}/nas.db", create=True) as opened:
        yield opened


def test_every_job_knows_its_training() -> None:
    origin = replace(make_job(), start_sha256="ab" * 32)
    for job in (make_job(), origin, replace(make_job(), origin=origin)):
        about = [job, job.scored_on_test("cd"), job.scores_on("test", "cd"), job.ending(1)]
        assert {training_id(one.to_json()) for one in about} == {job.id}


def test_only_what_is_its_own_goes(store: Store) -> None:
    objectives = ["maximize", "minimize"], ["validation accuracy", "macs"]
    pruned = {"descents": {"neuralscale": {"iterations": [{"job_id": "pruned"}]}, "morphnet": {"job_id": None}}}
    store.begin(replace(SEARCH, job_ids=[SHARED.id, OWN.id], data=pruned), *objectives)
    store.begin(replace(SEARCH, name="b", job_ids=[SHARED.id, OTHER.id]), *objectives)
    kept, gone = [SHARED, OTHER], [OWN]
    for group in (kept, gone):
        for job in list(group):
            scores = job.scores_on("validation", "cd")
            route = RouteJob(scores=(scores.id,), macs=(1,), bound=None, seed=0)
            group += [job.scored_on_test("cd"), job.ending(1), scores, route]  # type: ignore[list-item]
    started = replace(OWN, start_sha256="ef" * 32)
    store.extend("a", [], [started.id], {})
    gone.append(started)
    store.record_results([(job, RESULT) for job in (*kept, *gone)])
    store.record_trial("a", record(job_id=OWN.id), RESULT)
    store.record_trial("b", record(job_id=OTHER.id), RESULT)
    start = f"start-{'ef' * 8}.safetensors"
    names = {
        True: [f"{SHARED.id}.safetensors", f"{OTHER.id}-1-0123.state", f"{kept[4].id}.scores", "start-00.safetensors"],
        False: [f"{OWN.id}.safetensors", f"{OWN.id}-1-0123.state", "pruned-3-0123.state", start],
    }  # fmt: skip
    for name in (*names[True], *names[False]):
        (store.checkpoints / name).write_bytes(b"weights")
    assert remove_search(store, "a") == len(names[False])
    assert {path.name for path in store.checkpoints.iterdir() if not path.name.startswith(".")} == set(names[True])
    assert store.results(job.id for job in (*kept, *gone)).keys() == {job.id for job in kept}
    assert store.search_names() == ["b"]
    assert [trial["job_id"] for trial in store.trials("b")] == [OTHER.id]
    assert store.trials("a") == []
    assert remove_search(store, "a") == 0
    assert store.begin(replace(SEARCH, job_ids=["new"]), *objectives).job_ids == ["new"]


def test_what_began_meanwhile_keeps_its_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search of the same trainings begins between the look at the database and the removal of files."""
    objectives = ["maximize", "minimize"], ["validation accuracy", "macs"]
    store.begin(replace(SEARCH, job_ids=[OWN.id, SHARED.id]), *objectives)
    store.record_results([(OWN, RESULT), (SHARED, RESULT)])
    files = [store.checkpoints / f"{job.id}.safetensors" for job in (OWN, SHARED)]
    for path in files:
        path.write_bytes(b"weights")

    def begin_another(folder: Path, *rest: str) -> list[Path]:
        assert store.results([OWN.id]) == {}, "it makes its results anew"
        store.begin(replace(SEARCH, name="b", job_ids=[OWN.id]), *objectives)
        store.record_results([(OWN, RESULT)])
        return list_files(folder, *rest)

    monkeypatch.setattr("trials.removal.list_files", begin_another)
    assert remove_search(store, "a") == 1
    assert store.results([OWN.id, SHARED.id]).keys() == {OWN.id}
    assert [path.exists() for path in files] == [True, False]
    assert store.search_names() == ["b"]


def test_removal_that_was_killed_is_made_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.begin(replace(SEARCH, job_ids=[OWN.id]), ["maximize", "minimize"], ["validation accuracy", "macs"])
    scores = OWN.scores_on("validation", "cd")
    store.record_results([(OWN, RESULT), (scores, RESULT)])
    path = store.checkpoints / f"{scores.id}.scores"  # known by its result alone
    path.write_bytes(b"scores")
    with monkeypatch.context() as patch:
        patch.setattr("trials.removal.remove_file", interrupt)
        with pytest.raises(KeyboardInterrupt):
            remove_search(store, "a")
    assert store.results([scores.id]) == {}
    assert remove_search(store, "a") == 1
    assert not path.exists()
    assert store.search_names() == []


def interrupt(_: Path) -> None:
    raise KeyboardInterrupt
