"""The queue on a real database: its states, its limits, and many processes at once."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import get_args

import pytest

from tests.trials.queue_processes import ENTRY, SEARCHES, submit_and_take, take_and_die
from trials.leases import Watch
from trials.queue import TRIES, Ending, Queue
from trials.queue_log import KEPT_LINES, LINE_LENGTH
from trials.queue_schema import State
from trials.store import Store, StoredSearch, StoreError


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/nas.db"


@pytest.fixture
def queue(url: str) -> Iterator[Queue]:
    with Queue(url, create=True) as opened:
        yield opened


def take(queue: Queue, name: str = "a") -> str:
    """The token of a search that is taken as a worker does."""
    taken = queue.claim(skip={entry.name for entry in queue.entries()} - {name})
    assert taken is not None
    assert taken.lease is not None
    return taken.lease.token


def state(queue: Queue, name: str = "a") -> State | None:
    found = queue.find(name)
    if found is not None:
        assert (found.lease is not None) == (found.state in ("running", "stopping")), "the states that have a holder"
    return None if found is None else found.state


def test_first_in_line(queue: Queue) -> None:
    for name, priority in (("low", -1), ("first", 0), ("second", 0), ("high", 7)):
        assert queue.enter(replace(ENTRY, name=name, priority=priority))
    assert not queue.enter(replace(ENTRY, name="low", priority=9)), "a name stands once"
    assert [entry.name for entry in queue.entries()] == ["high", "first", "second", "low"]
    queue.change(replace(ENTRY, name="second", spec={"x": 2}, priority=8, folder="/there"))
    taken = [queue.claim() for _ in range(5)]
    assert [entry and entry.name for entry in taken] == ["second", "high", "first", "low", None]
    assert taken[0] is not None
    assert (taken[0].spec, taken[0].state, taken[0].attempts) == ({"x": 2}, "running", 1)
    assert taken[0].folder == "/there"
    assert taken[0].holder is not None
    assert taken[0].holder.pid == os.getpid()


def test_code_runs_only_where_it_may(queue: Queue) -> None:
    queue.enter(replace(ENTRY, needs_code=True))
    assert queue.claim() is None
    assert queue.claim(skip=["a"], code=True) is None
    assert queue.claim(code=True) is not None


@pytest.mark.parametrize(
    ("how", "by_worker", "asked_to_stop", "by_hand"),
    [
        ("finished", "finished", "finished", "finished"),
        ("failed", "failed", "failed", "failed"),
        ("elsewhere", "queued", "stopped", "failed"),
        ("again", "queued", "stopped", "failed"),
        ("interrupted", "queued", "stopped", "stopped"),
    ],
)
def test_how_a_run_ends(queue: Queue, how: Ending, by_worker: State, asked_to_stop: State, by_hand: State) -> None:
    assert how in get_args(Ending)
    for name in ("worker", "stop", "hand"):
        queue.enter(replace(ENTRY, name=name))
    tokens = {name: take(queue, name) for name in ("worker", "stop")}
    taken = queue.take("hand")
    assert taken is not None
    assert taken.lease is not None
    assert taken.by_hand
    assert queue.ask_to_stop("stop") == "stopping"
    for name, token, then in (
        ("worker", tokens["worker"], by_worker),
        ("stop", tokens["stop"], asked_to_stop),
        ("hand", taken.lease.token, by_hand),
    ):
        assert queue.end(name, "not the token", how) is None
        assert queue.end(name, token, how, "what was said") == then == state(queue, name)
        assert queue.end(name, token, how) is None, "a run ends once"
        found = queue.find(name)
        assert found is not None
        assert found.cause == "what was said"
        assert found.ended_at is not None


def test_search_that_kills_its_driver_is_given_up(queue: Queue) -> None:
    queue.enter(ENTRY)
    for tries in range(1, TRIES + 1):
        take(queue)
        found = queue.find("a")
        assert found is not None
        assert found.lease is not None
        assert found.attempts == tries
        ended = queue.free(found.lease, "its driver has died")
        assert ended == ("failed" if tries == TRIES else "queued")
    found = queue.find("a")
    assert found is not None
    assert found.cause == "its driver has died; given up after 3 tries without a new result"
    assert queue.claim() is None
    assert [line for _, _, line in queue.lines("a")] == [*["its driver has died"] * TRIES, found.cause]
    assert queue.put_back("a") == "failed"
    assert take(queue)
    assert queue.find("a").attempts == 1  # type: ignore[union-attr]


def test_only_tries_without_a_result_count(queue: Queue) -> None:
    queue.enter(ENTRY)
    for _ in range(3 * TRIES):
        token = take(queue)
        assert queue.beat("a", token, {"done": 1}, [], found=True) == "running"
        assert queue.end("a", token, "again", "the worker died") == "queued"
    for _ in range(3 * TRIES):
        assert queue.end("a", take(queue), "interrupted") == "queued", "nor do those that were stopped"
    assert queue.find("a").progress == {"done": 1}  # type: ignore[union-attr]


def test_holder_that_beats_meanwhile_is_not_freed(queue: Queue) -> None:
    queue.enter(ENTRY)
    token = take(queue)
    seen = queue.find("a")
    assert seen is not None
    assert seen.lease is not None
    assert queue.beat("a", token, None, [], found=False) == "running"
    assert queue.free(seen.lease, "silent") is None
    assert state(queue) == "running"
    assert queue.beat("a", "another token", None, ["x"], found=True) is None
    assert queue.lines("a") == []


def test_stop_and_resume(queue: Queue) -> None:
    assert queue.ask_to_stop("a") is None
    assert queue.put_back("a") is None
    queue.enter(ENTRY)
    assert queue.put_back("a") == "queued"
    assert queue.ask_to_stop("a") == "stopped"
    assert queue.claim() is None
    assert queue.ask_to_stop("a") == "stopped"
    assert queue.put_back("a") == "stopped"
    token = take(queue)
    assert queue.put_back("a") == "running"
    assert queue.ask_to_stop("a") == queue.ask_to_stop("a") == "stopping"
    assert queue.beat("a", token, None, [], found=False) == "stopping"
    assert queue.end("a", token, "interrupted") == "stopped"
    taken = queue.take("a")
    assert taken is not None
    assert taken.lease is not None
    assert queue.end("a", taken.lease.token, "finished") == "finished"
    assert queue.put_back("a") == "finished" == state(queue)


def test_worker_hands_its_lease_to_the_driver(queue: Queue) -> None:
    queue.enter(ENTRY)
    token = take(queue)
    assert queue.adopt("a", "another") is None
    adopted = queue.adopt("a", token)
    assert adopted is not None
    assert adopted.lease is not None
    assert adopted.lease.token == token


def test_taken_and_given_back_as_it_was(queue: Queue) -> None:
    queue.enter(ENTRY)
    before = queue.find("a")
    taken = queue.take("a")
    assert before is not None
    assert taken is not None
    assert taken.lease is not None
    assert queue.take("a") is None
    queue.undo("a", taken.lease.token, before)
    after = queue.find("a")
    assert after is not None
    assert replace(after, lease=None) == before
    again = queue.take("a")
    assert again is not None
    assert again.lease is not None
    assert queue.ask_to_stop("a") == "stopping"
    queue.undo("a", again.lease.token, before)
    assert state(queue) == "stopped", "what somebody asked for stands"
    queue.enter(replace(ENTRY, name="new", state="stopped"))
    new = queue.take("new")
    assert new is not None
    assert new.lease is not None
    queue.undo("new", new.lease.token, None)
    assert queue.find("new") is None


def test_what_was_said_is_bounded_and_printable(queue: Queue) -> None:
    for name in ("a", "b"):
        queue.enter(replace(ENTRY, name=name))
        token = take(queue, name)
        queue.beat(name, token, None, [f"line {number}" for number in range(KEPT_LINES)], found=False)
        queue.beat(name, token, None, ["\x1b[31mred", "x" * 10_000], found=False)
    lines = queue.lines("a")
    assert len(lines) == KEPT_LINES
    assert [line for _, _, line in lines[-3:]] == [f"line {KEPT_LINES - 1}", "?[31mred", "x" * LINE_LENGTH]
    assert [line for _, _, line in queue.lines("a", after=lines[-2][0])] == ["x" * LINE_LENGTH]
    assert queue.lines("a", most=2) == lines[-2:]
    assert queue.remove("a", "not the token") is False
    taken = queue.find("a")
    assert taken is not None
    assert taken.lease is not None
    assert queue.remove("a", taken.lease.token)
    assert queue.lines("a") == []
    assert len(queue.lines("b")) == KEPT_LINES
    assert queue.find("a") is None


def test_searches_from_before_there_was_a_queue(url: str, tmp_path: Path) -> None:
    with Store(url, create=True) as store:
        for name in ("old", "older"):
            begun = StoredSearch(name=name, spec={"x": 1}, networks=[], job_ids=[], data={}, versions={})
            store.begin(begun, ["maximize"], ["accuracy"])
        store.set_finished("older", True)
    with Queue(url) as queue:
        assert [(entry.name, entry.state) for entry in queue.entries()] == [("old", "stopped"), ("older", "finished")]
        assert queue.find("old") is None
        assert queue.lines("old") == []


def test_reading_makes_no_file(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is none; run a search, or use --storage"):
        Queue(url)
    assert list(tmp_path.iterdir()) == []
    with Queue(url, create=True):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"nas.db", "nas.db-checkpoints"}


def test_8_processes_submit_and_take_200_searches(url: str, tmp_path: Path) -> None:
    context = get_context("spawn")
    folder = tmp_path / "runs"
    folder.mkdir()
    processes = [context.Process(target=submit_and_take, args=(url, number, folder)) for number in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 8
    runs = {path.stem: path.read_text().split() for path in folder.iterdir()}
    assert len(runs) == 8 * SEARCHES, "none is lost"
    assert Counter(len(takers) for takers in runs.values()) == {1: 8 * SEARCHES}, "none is run twice"
    assert len({taker for takers in runs.values() for taker in takers}) > 1
    with Queue(url) as queue:
        entries = queue.entries()
        assert Counter(entry.state for entry in entries) == {"finished": 8 * SEARCHES}, "none is stuck"
        assert all(len(queue.lines(entry.name)) == 1 for entry in entries[::20])


def test_killed_taker_is_noticed(url: str, queue: Queue) -> None:
    queue.enter(ENTRY)
    process = get_context("spawn").Process(target=take_and_die, args=(url,))
    process.start()
    process.join(60)
    found = queue.find("a")
    assert found is not None
    assert found.lease is not None
    ended = Watch().look([found.lease])
    assert list(ended) == ["a"]
    assert queue.free(found.lease, ended["a"]) == "queued"
    assert queue.free(found.lease, ended["a"]) is None
    assert take(queue)
