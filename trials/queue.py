"""The queue of searches: who waits, who runs, what became of the others; every step is one transaction.

Only a row's holder ends its run (`end`); a dead holder's is ended by whoever sees that (`free`). Both go by the lease's
token, so that nothing is decided twice.
"""

import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal, Self

from sqlalchemy import ColumnElement, Engine, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from trials.database import (
    StoreError,
    clear_errors,
    commit_quickly,
    database_name,
    leave_as_one_file,
    wait_for,
    wait_seconds,
)
from trials.leases import Sight, this_process
from trials.migrate import open_engine, schema_lock, upgrade
from trials.queue_entry import Entry, entry_of, holder_values, state_of
from trials.queue_log import clean_line, keep_lines, read_lines
from trials.queue_schema import QueueRow, State, utc_now
from trials.schema import SearchRow

TRIES = 3  # in a row without a new result, after which a search counts as one that kills its driver
INTERRUPTED_SECONDS = 5.0  # for the database, of somebody who wants to end
Ending = Literal["finished", "failed", "again", "elsewhere", "interrupted"]
_Plain = dict[str, Any] | None


class Queue:
    """The queue in one database, beside its searches. Every method raises StoreError where the database fails."""

    def __init__(self, url: str, *, create: bool = False) -> None:
        self.shown = database_name(url)
        self._writes = create
        self._wait_seconds = wait_seconds() if create else 0.0
        self._engine: Engine = open_engine(url, create=create, begun=False)
        try:
            with clear_errors(self.shown):
                if create:
                    with schema_lock(url, self._engine):
                        commit_quickly(self._engine)
                        upgrade(self._engine, self.shown)
        except BaseException:
            self._engine.dispose()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writes:
            leave_as_one_file(self._engine)
        self._engine.dispose()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with clear_errors(self.shown), Session(self._engine) as session, session.begin():
            yield session

    def entries(self) -> list[Entry]:
        """All searches of the database, also those from before there was a queue; the first in line stands first."""
        with self._session() as session:
            order = QueueRow.priority.desc(), QueueRow.number
            found = [entry_of(row) for row in session.scalars(select(QueueRow).order_by(*order))]
            known = {entry.name for entry in found}
            return found + [
                Entry(number=0, name=row.name, spec=row.spec, state="finished" if row.finished_at else "stopped")
                for row in session.scalars(select(SearchRow).order_by(SearchRow.created_at))
                if row.name not in known
            ]

    def leases(self) -> list[Sight]:
        """Of all searches that are held."""
        with self._session() as session:
            held = [entry_of(row) for row in session.scalars(select(QueueRow).where(QueueRow.token != ""))]
            return [entry.lease for entry in held if entry.lease is not None]

    def find(self, name: str) -> Entry | None:
        """The entry of this name, if it stands in the queue."""
        with self._session() as session:
            row = session.scalar(select(QueueRow).where(QueueRow.name == name))
            return None if row is None else entry_of(row)

    def has_begun(self, name: str) -> bool:
        """Whether a driver has begun this search: then the store knows it, too."""
        with self._session() as session:
            return session.get(SearchRow, name) is not None

    def enter(self, entry: Entry) -> bool:
        """Put a new search in the queue; False, and nothing, where one of its name is there."""
        values = asdict(entry)
        row = QueueRow(**{key: values[key] for key in _ENTERED})
        try:
            with self._session() as session:
                if session.scalar(select(QueueRow.number).where(QueueRow.name == entry.name)) is not None:
                    return False
                session.add(row)
                session.flush()
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):  # another process was faster
                return False
            raise
        return True

    def change(self, entry: Entry) -> None:
        """Give the search of this name another priority, folder, and what may change of its spec."""
        values = {key: getattr(entry, key) for key in ("spec", "priority", "folder", "needs_code")}
        with self._session() as session:
            session.execute(update(QueueRow).where(QueueRow.name == entry.name).values(values))

    def claim(self, *, skip: Collection[str] = (), code: bool = False) -> Entry | None:
        """Take the first in line, for this process; None where there is none.

        `skip` are names to pass over; searches that need code of the user's own are taken only with `code`.
        """
        row = aliased(QueueRow)
        first = (
            select(row.number)
            .where(row.state == "queued", row.name.not_in(skip))
            .order_by(row.priority.desc(), row.number)
            .limit(1)
            .with_for_update(skip_locked=True)  # on PostgreSQL no two workers wait for the same row
        )
        if not code:
            first = first.where(row.needs_code.is_(False))
        return self._take(QueueRow.number == first.scalar_subquery(), QueueRow.state == "queued", by_hand=False)

    def take(self, name: str) -> Entry | None:
        """Take this search, in whatever state, for this process; None where it is held."""
        return self._take(QueueRow.name == name, QueueRow.token == "", by_hand=True)

    def _take(self, *conditions: ColumnElement[bool], by_hand: bool) -> Entry | None:
        """One statement, which is atomic on every database."""
        taken: dict[Any, Any] = {
            QueueRow.token: secrets.token_hex(16),
            QueueRow.state: "running",
            QueueRow.by_hand: by_hand,
            QueueRow.attempts: QueueRow.attempts + 1,
            QueueRow.started_at: utc_now(),
            QueueRow.ended_at: None,
            **holder_values(this_process()),
        }
        statement = update(QueueRow).where(*conditions).values(taken).returning(QueueRow.number)
        with self._session() as session:
            number = session.scalar(statement.execution_options(synchronize_session=False))
            return None if number is None else entry_of(session.get_one(QueueRow, number))

    def adopt(self, name: str, token: str) -> Entry | None:
        """Make this process the holder in the place of the one that took the search for it; None where it is lost."""
        with self._session() as session:
            mine = QueueRow.name == name, QueueRow.token == token
            session.execute(update(QueueRow).where(*mine).values(holder_values(this_process())))
            row = session.scalar(select(QueueRow).where(*mine))
            return None if row is None else entry_of(row)

    def beat(
        self, name: str, token: str, progress: _Plain, lines: Sequence[str], fault: str = "", *, found: bool
    ) -> State | None:
        """Show that the holder lives, and what it says; the state, or None where the lease is lost.

        `found` tells that a result was recorded: earlier tries do not count any more. The last `fault` was survived.
        """
        with self._session() as session:
            row = _lock(session, name, token)
            if row is None:
                return None
            row.beat += 1
            row.progress, row.cause = progress or row.progress, clean_line(fault) or row.cause
            row.attempts = 0 if found else row.attempts
            keep_lines(session, row.number, lines)
            return state_of(row)

    def end(self, name: str, token: str, how: Ending, cause: str = "", lines: Sequence[str] = ()) -> State | None:
        """End the run and give the lease back; the state then, or None where the lease was lost.

        A search that ends to be run again goes back to the queue, unless it was run by hand, or has had its tries. An
        interrupt does not wait long for a database that is gone: whoever looks then sees that the holder has died.
        """

        def transact() -> State | None:
            with self._session() as session:
                row = _lock(session, name, token)
                return None if row is None else _end(session, row, how, cause, lines)

        seconds = min(self._wait_seconds, INTERRUPTED_SECONDS) if how == "interrupted" else self._wait_seconds
        return wait_for(transact, seconds, lambda line: None)

    def free(self, lease: Sight, cause: str) -> State | None:
        """End the run of a holder that is dead; None where the lease is not what was seen."""
        with self._session() as session:
            row = _lock(session, lease.name, lease.token)
            if row is None or row.beat != lease.beat:
                return None
            return _end(session, row, "again", cause, [cause])

    def undo(self, name: str, token: str, before: Entry | None) -> None:
        """Give a lease back with the search as it was before it was taken, or not there: nothing had begun."""
        with self._session() as session:
            row = _lock(session, name, token)
            if row is not None and before is None:
                _remove(session, row)
            elif row is not None:
                stopped = row.state == "stopping"  # by somebody meanwhile
                for key in ("state", "by_hand", "attempts", "started_at", "ended_at"):
                    setattr(row, key, getattr(before, key))
                row.token, row.state = "", "stopped" if stopped else row.state

    def ask_to_stop(self, name: str) -> State | None:
        """Have a running search end, and take a waiting one out of the line; its state then, None if unknown."""
        with self._session() as session:
            row = _lock(session, name)
            if row is None:
                return None
            changed: dict[str, State] = {"queued": "stopped", "running": "stopping"}
            row.state = changed.get(row.state, state_of(row))
            return state_of(row)

    def put_back(self, name: str) -> State | None:
        """Put a stopped or failed search back in line; its state before, None for an unknown one."""
        with self._session() as session:
            row = _lock(session, name)
            if row is None:
                return None
            before = state_of(row)
            if before in ("stopped", "failed"):
                row.state, row.by_hand, row.attempts, row.ended_at = "queued", False, 0, None
            return before

    def remove(self, name: str, token: str) -> bool:
        """Remove a search of which this process holds the lease, and what its drivers said."""
        with self._session() as session:
            row = _lock(session, name, token)
            if row is None:
                return False
            _remove(session, row)
            return True

    def lines(self, name: str, after: int = 0, most: int | None = None) -> list[tuple[int, datetime, str]]:
        """What the drivers of a search said: id, time and text of each line after the id `after`, at most the last."""
        with self._session() as session:
            return read_lines(session, name, after, most)


_ENTERED = ("name", "spec", "state", "folder", "needs_code", "by_hand", "priority")


def _lock(session: Session, name: str, token: str | None = None) -> QueueRow | None:
    """The row, which nobody else changes until the transaction ends: a write that changes nothing is a lock everywhere.

    With a token only where this is its holder's.
    """
    found = (QueueRow.name == name,) if token is None else (QueueRow.name == name, QueueRow.token == token)
    same = update(QueueRow).where(*found).values(name=QueueRow.name)
    session.execute(same.execution_options(synchronize_session=False))
    return session.scalar(select(QueueRow).where(*found))


def _remove(session: Session, row: QueueRow) -> None:
    keep_lines(session, row.number, (), most=0)
    session.delete(row)


def _end(session: Session, row: QueueRow, how: Ending, cause: str, lines: Sequence[str]) -> State:
    cause = clean_line(cause)
    row.token, row.ended_at, row.cause = "", utc_now(), cause or row.cause
    if how == "finished":
        row.state, row.attempts = "finished", 0
    elif how == "failed":
        row.state = "failed"
    elif row.state == "stopping":
        row.state, row.attempts = "stopped", max(0, row.attempts - 1)
    elif how == "interrupted":
        row.state, row.attempts = "stopped" if row.by_hand else "queued", max(0, row.attempts - 1)
    elif how == "elsewhere":  # this try says nothing of the search
        row.state, row.attempts = "failed" if row.by_hand else "queued", max(0, row.attempts - 1)
    elif row.attempts >= TRIES and not row.by_hand:
        row.state, row.cause = "failed", f"{row.cause}; given up after {row.attempts} tries without a new result"
    else:
        row.state = "failed" if row.by_hand else "queued"
    keep_lines(
        session, row.number, [*lines, *([row.cause] if row.state == "failed" and row.cause not in lines else [])]
    )
    return state_of(row)
