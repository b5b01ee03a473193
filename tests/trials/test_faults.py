"""Databases that go away, answers that are lost, disks that are full: nothing is lost, nothing is kept twice."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.cutting_proxy import run_proxy
from tests.postgres import Server, run_server
from tests.small_disk import fill, small_disk
from tests.trials.queue_processes import ENTRY
from tests.trials.test_job import make_job
from tests.trials.test_store import RESULT, SEARCH, record
from trials.job import JobFailure
from trials.leases import fence
from trials.queue import Queue
from trials.store import Store, StoreError


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that may be stopped."""
    with run_server() as running:
        yield running


def begin(store: Store) -> None:
    store.begin(SEARCH, ["maximize", "minimize"], ["validation accuracy", "macs"])


def test_server_that_is_killed_and_comes_back(server: Server) -> None:
    said: list[str] = []
    url = server.make_database()
    with Store(url, create=True, say=said.append) as store, Store(url) as reader:
        begin(store)
        server.stop("immediate")
        with pytest.raises(StoreError, match=r"must answer, but: .*; see that it runs and takes you"):
            reader.search_names()
        back = threading.Timer(1.0, server.start)
        back.start()
        job = make_job()
        store.record_results([(job, RESULT)])
        back.join()
        assert store.results([job.id]) == {job.id: RESULT}
        server.stop("fast")
        back = threading.Timer(1.0, server.start)
        back.start()
        store.record_trial("a", record(job_id=job.id), RESULT)
        back.join()
        server.stop("fast")  # a connection of the pool that the server closed while nothing was asked
        server.start()
        assert [trial["job_id"] for trial in store.trials("a")] == [job.id]
        assert reader.search_names() == ["a"]
    assert "trying again for 300 s" in said[0]
    assert [line.partition(",")[0] for line in said].count("the database answers again") == 2


def test_server_that_stays_away(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_WAIT_SECONDS", "1")
    with Store(server.make_database(), create=True) as store:
        begin(store)
        server.stop("immediate")
        started = time.monotonic()
        with pytest.raises(StoreError, match=r"must answer, but: .*Connection refused"):
            store.set_finished("a", True)
        assert 1 <= time.monotonic() - started < 10
        server.start()
        store.set_finished("a", True)


def test_commits_whose_answer_was_lost(server: Server) -> None:
    """Each is done by the server and made again by us: all of them come out once."""
    url = server.make_database()
    said: list[str] = []
    with run_proxy(server.port) as proxy:
        through = url.replace(f":{server.port}/", f":{proxy.port}/")
        with Store(through, create=True, say=said.append) as store:
            begin(store)
            job = make_job()

            def cut() -> None:
                proxy.cut_after = b"COMMIT"

            cut()
            store.record_results([(job, RESULT)])
            cut()
            store.record_trial("a", record(job_id=job.id), RESULT)
            for _ in range(2):  # a job may fail twice: these are two trials, though all but the time is the same
                cut()
                store.record_trial("a", record(job_id="k"), JobFailure(message="the worker process died"))
            cut()
            store.extend("a", [{"n": 2}], ["k"], {"y": 3})
            cut()
            store.set_finished("a", True)
            cut()
            store.begin(replace(SEARCH, name="b"), ["maximize"], ["accuracy"])
        assert proxy.cuts == 7
    assert len(said) == 2 * 7
    with Store(url) as store:
        assert store.results([job.id]) == {job.id: RESULT}
        assert [trial["job_id"] for trial in store.trials("a")] == [job.id, "k", "k"]
        found = store.search("a")
        assert (found.networks, found.job_ids, found.data) == ([{"n": 1}, {"n": 2}], ["j", "k"], {"y": 3})
        assert found.finished
        assert store.search_names() == ["b", "a"]
        with store.engines[0].connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM trials")) == 3
            assert connection.scalar(text("SELECT count(*) FROM studies")) == 2


@pytest.mark.parametrize("sent", ["INSERT INTO trials ", "INSERT INTO nas_jobs", "UPDATE nas_queue"])
def test_line_cut_inside_a_transaction_of_a_lease(server: Server, sent: str) -> None:
    url = server.make_database()
    said: list[str] = []
    with run_proxy(server.port) as proxy, Queue(url, create=True) as queue:
        queue.enter(ENTRY)
        taken = queue.claim()
        assert taken is not None
        assert taken.lease is not None
        with Store(url.replace(f":{server.port}/", f":{proxy.port}/"), create=True, say=said.append) as store:
            begin(store)
            fence(store.engines, "a", taken.lease.token)
            proxy.cut_after = sent.encode()
            job = make_job()
            store.record_results([(job, RESULT)])
            store.record_trial("a", record(job_id=job.id), RESULT)
            assert store.results([job.id]) == {job.id: RESULT}
            assert [trial["job_id"] for trial in store.trials("a")] == [job.id]
        assert proxy.cuts == 1
    assert len(said) == 2


def test_full_disk_is_waited_for(tmp_path: Path) -> None:
    """Until somebody who is told of it makes room."""
    said: list[str] = []
    with small_disk(tmp_path / "disk", 2048) as disk:

        def make_room(line: str) -> None:
            said.append(line)
            (disk / "filler").unlink(missing_ok=True)

        url = f"sqlite:///{disk}/nas.db"
        with Store(url, create=True, say=make_room) as store:
            begin(store)
            jobs = [replace(make_job(), seed=seed) for seed in range(80)]
            store.record_results([(jobs[0], RESULT)])
            assert fill(disk) == disk / "filler"
            store.record_results([(job, RESULT) for job in jobs])
            store.record_trial("a", record(), RESULT)
        with Store(url) as store:
            assert len(store.results(job.id for job in jobs)) == len(jobs)
            assert len(store.trials("a")) == 1
    assert "nas.db needs space, but the disk is full; free some" in said[0]
    assert said[-1].startswith("the database answers again, after this: database ")


def test_disk_that_stays_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_WAIT_SECONDS", "0.2")
    with small_disk(tmp_path / "disk", 2048) as disk:
        url = f"sqlite:///{disk}/nas.db"
        jobs = [replace(make_job(), seed=seed) for seed in range(80)]
        with Store(url, create=True) as store:
            begin(store)
            store.record_results([(jobs[0], RESULT)])
            filler = fill(disk)
            with pytest.raises(StoreError, match="needs space, but the disk is full; free some and run the same"):
                store.record_results([(job, RESULT) for job in jobs[1:]])
        filler.unlink()
        with Store(url, create=True) as store:
            assert set(store.results(job.id for job in jobs)) == {jobs[0].id}
            store.record_results([(job, RESULT) for job in jobs])
            assert len(store.results(job.id for job in jobs)) == len(jobs)


def test_names_do_not_go_by_the_clock(url: str) -> None:
    with Store(url, create=True) as store:
        for name in ("a", "b", "c"):
            store.begin(replace(SEARCH, name=name), ["maximize", "minimize"], ["validation accuracy", "macs"])
        with store.engines[0].begin() as connection:  # the clock was set back before b, and forward before c
            connection.execute(text("UPDATE nas_searches SET created_at = '1999-01-01 00:00:00' WHERE name <> 'a'"))
        assert store.search_names() == ["c", "b", "a"]
