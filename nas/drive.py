"""The driver of one search, as a worker starts it: `python -m nas.drive`, told on standard input what to run."""

import json
import os
import signal
import sys
from typing import Any

from rich.console import Console

from nas.child import die_with
from nas.hold import Held, hold
from nas.once import latency_of
from nas.planning import make_plan
from nas.spec import parse_spec
from search_spaces import NasError
from search_spaces.errors import Retry
from trials.leases import lost
from trials.queue import Queue
from trials.queue_entry import Entry

EXIT_CODES: dict[Retry, int] = {"never": 2, "later": os.EX_TEMPFAIL, "elsewhere": os.EX_UNAVAILABLE}


def drive(storage: str, name: str, token: str, *, allow_code: bool) -> None:
    """Run the search that the worker took with this token; raises what ends it early."""
    console = Console(stderr=True)
    with Queue(storage, create=True) as queue:
        taken = queue.adopt(name, token)
        if taken is None:
            raise lost(name)
        with hold(queue, taken) as held:
            _run(storage, taken, held, console, allow_code=allow_code)


def _run(storage: str, taken: Entry, held: Held, console: Console, *, allow_code: bool) -> None:
    spec = parse_spec({**taken.spec, "storage": storage}, origin=f"search {taken.name!r}")
    made = make_plan(spec, allow_code=allow_code, latency_of=latency_of(spec))
    from nas.start import early_workers  # Ray, which takes seconds

    with early_workers(spec) as workers:
        from nas.run import run_search

        run_search(made, local=False, progress=console, allow_code=allow_code, workers=workers, holding=held)


def main() -> int:
    """The exit code says whether the search may be run again: `EXIT_CODES`."""
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    die_with(order.pop("worker"))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        drive(**order)
    except KeyboardInterrupt:
        return 130
    except NasError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_CODES[error.retry]
    return 0


if __name__ == "__main__":
    sys.exit(main())
