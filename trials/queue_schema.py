"""Tables of the queue: a row for each search that was submitted or run, and what its drivers said."""

from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import JSON, Boolean, Double, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from trials.schema import Table

State = Literal["queued", "running", "stopping", "stopped", "failed", "finished"]


def utc_now() -> datetime:
    """For people alone: nothing is ordered or awaited by it, as clocks of machines differ and jump."""
    return datetime.now(UTC).replace(tzinfo=None)


class QueueRow(Table):
    """A search in the queue, and the lease on it: `token` is its holder's, and empty where nobody runs it.

    Running and stopping searches have a holder, all others have none. `machine` is the holder's boot and process
    namespace, in which `pid` and `process_start` name one process; `beat` rises while the holder lives, and one that is
    silent for `lease_seconds` loses the search. `attempts` counts the tries since a result was recorded.
    """

    __tablename__ = "nas_queue"
    number: Mapped[int] = mapped_column(Integer, primary_key=True)  # in the order of submission
    name: Mapped[str] = mapped_column(String(64), unique=True)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)  # without the storage, which each machine reaches in its own way
    folder: Mapped[str] = mapped_column(Text, default="")  # in which relative paths of the spec are looked up
    needs_code: Mapped[bool] = mapped_column(Boolean, default=False)
    by_hand: Mapped[bool] = mapped_column(Boolean, default=False)  # run by nas search: no worker takes it
    priority: Mapped[int] = mapped_column(Integer, default=0)
    state: Mapped[str] = mapped_column(String(16), default="queued")
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    cause: Mapped[str] = mapped_column(Text, default="")
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    submitted_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None] = mapped_column(default=None)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    token: Mapped[str] = mapped_column(String(32), default="")
    beat: Mapped[int] = mapped_column(Integer, default=0)
    lease_seconds: Mapped[float] = mapped_column(Double, default=0.0)
    host: Mapped[str] = mapped_column(String(255), default="")
    machine: Mapped[str] = mapped_column(String(80), default="")
    pid: Mapped[int] = mapped_column(Integer, default=0)
    process_start: Mapped[str] = mapped_column(String(32), default="")


class LogRow(Table):
    """A line that a driver said."""

    __tablename__ = "nas_log"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[int] = mapped_column(ForeignKey(QueueRow.number, ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(default=utc_now)
    line: Mapped[str] = mapped_column(Text)
    __table_args__ = (Index("nas_log_by_search", "number", "id"),)
