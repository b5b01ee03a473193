"""How many trainings of one architecture go into one fused network: as many as there are, where that is quicker."""

from search_spaces import Architecture
from trials.measure import measure_step
from trials.recipe import Recipe
from trials.step_times import StepTimes
from trials.train import TrainingDiverged

MOST = 16  # members of one network
WORTH = 100  # steps; the measurement takes some five, and shorter trainings would pay more for it than they can win
MEASURED = 3
GAIN = 0.95  # of the time alone: what a fused network must at least save


def choose_members(architecture: Architecture, recipe: Recipe, *, count: int, steps: int, device: str) -> int:
    """Members of one fused network, or 1: measured once a machine, network and number of members."""
    count = min(count, MOST)
    if count == 1 or recipe.deterministic or steps < WORTH:
        return 1

    def seconds(members: int) -> float:
        return StepTimes().measured(
            f"{architecture.id}, {recipe.optimizer}, {recipe.precision}, {members} fused on {device}",
            recipe.batch_size,
            lambda: measure_step(architecture, recipe, members=members, device=device, measured=MEASURED),
        )

    try:
        alone, fused = seconds(1), seconds(count)
    except (TrainingDiverged, RuntimeError):  # on noise, which images are not; or memory is too small
        return 1
    return count if fused < GAIN * count * alone else 1
