"""What each search is doing, and what will happen next: as data, and as a person sees it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from dashboards import Front, read_front
from nas.progress import progress_line
from nas.show import print_front
from nas.tables import make_table
from trials.database import StoreError
from trials.leases import Watch
from trials.queue import TRIES, Queue
from trials.queue_entry import Entry
from trials.store import Store

WATCH_SECONDS = 2.0
ENDED = ("stopped", "failed", "finished")


@dataclass(frozen=True, kw_only=True)
class Status:
    """A search, how many stand before it in line, for how long its driver was seen silent, its front if asked for."""

    entry: Entry
    ahead: int = 0
    silent_seconds: float = 0.0
    front: Front | None = None

    @property
    def is_silent(self) -> bool:
        """True for a driver that has missed its beats, or has died."""
        lease = self.entry.lease
        return lease is not None and (lease.holder.is_gone or self.silent_seconds > lease.lease_seconds / 2)

    @property
    def following(self) -> str:
        """What will happen next, or what a person can do."""
        entry, name = self.entry, self.entry.name
        if self.is_silent:
            own = f"go on with nas search, or nas resume {name}"
            return f"its driver is silent: {own if entry.by_hand else 'another worker goes on from where it stood'}"
        if entry.state == "queued":
            who = "a worker with --allow-code" if entry.needs_code else "the next free worker"
            after = f", after {self.ahead} other{'s' if self.ahead > 1 else ''}" if self.ahead else ""
            tries = f" (try {entry.attempts + 1} of {TRIES} without a new result)" if entry.attempts else ""
            return f"{who} takes it{after}{tries}"
        return {
            "running": f"goes on to its end; nas stop {name} ends it before",
            "stopping": "ends within seconds; what is done is kept",
            "stopped": f"nas resume {name} puts it back in the queue",
            "failed": f"nas resume {name} tries again what is missing",
            "finished": f"nothing is left to do; nas front {name}",
        }[entry.state]

    def to_json(self) -> dict[str, Any]:
        """The listing of `nas status --json`."""
        entry = self.entry
        times = {key: getattr(entry, key) for key in ("submitted_at", "started_at", "ended_at")}
        holder = entry.holder
        return {
            "name": entry.name,
            "state": entry.state,
            "priority": entry.priority,
            "by_hand": entry.by_hand,
            "attempts": entry.attempts,
            "progress": entry.progress,
            "holder": None if holder is None else {"host": holder.host, "pid": holder.pid},
            "silent": self.is_silent,
            "cause": entry.cause,
            "folder": entry.folder,
            "next": self.following,
            **{key: None if at is None else at.replace(tzinfo=UTC).isoformat() for key, at in times.items()},
            **({} if self.front is None else {"front": self.front.to_json()}),
        }


def read_statuses(queue: Queue, watch: Watch) -> list[Status]:
    """Of all searches, the first in line first; `watch` sees more the longer it is used."""
    entries = queue.entries()
    watch.look([entry.lease for entry in entries if entry.lease is not None])
    waiting = [entry.name for entry in entries if entry.state == "queued"]
    return [
        Status(
            entry=entry,
            ahead=waiting.index(entry.name) if entry.state == "queued" else 0,
            silent_seconds=watch.silent_seconds(entry.name),
        )
        for entry in entries
    ]


def read_status(url: str, queue: Queue, name: str, watch: Watch) -> Status:
    """Of one search, with its front as far as it has come; raises StoreError, naming others, where there is none."""
    found = next((one for one in read_statuses(queue, watch) if one.entry.name == name), None)
    if found is None:
        names = ", ".join(entry.name for entry in queue.entries()[:5])
        known = f"it holds {names}" if names else "it holds none yet"
        raise StoreError(f"a search must be in {queue.shown}, but {name!r} is not; {known}")
    if not queue.has_begun(name):
        return found
    with Store(url) as store:
        return Status(
            entry=found.entry,
            ahead=found.ahead,
            silent_seconds=found.silent_seconds,
            front=read_front(store, name),
        )


def print_status(console: Console, status: Status) -> None:
    """A few lines, and the front where it was read."""
    entry = status.entry
    progress = "" if entry.progress is None or entry.state == "finished" else f": {progress_line(entry.progress)}"
    lines = [f"{entry.name} is {entry.state}{progress}"]
    if entry.holder is not None:
        lines.append(f"  run by {entry.holder}, since {_shown(entry.started_at)}")
    elif entry.ended_at is not None:
        lines.append(f"  last run from {_shown(entry.started_at)} to {_shown(entry.ended_at)}")
    elif entry.submitted_at is not None:
        lines.append(f"  submitted {_shown(entry.submitted_at)}, priority {entry.priority}")
    if entry.cause:
        lines.append(f"  last fault: {entry.cause}")
    if entry.folder:
        lines.append(f"  paths are those of {entry.folder}")
    lines.append(f"  next: {status.following}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if status.front is not None and (status.front.trained or status.front.failed):
        console.print()
        print_front(console, status.front)


def print_list(console: Console, statuses: Sequence[Status]) -> None:
    """One row a search."""
    table = make_table("name", "state", "priority", "done", "run by", "submitted", left=("name", "state", "run by"))
    for status in statuses:
        entry, progress = status.entry, status.entry.progress
        table.add_row(
            entry.name,
            f"{entry.state}{', silent' if status.is_silent else ''}",
            str(entry.priority),
            "" if progress is None else f"{progress['done']}/{progress['total']}",
            "" if entry.holder is None else str(entry.holder),
            _shown(entry.submitted_at),
        )
    console.print(table)


def watch_status(console: Console, url: str, queue: Queue, name: str | None) -> None:
    """Show it again and again, until the search has ended, or for ever where none is named."""
    watch = Watch()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            statuses = [read_status(url, queue, name, watch)] if name else read_statuses(queue, watch)
            with console.capture() as captured:
                for status in statuses:
                    print_status(console, status)
            live.update(Text.from_ansi(captured.get()), refresh=True)
            if name and statuses[0].entry.state in ENDED:
                return
            time.sleep(WATCH_SECONDS)


def _shown(at: datetime | None) -> str:
    """In the time zone of the person."""
    return "" if at is None else at.replace(tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
