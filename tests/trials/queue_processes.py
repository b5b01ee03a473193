"""What other processes do to a queue; apart, so that these load little."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

from trials.queue import Queue
from trials.queue_entry import Entry

ENTRY = Entry(number=0, name="a", spec={"x": 1}, state="queued")
SEARCHES = 25  # of each of 8 processes


def submit_and_take(url: str, number: int, folder: Path) -> None:
    """Submit searches while taking whatever is there, each noted in a file of its own; killed drivers are freed."""
    with Queue(url, create=True) as queue:
        entered = 0
        while True:
            if entered < SEARCHES:
                assert queue.enter(replace(ENTRY, name=f"search-{number}-{entered}", priority=entered % 3))
                assert not queue.enter(replace(ENTRY, name=f"search-{number}-{entered}"))
                entered += 1
            taken = queue.claim()
            if taken is None:
                left = [entry for entry in queue.entries() if entry.state != "finished"]
                if not left and entered == SEARCHES:
                    return
                time.sleep(0.2)
                continue
            assert taken.lease is not None
            token = taken.lease.token
            with (folder / f"{taken.name}.txt").open("a") as file:
                file.write(f"{number}\n")
            assert queue.beat(taken.name, token, {"done": 1}, ["taken"], found=True) == "running"
            assert queue.end(taken.name, token, "finished") == "finished"


def take_and_die(url: str) -> None:
    """Take a search, and be killed."""
    with Queue(url, create=True) as queue:
        assert queue.claim() is not None
        os.kill(os.getpid(), signal.SIGKILL)
