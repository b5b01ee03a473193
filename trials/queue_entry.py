"""A search as the queue shows it to others."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trials.leases import Holder, Sight, lease_seconds
from trials.queue_schema import QueueRow, State


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A search as the queue knows it; the fields are those of `QueueRow`. Times are UTC, and for people alone."""

    number: int
    name: str
    spec: dict[str, Any]
    state: State
    folder: str = ""
    needs_code: bool = False
    by_hand: bool = False
    priority: int = 0
    attempts: int = 0
    cause: str = ""
    progress: dict[str, Any] | None = None
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    lease: Sight | None = None

    @property
    def holder(self) -> Holder | None:
        """Who runs it."""
        return None if self.lease is None else self.lease.holder


def entry_of(row: QueueRow) -> Entry:
    """The entry of a row."""
    holder = Holder(host=row.host, machine=row.machine, pid=row.pid, process_start=row.process_start)
    lease = Sight(name=row.name, token=row.token, beat=row.beat, lease_seconds=row.lease_seconds, holder=holder)
    return Entry(
        number=row.number,
        name=row.name,
        spec=row.spec,
        state=state_of(row),
        folder=row.folder,
        needs_code=row.needs_code,
        by_hand=row.by_hand,
        priority=row.priority,
        attempts=row.attempts,
        cause=row.cause,
        progress=row.progress,
        submitted_at=row.submitted_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        lease=lease if row.token else None,
    )


def state_of(row: QueueRow) -> State:
    """The row's state, typed."""
    state: State = row.state  # type: ignore[assignment]
    return state


def holder_values(holder: Holder) -> dict[Any, Any]:
    """The columns of who holds a search, which has beaten once more."""
    return {
        QueueRow.host: holder.host,
        QueueRow.machine: holder.machine,
        QueueRow.pid: holder.pid,
        QueueRow.process_start: holder.process_start,
        QueueRow.lease_seconds: lease_seconds(),
        QueueRow.beat: QueueRow.beat + 1,
    }
