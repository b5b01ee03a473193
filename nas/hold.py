"""Holding a search while it runs: nobody else runs it, everybody sees how it goes, and how it ended."""

import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from nas.begin import SearchError, check_same_spec
from nas.progress import Progress, progress_line, progress_step
from nas.spec import Spec
from search_spaces import NasError
from search_spaces.errors import Retry
from trials.database import StoreError
from trials.heartbeat import Heartbeat
from trials.leases import BEATS, LeaseLost, Sight, Watch, lost
from trials.queue import Ending, Queue
from trials.queue_entry import Entry
from trials.store import Store

LOOK_SECONDS = 0.1  # between two looks at a lease that is held


class Held:
    """A search that this process holds: what is told here, everybody sees."""

    def __init__(self, beat: Heartbeat, lease: Sight) -> None:
        self.lease = lease
        self._beat = beat
        self._shown: tuple[str, int] | None = None
        self._last: dict[str, Any] | None = None
        self.begun = False
        self.ending: Ending = "again"
        self.cause = ""

    def say(self, line: str) -> None:
        """A line for `nas logs`."""
        self._beat.say(line)

    def say_fault(self, line: str) -> None:
        """The same of what went wrong and was survived; `nas status` shows the last one."""
        self._beat.say_fault(line)

    def update(self, progress: Progress) -> None:
        """Where the search stands; a line for each tenth."""
        shown = progress.to_json()
        reached = {key: shown[key] for key in ("stage", "done", "total", "pruning")}
        found = self._last is not None and reached != self._last
        self._last = reached
        self._beat.tell(shown, found=found)
        if progress_step(shown) != self._shown:
            self._shown = progress_step(shown)
            self.say(progress_line(shown))

    def finish(self, *, complete: bool, failures: Sequence[str]) -> None:
        """How it ended; `failures` are the jobs without a result, and why, which a complete search has given up."""
        self.ending = "finished" if complete else "again"
        if failures:
            jobs = "1 job failed" if len(failures) == 1 else f"{len(failures)} jobs failed, the last one"
            self.cause = f"{jobs}: {failures[-1]}"


def entry_for(spec: Spec, *, by_hand: bool = False, folder: str = "", priority: int = 0) -> Entry:
    """A search as it enters the queue: waiting, or, where it is run by hand, stopped until it is taken."""
    return Entry(
        number=0,
        name=spec.name,
        spec=spec.model_dump(mode="json", exclude={"storage"}),
        state="stopped" if by_hand else "queued",
        folder=folder,
        needs_code=spec.base.module is not None,
        by_hand=by_hand,
        priority=priority,
    )


@contextmanager
def hold(queue: Queue, taken: Entry, before: Entry | None = None) -> Iterator[Held]:
    """Hold a search that this process has taken to the end of the block, and write down how that ended.

    One that is run by hand and had not begun is left as it was `before` (not there where this is None). Raises
    LeaseLost where the search was lost meanwhile.
    """
    assert taken.lease is not None, "a search that was taken has a lease"
    name, token = taken.name, taken.lease.token
    beat = Heartbeat(queue, taken.lease)
    held = Held(beat, taken.lease)

    def end(how: Ending, cause: str = "", lines: Sequence[str] = ()) -> None:
        with suppress(StoreError):  # the first error is the one to tell
            if taken.by_hand and not held.begun:
                queue.undo(name, token, before)
            else:
                queue.end(name, token, how, cause, lines)

    try:
        with beat:
            yield held
    except LeaseLost:
        raise
    except KeyboardInterrupt:
        if beat.call == "lost":
            raise lost(name) from None
        end("interrupted", lines=["stopped; what is done is kept"])
        raise
    except NasError as error:
        endings: dict[Retry, Ending] = {"never": "failed", "later": "again", "elsewhere": "elsewhere"}
        end(endings[error.retry], f"{error}", [f"error: {error}"])
        raise
    except Exception as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        end("again", cause, "".join(traceback.format_exception(error)).splitlines())
        raise
    if queue.end(name, token, held.ending, held.cause) is None:
        raise lost(name)


@contextmanager
def hold_by_hand(store: Store, queue: Queue, spec: Spec, say: Callable[[str], None]) -> Iterator[Held]:
    """Take a search for this process, and hold it; raises SearchError where another one runs it."""
    check_same_spec(spec, store.find_search(spec.name))
    before, taken = _take(queue, spec, say)
    with hold(queue, taken, before) as held:
        yield held


def _take(queue: Queue, spec: Spec, say: Callable[[str], None]) -> tuple[Entry | None, Entry]:
    """The search as it stood in the queue, and as it was taken; waits until it is known whether a holder lives."""
    watch, first, told = Watch(), dict[str, Sight](), False
    while True:
        before = queue.find(spec.name)
        if before is None:
            queue.enter(entry_for(spec, by_hand=True, folder=os.getcwd()))
        check_same_spec(spec, before)
        if before is None or before.lease is None:
            taken = queue.take(spec.name)
            if taken is not None:
                return before, taken
            continue
        for cause in watch.look([before.lease]).values():
            queue.free(before.lease, cause)
        seen = first.setdefault(before.lease.token, before.lease)
        if seen.beat != before.lease.beat or len(first) > 1:
            raise SearchError(
                f"a search must be run by one process, but another one runs {spec.name!r} now "
                f"({before.lease.holder}); wait for it or stop it"
            )
        if not told and watch.silent_seconds(spec.name) > 2 * seen.lease_seconds / BEATS:
            told = True
            say(f"{seen.holder} runs {spec.name!r} but is silent; after {seen.lease_seconds:g} s it is taken over")
        time.sleep(LOOK_SECONDS)
