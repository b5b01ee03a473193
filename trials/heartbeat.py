"""The thread in which a driver shows that it lives, says where its search stands, and hears that it should end."""

import signal
import threading
from collections import deque
from types import TracebackType
from typing import Any, Literal, Self

from search_spaces import NasError
from trials.leases import BEATS, Sight
from trials.queue import Queue
from trials.queue_log import KEPT_LINES

LONGEST_PAUSE = 3.0  # seconds between two beats, however long the lease: a search hears of nas stop by them
Call = Literal["lost", "stop"]


class Heartbeat:
    """Beats while its `with` block runs; the block is ended by KeyboardInterrupt where the search must end.

    `call` says why then: the lease was lost, or somebody asked the search to stop. Where the database cannot be
    reached it goes on trying: what the driver writes is checked in its own transactions. Only a block in the main
    thread can be ended so; in another one a lost lease shows at the next write.
    """

    def __init__(self, queue: Queue, lease: Sight) -> None:
        self.call: Call | None = None
        self._queue, self._lease = queue, lease
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._progress: dict[str, Any] | None = None
        self._found, self._fault = False, ""
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._in_main = threading.current_thread() is threading.main_thread()
        self._armed = self._in_main
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._disarm()
        except KeyboardInterrupt:  # ours came while the block was ending by itself: what it did is done
            self._disarm()
        self._over.set()
        self._thread.join()
        if self.call != "lost":
            self._beat()  # takes along what was said since the last one

    def say(self, line: str) -> None:
        """Keep a line of what the driver says."""
        self._lines.append(line)

    def say_fault(self, line: str) -> None:
        """The same of something that went wrong, which shows as the search's last fault."""
        self._fault = line
        self.say(line)

    def tell(self, progress: dict[str, Any], *, found: bool) -> None:
        """Keep where the search stands; `found` where a result was recorded since it was last told."""
        self._progress = progress
        self._found |= found

    def _disarm(self) -> None:
        with self._guard:
            self._armed = False

    def _run(self) -> None:
        while self.call != "lost" and not self._over.wait(min(self._lease.lease_seconds / BEATS, LONGEST_PAUSE)):
            self._beat()

    def _beat(self) -> None:
        lines, found = list(self._lines), self._found
        for _ in lines:  # others may come meanwhile
            self._lines.popleft()
        self._found = False
        try:
            state = self._queue.beat(
                self._lease.name, self._lease.token, self._progress, lines, self._fault, found=found
            )
        except NasError:  # the database is away: said again with the next beat
            self._lines.extendleft(reversed(lines))
            self._found |= found
            return
        if state is None:
            self._end("lost")
        elif state == "stopping" and self.call is None:
            self._end("stop")

    def _end(self, call: Call) -> None:
        self.call = call
        with self._guard:
            if self._armed:  # to the main thread itself: it may wait in a system call
                signal.pthread_kill(threading.main_thread().ident or 0, _interrupt())


def _interrupt() -> signal.Signals:
    """What raises KeyboardInterrupt: a shell's background jobs ignore SIGINT, but commands heed SIGTERM."""
    heeded = signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    ignored = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    return signal.SIGTERM if heeded and ignored else signal.SIGINT
