"""Measurements that are made once a machine; torch is loaded only where one has to be made."""

from collections.abc import Callable
from functools import partial

from nas.spec import Spec
from search_spaces import Architecture
from trials import Recipe
from trials.step_times import StepTimes


def latency_of(spec: Spec) -> Callable[[Architecture], float]:
    """Milliseconds of a network as the spec measures them."""
    times, batch_size, device = StepTimes(), spec.latency.batch_size, spec.latency.device
    average = spec.latency.average

    def measure_seconds(architecture: Architecture) -> float:
        from nas.measured import measure

        measured = measure(architecture, batch_size, device)
        return (measured.mean_ms if average == "mean" else measured.median_ms) / 1000

    def latency_ms(architecture: Architecture) -> float:
        key = f"{architecture.id}, {'mean ' if average == 'mean' else ''}latency on {device}"
        return round(1000 * times.measured(key, batch_size, partial(measure_seconds, architecture)), 6)

    return latency_ms


def measure_step(architecture: Architecture, recipe: Recipe) -> float:
    """Seconds of a training step on a CPU core."""
    from trials.device_lock import training_on
    from trials.measure import measure_step as measure

    with training_on("cpu"):  # no latency is measured meanwhile
        return measure(architecture, recipe)
