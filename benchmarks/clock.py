"""How benchmarks time what takes milliseconds."""

import time
from collections.abc import Callable
from statistics import median


def seconds(run: Callable[[], object], repeats: int = 7) -> float:
    """Median wall time after one run that does not count."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return median(times)
