"""Latency as the command line measures it: at the usual batch sizes, and never in silence for long."""

import sys
from functools import cache, partial

from nas.tables import duration
from search_spaces import Architecture
from trials.latency import MEASURED, PAPER_BATCH, WARM_UP, Latency, measure_latency

PATIENCE_SECONDS = 10  # a measurement that will take longer is announced


def measure_latencies(architecture: Architecture, batch_size: int | None, device: str) -> list[Latency]:
    """One measurement with the batch size; without one, of single images and of the NeuralScale paper's batches."""
    if batch_size is not None:
        return [measure(architecture, batch_size, device)]
    single = measure(architecture, 1, device)
    seconds = single.mean_ms / 1000 * PAPER_BATCH * (WARM_UP + MEASURED)
    if seconds > PATIENCE_SECONDS:
        _say(f"measuring batches of {PAPER_BATCH} takes about {duration(seconds)}; --batch-size 1 leaves it out")
    return [single, measure(architecture, PAPER_BATCH, device)]


def measure(architecture: Architecture, batch_size: int, device: str) -> Latency:
    """A measurement that says on standard error when it has to wait."""
    on_wait = partial(_say, f"waiting for the jobs that run on {device}: nothing may train while latency is measured")
    return measure_latency(architecture, batch_size=batch_size, device=device, on_wait=on_wait)


@cache  # a plan measures many networks, and may wait for each
def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
