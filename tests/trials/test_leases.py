"""Leases on real databases and real processes: who holds, who is gone, and that a holder of before writes nothing."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, update

from search_spaces import NasError
from tests.trials.test_job import make_job
from tests.trials.test_store import RESULT, SEARCH, record
from trials.leases import Holder, LeaseLost, Sight, Watch, fence, lease_seconds, this_process
from trials.queue import Queue
from trials.queue_entry import Entry
from trials.queue_schema import QueueRow
from trials.store import Store

ENTRY = Entry(number=0, name="a", spec={}, state="queued")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/nas.db"


@pytest.fixture
def queue(url: str) -> Iterator[Queue]:
    with Queue(url, create=True) as opened:
        opened.enter(ENTRY)
        yield opened


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The watcher's monotonic clock, as the test sets it."""
    now = [1000.0]
    monkeypatch.setattr("trials.leases.time.monotonic", lambda: now[0])
    return now


def sight(beat: int = 0, token: str = "t", holder: Holder | None = None) -> Sight:
    far = Holder(host="far", machine="other", pid=1, process_start="5")
    return Sight(name="a", token=token, beat=beat, lease_seconds=30.0, holder=holder or far)


def test_holder_that_beats_is_left_alone(clock: list[float]) -> None:
    watch = Watch()
    for beat in range(100):
        assert watch.look([sight(beat)]) == {}
        clock[0] += 9.9


def test_holder_that_is_silent_loses_the_search(clock: list[float]) -> None:
    watch = Watch()
    for seconds in range(30):
        assert watch.look([sight()]) == {}, seconds
        clock[0] += 1.0
    assert watch.look([sight()]) == {"a": "its driver, pid 1 on far, was silent for 30 s"}


def test_successor_is_not_taken_for_the_silent_one(clock: list[float]) -> None:
    watch = Watch()
    for _ in range(29):
        watch.look([sight()])
        clock[0] += 1.0
    assert watch.look([sight(token="new")]) == {}
    clock[0] += 2.0
    assert watch.look([sight(token="new")]) == {}
    assert watch.silent_seconds("a") == 2.0


def test_time_in_which_nobody_looked_hardly_counts(clock: list[float]) -> None:
    """The database was away, or the watcher stopped: the holder could not be heard."""
    watch = Watch()
    watch.look([sight()])
    clock[0] += 3600.0
    assert watch.look([sight()]) == {}
    clock[0] += 1.0
    assert watch.look([sight(beat=1)]) == {}


def test_process_that_has_ended_is_gone_at_once() -> None:
    script = "from trials.leases import this_process as t; print(t().machine, t().process_start, flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert process.stdout is not None
    machine, start = process.stdout.readline().split()
    holder = Holder(host="here", machine=machine, pid=process.pid, process_start=start)
    assert not holder.is_gone
    assert replace(holder, process_start=f"{int(start) - 1}").is_gone, "another process had this number before"
    assert not replace(holder, machine="another boot", pid=2**30).is_gone, "nothing is known of other machines"
    process.kill()
    process.communicate()
    assert holder.is_gone
    assert Watch().look([sight(holder=holder)]) == {"a": f"its driver, pid {process.pid} on here, has died"}
    assert not this_process().is_gone


@pytest.mark.parametrize("bad", ["0.5", "3601", "nan", "ten"])
def test_seconds_of_a_lease(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lease_seconds() == 30.0
    monkeypatch.setenv("NAS_LEASE_SECONDS", bad)
    with pytest.raises(NasError, match=f"must be a number from 1 to 3600, but is '{bad}'"):
        lease_seconds()


WRITES: dict[str, Callable[[Store], object]] = {
    "results": lambda store: store.record_results([(make_job(), RESULT)]),
    "trial": lambda store: store.record_trial("a", record(), RESULT),
    "networks": lambda store: store.extend("a", [{"n": 2}], [f"k{len(store.search('a').job_ids)}"], {}),
    "end": lambda store: store.set_finished("a", True),
    "begin": lambda store: store.begin(replace(SEARCH, name=f"b{len(store.search_names())}"), ["maximize"], ["x"]),
}


@pytest.mark.parametrize("write", WRITES)
def test_every_write_of_a_driver_needs_its_lease(write: str, url: str, queue: Queue) -> None:
    objectives = ["maximize", "minimize"], ["validation accuracy", "macs"]
    with Store(url, create=True) as store:
        store.begin(SEARCH, *objectives)
        taken = queue.claim()
        assert taken is not None
        assert taken.lease is not None
        fence(store.engines, "a", taken.lease.token)
        WRITES[write](store)
        assert queue.free(queue.find("a").lease, "silent") == "queued"  # type: ignore[union-attr, arg-type]
        successor = queue.claim()
        assert successor is not None
        before = dump(store)
        with pytest.raises(LeaseLost, match="'a' was given to another one or deleted while this one was silent"):
            WRITES[write](store)
        assert dump(store) == before
        assert store.search("a").name == "a", "it may read"
        assert queue.find("a") == successor
        with Store(url, create=True) as other:  # the successor writes
            assert successor.lease is not None
            fence(other.engines, "a", successor.lease.token)
            WRITES[write](other)


def dump(store: Store) -> list[str]:
    """Every row of the database."""
    with store.engines[0].connect() as connection:
        return list(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]


def test_deleted_search_takes_no_writes(url: str, queue: Queue) -> None:
    with Store(url, create=True) as store:
        taken = queue.claim()
        assert taken is not None
        assert taken.lease is not None
        fence(store.engines, "a", taken.lease.token)
        assert queue.remove("a", taken.lease.token)
        with pytest.raises(LeaseLost):
            store.begin(SEARCH, ["maximize"], ["accuracy"])
        assert store.find_search("a") is None


@pytest.mark.parametrize("year", [1971, 9000])
def test_clocks_that_jump_change_nothing(year: int, url: str, queue: Queue) -> None:
    """Nothing is decided by a time of day: neither the order, nor whether a holder lives."""
    queue.enter(replace(ENTRY, name="second"))
    queue.enter(replace(ENTRY, name="third"))
    wrong = datetime(year, 1, 1)
    engine = create_engine(url)
    with engine.begin() as connection:
        times = update(QueueRow).values(submitted_at=wrong, started_at=wrong, ended_at=wrong)
        connection.execute(times.where(QueueRow.name != "second"))
    engine.dispose()
    taken = [queue.claim() for _ in range(3)]
    assert [entry and entry.name for entry in taken] == ["a", "second", "third"]
    watch = Watch()
    for _ in range(3):
        held = [entry.lease for entry in queue.entries() if entry.lease is not None]
        assert len(held) == 3
        assert watch.look(held) == {}
