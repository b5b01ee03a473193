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
    if device == "cpu" and not has_amx():
        return "fp32"
    from trials.measure import measure_step  # torch takes seconds to import, mostly for nothing

    def seconds(precision: Precision) -> float:
        tried = recipe.model_copy(update={"precision": precision})
        return StepTimes().measured(
            f"{architecture.id}, {recipe.optimizer}, {precision}, 1 fused on {device}",
            recipe.batch_size,
            lambda: measure_step(architecture, tried, device=device),
        )

    with training_on(device):  # no latency is measured meanwhile
        return "bf16" if seconds("bf16") < GAIN * seconds("fp32") else "fp32"


def has_amx() -> bool:
    """Whether this CPU multiplies bf16 itself."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:  # no Linux
        return True
