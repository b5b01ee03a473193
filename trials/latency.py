"""How long a network takes for a batch, measured."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import fmean, median

import torch

from search_spaces import Architecture, NasError
from search_spaces.build import build
from trials.device_lock import DeviceLockError, measuring_on

# NeuralScale's authors report the mean of 80 batches of 100 images after 20 batches of warm-up.
WARM_UP, MEASURED, PAPER_BATCH = 20, 80, 100


class LatencyError(NasError):
    """A device that does not exist or cannot be had alone, or a batch that is none."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Median and mean time of one batch, and how it was measured."""

    median_ms: float
    mean_ms: float
    lowest_ms: float
    batch_size: int
    device: str
    threads: int
    warm_up: int
    measured: int

    def to_json(self) -> dict[str, float | int | str]:
        """Plain data."""
        return asdict(self)


def measure_latency(
    architecture: Architecture,
    *,
    batch_size: int = 1,
    device: str = "cpu",
    warm_up: int = WARM_UP,
    measured: int = MEASURED,
    on_wait: Callable[[], None] | None = None,
) -> Latency:
    """Milliseconds of a forward pass on blank images, after a warm-up; one thread on a CPU.

    Nothing trains on the device meanwhile: it waits for running jobs, after a call of `on_wait`, and holds up new ones.
    Raises LatencyError for a batch size below 1, a device that torch does not have, and one that cannot be locked.
    """
    if batch_size < 1:
        raise LatencyError(f"the batch size must be at least 1, but is {batch_size}")
    place = open_device(device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = _time_batches(architecture, batch_size, place, warm_up + measured, on_wait)
    except DeviceLockError as error:
        raise LatencyError(str(error)) from error
    except RuntimeError as error:  # out of memory, above all
        raise LatencyError(
            f"a batch of {batch_size} at {architecture.resolution} px must fit into memory, but: {_first_line(error)}"
        ) from error
    finally:
        torch.set_num_threads(threads)
    kept = times[warm_up:]
    return Latency(
        median_ms=median(kept),
        mean_ms=fmean(kept),
        lowest_ms=min(kept),
        batch_size=batch_size,
        device=_device_name(place),
        threads=1,
        warm_up=warm_up,
        measured=measured,
    )


def _time_batches(
    architecture: Architecture, batch_size: int, place: torch.device, batches: int, on_wait: Callable[[], None] | None
) -> list[float]:
    network = build(architecture).eval().to(place).to(memory_format=torch.channels_last)
    images = torch.zeros(batch_size, *architecture.input, device=place).to(memory_format=torch.channels_last)
    times = []
    with measuring_on(str(place), on_wait), torch.inference_mode():
        for _ in range(batches):
            start = time.perf_counter()
            network(images)
            if place.type == "cuda":
                torch.cuda.synchronize(place)
            times.append(1000 * (time.perf_counter() - start))
    return times


def open_device(name: str) -> torch.device:
    """The device of a name, on which something was made; raises LatencyError where torch has none that computes."""
    try:
        place = torch.device(name)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, ImportError, ValueError) as error:
        raise LatencyError(
            f"the device must be one that torch has, such as cpu or cuda, but {name!r}: {_first_line(error)}"
        ) from error
    if place.type == "meta":
        raise LatencyError("the device must be one that computes, but meta does not")
    return place


def _device_name(place: torch.device) -> str:
    return f"{place} ({torch.cuda.get_device_name(place)})" if place.type == "cuda" else str(place)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
