"""The heartbeat on a real database: it keeps the lease, and ends its block where the search must end."""

import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trials.queue_processes import ENTRY
from trials import database
from trials.heartbeat import Heartbeat
from trials.leases import Sight
from trials.queue import Queue


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    with Queue(f"sqlite:///{tmp_path}/nas.db", create=True) as opened:
        opened.enter(ENTRY)
        yield opened


@pytest.fixture(autouse=True)
def _heeds_interrupts() -> Iterator[None]:
    """Also where the tests run in the background of a shell, which ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("ignored", [False, True])
def test_a_background_job_is_interrupted_by_sigterm(queue: Queue, lease: Sight, ignored: bool) -> None:
    """`nas search` heeds it; a shell has such a job ignore Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    if ignored:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), Heartbeat(queue, lease) as heartbeat:
            stop(queue)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heartbeat.call == "stop"


@pytest.fixture
def lease(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Sight:
    monkeypatch.setenv("NAS_LEASE_SECONDS", "1")
    taken = queue.claim()
    assert taken is not None
    assert taken.lease is not None
    return taken.lease


def beat_of(queue: Queue) -> int:
    found = queue.find("a")
    assert found is not None
    return -1 if found.lease is None else found.lease.beat


def stop(queue: Queue) -> None:
    queue.ask_to_stop("a")
    time.sleep(60)
    pytest.fail("the block was not ended")


def lose(queue: Queue, lease: Sight) -> None:
    while beat_of(queue) >= 0:
        queue.free(replace(lease, beat=beat_of(queue)), "silent")
    time.sleep(60)
    pytest.fail("the block was not ended")


def test_beats_and_tells(queue: Queue, lease: Sight) -> None:
    with Heartbeat(queue, lease) as heartbeat:
        heartbeat.say("first")
        while beat_of(queue) < lease.beat + 3:
            time.sleep(0.02)
        heartbeat.tell({"done": 2}, found=True)
        heartbeat.say_fault("a worker died")
        heartbeat.say("last")
    found = queue.find("a")
    assert found is not None
    assert (found.progress, found.attempts, heartbeat.call) == ({"done": 2}, 0, None)
    assert [line for _, _, line in queue.lines("a")] == ["first", "a worker died", "last"]
    assert found.cause == "a worker died"
    after = beat_of(queue)
    time.sleep(0.3)
    assert beat_of(queue) == after


def test_search_that_should_stop_is_interrupted(queue: Queue, lease: Sight) -> None:
    with pytest.raises(KeyboardInterrupt), Heartbeat(queue, lease) as heartbeat:
        stop(queue)
    assert heartbeat.call == "stop"


def test_search_that_was_lost_is_interrupted(queue: Queue, lease: Sight) -> None:
    with pytest.raises(KeyboardInterrupt), Heartbeat(queue, lease) as heartbeat:
        lose(queue, lease)
    assert heartbeat.call == "lost"


def test_outside_of_the_main_thread_nothing_is_interrupted(queue: Queue, lease: Sight) -> None:
    calls: list[object] = []

    def run() -> None:
        with Heartbeat(queue, lease) as heartbeat:
            queue.ask_to_stop("a")
            while heartbeat.call is None:
                time.sleep(0.02)
            calls.append(heartbeat.call)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert calls == ["stop"]


def test_database_that_is_away_for_a_while(
    queue: Queue, lease: Sight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.1)
    with Queue(f"sqlite:///{tmp_path}/nas.db", create=True) as impatient:
        other = sqlite3.connect(tmp_path / "nas.db", timeout=10)
        with Heartbeat(impatient, lease) as heartbeat:
            other.execute("BEGIN EXCLUSIVE")
            heartbeat.say("meanwhile")
            heartbeat.tell({"done": 1}, found=True)
            time.sleep(0.6)
            other.rollback()
            before = beat_of(queue)
            while beat_of(queue) < before + 2:
                time.sleep(0.02)
            assert heartbeat.call is None
        other.close()
    assert [line for _, _, line in queue.lines("a")] == ["meanwhile"]
    assert queue.find("a").attempts == 0  # type: ignore[union-attr]
