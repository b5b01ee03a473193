"""Takes searches out of the queue and runs them, each as a process of its own, one after the other."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import TypeVar

from trials.database import StoreError, sqlite_path
from trials.leases import Watch, this_process
from trials.queue import Queue
from trials.queue_entry import Entry

PATIENCE_SECONDS = 60.0  # for a driver that is asked to end: Ray ends within five
RESTS = 10  # polls for which a worker leaves a search to others that failed on it
T = TypeVar("T")
Say = Callable[[str], None]


class Worker:
    """Takes and runs searches until it is interrupted, or, with `once`, until no more wait.

    Where the database cannot be reached it says so, and tries again.
    """

    def __init__(self, queue: Queue, storage: str, say: Say, *, poll: float = 2.0, allow_code: bool = False) -> None:
        self._queue, self._storage, self._say = queue, storage, say
        self._poll, self._allow_code = poll, allow_code
        self._watch = Watch()
        self._rests: dict[str, float] = {}  # until when a search is left to others, by the monotonic clock
        self._refused: set[str] = set()  # what this machine lacks something for
        self._trouble = ""

    def run(self, *, once: bool = False) -> None:
        """Raises KeyboardInterrupt; a search that runs then goes back to the queue."""
        while True:
            taken = self._next()
            if taken is not None:
                self._run(taken)
            elif once and not self._trouble and not self._waiting():
                return
            else:
                time.sleep(self._poll)

    def _next(self) -> Entry | None:
        now = time.monotonic()
        resting = {name for name, until in self._rests.items() if now < until}
        self._free_dead()
        return self._patiently(lambda: self._queue.claim(skip=resting | self._refused, code=self._allow_code))

    def _waiting(self) -> Collection[str]:
        """Searches that this worker would run, now or after a rest."""
        entries = self._patiently(self._queue.entries) or []
        mine = (one for one in entries if one.state == "queued" and (self._allow_code or not one.needs_code))
        return {one.name for one in mine} - self._refused

    def _patiently(self, ask: Callable[[], T]) -> T | None:
        """What the database answers; None where it does not."""
        try:
            answer = ask()
        except StoreError as error:
            if str(error) != self._trouble:
                self._say(f"{error}; trying again")
            self._trouble = str(error)
            return None
        self._trouble = ""
        return answer

    def _free_dead(self) -> None:
        """Put searches back in line whose drivers are gone."""
        leases = {lease.name: lease for lease in self._patiently(self._queue.leases) or []}
        if self._trouble:
            return
        for name, cause in self._watch.look(leases.values()).items():
            state = self._patiently(partial(self._queue.free, leases[name], cause))
            if state is not None:
                self._say(f"{name}: {cause}; it is {state}")

    def _run(self, taken: Entry) -> None:
        assert taken.lease is not None, "a search that was taken has a lease"
        name, token = taken.name, taken.lease.token
        child: subprocess.Popen[str] | None = None
        try:
            self._say(f"{name}: running" + (f", try {taken.attempts} without a new result" * (taken.attempts > 1)))
            child = self._start(taken)
            code = self._wait(child)
        except OSError as error:  # of its start: there is no memory, or no process more
            self._rest(name)
            why = f"its driver could not be started: {error.strerror}"
            self._patiently(lambda: self._queue.end(name, token, "again", why, [why]))
            self._say(f"{name}: {why}")
            return
        except KeyboardInterrupt:
            if child is not None:
                _end(child)
            self._patiently(lambda: self._queue.end(name, token, "interrupted"))
            after = self._patiently(lambda: self._queue.find(name))
            self._say(f"{name}: {after.state}" if after else f"{name} is queued again when the database answers")
            raise
        if code == os.EX_UNAVAILABLE:
            self._refused.add(name)
        elif code not in (0, 2, 130):  # 130: somebody stopped it
            self._rest(name)
        cause = f"its driver on {this_process().host} was killed by {signal.Signals(-code).name}" if code < 0 else ""
        cause = cause or f"its driver on {this_process().host} ended with status {code}"
        self._patiently(lambda: self._queue.end(name, token, "again", cause, [cause]))  # nothing where it ended well
        after = self._patiently(lambda: self._queue.find(name))
        if after is not None:
            new = after.cause and after.cause != taken.cause  # an older fault is not why it ended now
            self._say(f"{name}: {after.state}" + (f": {after.cause}" if new else ""))

    def _rest(self, name: str) -> None:
        """Leave a search to others for a while."""
        self._rests[name] = time.monotonic() + RESTS * self._poll

    def _start(self, taken: Entry) -> subprocess.Popen[str]:
        assert taken.lease is not None, "a search that was taken has a lease"
        order = {
            "worker": os.getpid(),
            "storage": self._storage,
            "name": taken.name,
            "token": taken.lease.token,
            "allow_code": self._allow_code and taken.needs_code,
        }
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "nas.drive"],  # -P: nothing is imported from the folder
            cwd=self._folder(taken),
            stdin=subprocess.PIPE,  # not arguments: anyone on the machine reads those
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C comes to this process, which ends the driver
            text=True,
        )
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(order) + "\n")
            child.stdin.close()
        except OSError:  # it has died: seen by who waits for it
            pass
        return child

    def _folder(self, taken: Entry) -> str | None:
        """Where relative paths of the spec are looked up; None is this process's own folder."""
        if taken.folder and os.path.isdir(taken.folder) and os.access(taken.folder, os.X_OK):
            return taken.folder
        if taken.folder:
            self._say(f"{taken.name}: its folder {taken.folder} cannot be used here: paths are those of {os.getcwd()}")
        return None

    def _wait(self, child: subprocess.Popen[str]) -> int:
        while True:
            try:
                return child.wait(self._poll)
            except subprocess.TimeoutExpired:
                self._free_dead()


def _end(child: subprocess.Popen[str]) -> None:
    """Have the driver end; a second interrupt, or too long a time, kills it."""
    try:
        child.terminate()
        child.wait(PATIENCE_SECONDS)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        child.kill()
        child.wait()


def absolute_storage(url: str) -> str:
    """The database's URL, from whatever folder it is opened."""
    path = sqlite_path(url)
    return url if path is None else f"sqlite:///{path.absolute()}"
