"""Whether convs and products are quicker in bf16 than in fp32, on this machine."""

from pathlib import Path

from search_spaces import Architecture
from trials.device_lock import training_on
from trials.recipe import Precision, Recipe
from trials.step_times import StepTimes

GAIN = 0.95  # of the time in fp32: what bf16 must at least save


def choose_precision(architecture: Architecture, recipe: Recipe, device: str = "cpu") -> Precision:
    """The quicker one for a network, measured once a machine.

    A CPU without AMX multiplies bf16 by way of fp32, at about half the speed: that is not measured.
    """
    if device == "cpu" and not _has_amx():
        return "fp32"
    from trials.measure import measure_step  # torch takes seconds to import, mostly for nothing

    times = StepTimes()
    seconds: dict[Precision, float] = {}
    for precision in ("fp32", "bf16"):
        key = f"{architecture.id}, {recipe.optimizer}, {precision}, 1 fused on {device}"
        known = times.read(key, recipe.batch_size)
        if known is None:
            with training_on(device):  # no latency is measured meanwhile
                known = measure_step(architecture, recipe.model_copy(update={"precision": precision}), device=device)
            times.write(key, recipe.batch_size, known)
        seconds[precision] = known
    return "bf16" if seconds["bf16"] < GAIN * seconds["fp32"] else "fp32"


def _has_amx() -> bool:
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:  # no Linux
        return True
