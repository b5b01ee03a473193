"""How a run was left decides what becomes of its search."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nas.begin import SearchError
from nas.hold import Held, entry_for, hold, hold_by_hand
from nas.progress import Progress
from nas.spec import Spec
from search_spaces import NasError
from trials.leases import LeaseLost
from trials.queue import Queue
from trials.queue_entry import Entry
from trials.ray_environment import DeviceError, WorkersError
from trials.store import Store


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/nas.db"


@pytest.fixture
def queue(url: str) -> Iterator[Queue]:
    with Queue(url, create=True) as opened:
        yield opened


def taken(queue: Queue, spec: Spec) -> Entry:
    queue.enter(entry_for(spec))
    found = queue.claim()
    assert found is not None
    return found


def fail(held: Held, error: BaseException, *, begun: bool = True) -> None:
    held.begun = begun
    held.update(at(0))
    raise error


def at(done: int) -> Progress:
    return Progress(stage="training", done=done, total=6, best=None, base_accuracy=None, seconds_left=None)


@pytest.mark.parametrize(
    ("error", "state", "attempts"),
    [
        (KeyboardInterrupt(), "queued", 0),
        (NasError("the disk is full"), "failed", 1),
        (WorkersError("Ray must be able to start"), "queued", 1),
        (DeviceError("no GPU"), "queued", 0),
        (RuntimeError("what nobody expected\n\x1b[31m"), "queued", 1),
    ],
)
def test_run_of_a_worker(
    queue: Queue, small: Callable[..., Spec], error: BaseException, state: str, attempts: int
) -> None:
    with pytest.raises(type(error)), hold(queue, taken(queue, small())) as held:
        fail(held, error)
    found = queue.find("small")
    assert found is not None
    assert (found.state, found.attempts) == (state, attempts)
    lines = [line for _, _, line in queue.lines("small")]
    assert lines[0] == "0/6 trained"
    if isinstance(error, KeyboardInterrupt):
        assert lines[1:] == ["stopped; what is done is kept"]
    elif isinstance(error, NasError):
        assert found.cause == str(error)
        assert f"error: {error}" in lines
    else:
        assert found.cause == "RuntimeError: what nobody expected ?[31m"
        assert lines[1] == "Traceback (most recent call last):"


@pytest.mark.parametrize(
    ("complete", "failures", "state", "cause"),
    [
        (True, [], "finished", ""),
        (True, ["train, seed 0: NaN"], "finished", "1 job failed: train, seed 0: NaN"),
        (False, ["a", "b"], "queued", "2 jobs failed, the last one: b"),
    ],
)
def test_run_that_came_to_its_end(
    queue: Queue, small: Callable[..., Spec], complete: bool, failures: list[str], state: str, cause: str
) -> None:
    with hold(queue, taken(queue, small())) as held:
        held.update(at(0))
        held.update(at(6))
        held.finish(complete=complete, failures=failures)
    found = queue.find("small")
    assert found is not None
    assert (found.state, found.cause, found.attempts) == (state, cause, 0)
    assert found.progress == at(6).to_json()


def test_fault_that_was_survived_stays_told(queue: Queue, small: Callable[..., Spec]) -> None:
    with hold(queue, taken(queue, small())) as held:
        held.say_fault("the database answers again")
        held.finish(complete=True, failures=[])
    found = queue.find("small")
    assert found is not None
    assert (found.state, found.cause) == ("finished", "the database answers again")
    assert [line for _, _, line in queue.lines("small")] == ["the database answers again"]


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SearchError("its images have changed")])
def test_what_had_not_begun_leaves_no_trace(
    queue: Queue, url: str, small: Callable[..., Spec], begun: bool, error: BaseException
) -> None:
    with Store(url, create=True) as store:
        for before in (None, "queued"):
            if before is not None:
                queue.enter(entry_for(small(), priority=3))
            was = queue.find("small")
            with pytest.raises(type(error)), hold_by_hand(store, queue, small(), print) as held:
                fail(held, error, begun=begun)
            now = queue.find("small")
            if not begun:
                assert now == was or (now is not None and was is not None and now.state == was.state == "queued")
            else:
                assert now is not None
                assert now.state == ("stopped" if isinstance(error, KeyboardInterrupt) else "failed")
                return


def test_lost_search_is_told_and_left_alone(queue: Queue, small: Callable[..., Spec]) -> None:
    mine = taken(queue, small())
    assert mine.lease is not None
    successors = []
    with pytest.raises(LeaseLost, match="'small' was given to another one or deleted"), hold(queue, mine):
        successors.append(queue.free(mine.lease, "silent") and queue.claim())
    assert queue.find("small") == successors[0]


def test_search_of_another_spec_is_not_taken(queue: Queue, url: str, small: Callable[..., Spec]) -> None:
    queue.enter(entry_for(small(train={"epochs": 3})))
    with (
        Store(url, create=True) as store,
        pytest.raises(SearchError, match=r"must keep its spec, but train\.epochs differs"),
        hold_by_hand(store, queue, small(), print),
    ):
        pytest.fail("it was taken")
    assert queue.find("small").state == "queued"  # type: ignore[union-attr]
