"""Stopping, resuming and deleting searches, and following what their drivers say."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC

from search_spaces import NasError
from trials.heartbeat import Heartbeat
from trials.leases import Watch, lost
from trials.queue import Queue
from trials.queue_entry import Entry
from trials.queue_schema import State
from trials.removal import remove_search
from trials.store import Store

LOOK_SECONDS = 0.5
FOLLOWED = ("queued", "running", "stopping")


class ControlError(NasError):
    """What a search's state does not allow."""


def find_entry(queue: Queue, name: str) -> Entry:
    """The search of this name; raises ControlError, with other names, where there is none."""
    entries = queue.entries()
    for entry in entries:
        if entry.name == name:
            return entry
    others = ", ".join(entry.name for entry in entries[:5]) or "none"
    raise ControlError(f"a search must be in {queue.shown}, but {name!r} is not; there is {others}")


def stop(queue: Queue, name: str, say: Callable[[str], None]) -> State:
    """Have a search end, and wait until it has; the state it ends in. Its driver may be dead: then it is freed here."""
    before = find_entry(queue, name).state
    state = queue.ask_to_stop(name) or before
    watch = Watch()
    if state == "stopping":
        say(f"{name}: its driver ends now, what is done is kept; this waits for it (Ctrl-C does not change that)")
    while state == "stopping":
        lease = next((one for one in queue.leases() if one.name == name), None)
        if lease is None:
            state = find_entry(queue, name).state
            continue
        for cause in watch.look([lease]).values():
            queue.free(lease, cause)
        time.sleep(LOOK_SECONDS)
        state = find_entry(queue, name).state
    return state


def resume(queue: Queue, name: str) -> None:
    """Put a stopped or failed search back in line; raises ControlError for any other."""
    entry = find_entry(queue, name)
    if not entry.number and entry.state == "stopped":  # begun before there was a queue
        queue.enter(entry)
    if entry.lease is not None and entry.lease.holder.is_gone:
        queue.free(entry.lease, f"its driver, {entry.lease.holder}, has died")
    state = queue.put_back(name) or entry.state
    why = {
        "queued": "the next free worker takes it",
        "running": "nothing is to be done",
        "stopping": "wait until it has stopped",
        "finished": f"see nas front {name}",
    }
    if state in why:
        raise ControlError(f"only a stopped or failed search can be resumed, but {name!r} is {state}; {why[state]}")


def check_deletable(entry: Entry) -> None:
    """Raises ControlError for a search that has a driver."""
    if entry.lease is not None:
        raise ControlError(
            f"a search must have stopped before it is deleted, but {entry.name!r} is run by {entry.lease.holder}; "
            f"nas stop {entry.name}"
        )


def delete(url: str, queue: Queue, name: str) -> int:
    """Remove a search with its study, its results and the files that no other search needs; how many files.

    Nobody can run it meanwhile; where this is interrupted, it can be done again.
    """
    entry = find_entry(queue, name)
    if not entry.number:
        queue.enter(entry)
    taken = queue.take(name)
    if taken is None or taken.lease is None:
        check_deletable(find_entry(queue, name))
        raise ControlError(f"{name!r} must not be in use, but another process took it just now; try again")
    try:
        with Heartbeat(queue, taken.lease), Store(url, create=True) as store:
            removed = remove_search(store, name)
    except BaseException:
        queue.end(name, taken.lease.token, "failed", "it is deleted in part; nas delete removes the rest")
        raise
    if not queue.remove(name, taken.lease.token):
        raise lost(name)
    return removed


def follow(queue: Queue, name: str, *, forever: bool) -> Iterator[str]:
    """Lines that the drivers of a search said, with their times; `forever` waits for more until it has ended."""
    last = 0
    while True:
        state = find_entry(queue, name).state  # before the lines: what is said last is said before the end
        for id_, at, line in queue.lines(name, after=last):
            last = id_
            yield f"{at.replace(tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S} {line}"
        if not forever or state not in FOLLOWED:
            return
        time.sleep(LOOK_SECONDS)


def check_idle(storage: str) -> None:
    """Raises ControlError where a search of the database may be running."""
    with Queue(storage) as queue:
        held = [lease for lease in queue.leases() if not lease.holder.is_gone]
    if held:
        raise ControlError(
            f"no search of {queue.shown} must run meanwhile, but {held[0].name!r} does ({held[0].holder}); nas stop it"
        )
