"""From the command to the first trained batch. Run `make bench`.

The command is the real one, on examples/quickstart.yaml with one epoch and one seed, so that the first pack is one
job. The store says when its result was recorded and how long it trained and scored; the first batch ended one step
after it began.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.quickstart import write_quickstart

BATCHES = 3000 / 100  # of an epoch of the quickstart
RUNS = 3


def first_batch(folder: Path) -> float:
    """Seconds from the start of the process to the end of the first training step."""
    write_quickstart(folder, train={"epochs": 1, "seeds": 1})
    start = time.time()
    process = subprocess.Popen(
        [sys.executable, "-m", "nas", "search", "spec.yaml"], cwd=folder, stderr=subprocess.DEVNULL
    )
    try:
        while (found := first_result(folder / "nas.db")) is None:
            assert process.poll() is None, "the search must run until its first result is there"
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    recorded, seconds = found
    return recorded - seconds * (1 - 1 / BATCHES) - start


def first_result(path: Path) -> tuple[float, float] | None:
    """When the first result was recorded, in seconds since 1970, and how many seconds its job took."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT created_at, result FROM nas_jobs ORDER BY created_at").fetchone()
    except sqlite3.OperationalError:  # not there yet
        return None
    return None if row is None else (datetime.fromisoformat(row[0]).timestamp(), json.loads(row[1])["wall_seconds"])


def seconds_of(*command: str) -> float:
    """A whole process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print one table."""
    torch = median(seconds_of("-c", "import torch") for _ in range(RUNS))
    times = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            times.append(first_batch(Path(folder)))
    table = Table("whole processes, median of 3", "seconds", "times import torch")
    table.add_row("nas search, to the end of the first batch", f"{median(times):.2f}", f"{median(times) / torch:.1f}")
    table.add_row("python -c 'import torch'", f"{torch:.2f}", "")
    console = Console(width=100)
    console.print(table)
    console.print(f"runs: {', '.join(f'{seconds:.2f}' for seconds in times)}; {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
