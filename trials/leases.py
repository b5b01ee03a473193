"""Leases: one driver a search, on any number of machines, without a clock that they would have to share.

The holder of a search raises a counter in its row. Who wants the search watches the counter: when it has stood still
for the lease's seconds, by the watcher's own monotonic clock, the holder loses the search. It may live on (stopped, or
cut off) and come back; so every transaction of a driver also checks, before its commit, that the lease is still its
own (`fence`). On the holder's own machine a process that is gone is seen at once.
"""

import os
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Engine, event, update

from search_spaces import NasError
from trials.queue_schema import QueueRow

BEATS = 10  # of a lease's seconds


class LeaseLost(NasError):
    """The search of this driver was given to another one."""


def lease_seconds() -> float:
    """Seconds after which a silent driver loses its search; raises NasError for a setting that is no such number."""
    text = os.environ.get("NAS_LEASE_SECONDS", "30")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 3600:
        raise NasError(f"NAS_LEASE_SECONDS must be a number from 1 to 3600, but is {text!r}; unset it for 30")
    return seconds


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process, as it is known on all machines; `machine` is empty where the system does not tell."""

    host: str
    machine: str
    pid: int
    process_start: str

    def __str__(self) -> str:
        """For people."""
        return f"pid {self.pid} on {self.host}"

    @property
    def is_gone(self) -> bool:
        """True when this machine knows that the process has ended; of other machines nothing is known."""
        if not self.machine or self.machine != _machine():
            return False
        return self.process_start != _process_start(self.pid) and not _is_hidden(self.pid)


def this_process() -> Holder:
    """The process that asks."""
    pid = os.getpid()
    return Holder(host=socket.gethostname()[:255], machine=_machine(), pid=pid, process_start=_process_start(pid))


def _machine() -> str:
    """This boot of this machine, and the namespace in which its processes are numbered: containers have their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:  # not Linux
        return ""


def _process_start(pid: int) -> str:
    """When a process of this machine began, in ticks since the boot; nothing for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]  # a zombie holds nothing any more


def _is_hidden(pid: int) -> bool:
    """True for another user's process on a machine that does not show these."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return not Path(f"/proc/{pid}").exists()
    return False


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What was seen of a lease: whose it is, where its counter stands, and the seconds for which it may stand still."""

    name: str
    token: str
    beat: int
    lease_seconds: float
    holder: Holder


class Watch:
    """Tells which holders are gone, or have been silent for too long, from what it is shown again and again."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[Sight, float]] = {}
        self._silent: dict[str, float] = {}

    def look(self, sights: Iterable[Sight]) -> dict[str, str]:
        """What ends a lease, by the search's name, of those that have ended. Show it all leases, every few seconds.

        Between two looks at most a third of the lease counts: while the database was away nobody could be heard.
        """
        now = time.monotonic()
        before, silent = self._last, self._silent
        self._last = {sight.name: (sight, now) for sight in sights}
        self._silent = {}
        ended = {}
        for name, (sight, _) in self._last.items():
            seen, at = before.get(name, (None, now))
            same = seen is not None and (seen.token, seen.beat) == (sight.token, sight.beat)
            self._silent[name] = silent[name] + min(now - at, sight.lease_seconds / 3) if same else 0.0
            if sight.holder.is_gone:
                ended[name] = f"its driver, {sight.holder}, has died"
            elif self._silent[name] >= sight.lease_seconds:
                ended[name] = f"its driver, {sight.holder}, was silent for {sight.lease_seconds:g} s"
        return ended

    def silent_seconds(self, name: str) -> float:
        """For how long the counter of this search has been seen standing still."""
        return self._silent.get(name, 0.0)


def fence(engines: Iterable[Engine], name: str, token: str) -> None:
    """From now on let no transaction of these engines be committed that wrote something, but for the lease's holder.

    The commit raises LeaseLost instead, and everything is rolled back. The check is part of the transaction itself: as
    it writes the lease's row, nobody can take the search over between it and the commit.
    """
    wrote = WeakSet[Connection]()  # not Connection.info, which raises where the line to the server was cut
    mine = update(QueueRow).where(QueueRow.name == name, QueueRow.token == token).values(beat=QueueRow.beat + 1)

    def note(connection: Connection, _: Any, statement: str, *rest: Any) -> None:
        if statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE"):
            wrote.add(connection)

    def check(connection: Connection) -> None:
        if connection not in wrote:
            return
        kept = connection.execute(mine).rowcount == 1
        wrote.discard(connection)
        if not kept:
            raise lost(name)

    def forget(connection: Connection) -> None:
        wrote.discard(connection)

    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
        event.listen(engine, "commit", check)
        event.listen(engine, "rollback", forget)


def lost(name: str) -> LeaseLost:
    """For a driver that has lost its search."""
    return LeaseLost(
        f"a search must have one driver, but {name!r} was given to another one or deleted while this one was silent; "
        f"nothing was written since. See nas status {name}"
    )
