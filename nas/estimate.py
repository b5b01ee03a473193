"""How long a plan takes, from the measured time of a training step."""

from collections.abc import Callable
from functools import partial
from statistics import mean

from nas.plan import Plan
from search_spaces import Architecture
from trials.recipe import Recipe
from trials.step_times import StepTimes

# Ray, and torch in every worker, before the first training, and Ray's end: 7.5 s and 2 s on 2 cores.
STARTUP_SECONDS = 10.0


def estimate_seconds(plan: Plan, times: StepTimes, measure: Callable[[Architecture, Recipe], float]) -> float:
    """Wall time of a search of this plan.

    The step is timed once a machine for the base and for the candidates of lowest and highest resolution; all
    have about the same MACs, but MACs are not time.
    """
    spec = plan.problem.spec
    recipe = spec.train.recipe("fp32")
    seconds = [
        times.measured(
            f"{network.id}, {recipe.optimizer}", recipe.batch_size, partial(measure, network.architecture, recipe)
        )
        for network in (plan.base, *plan.found.chosen[:1], *plan.found.chosen[-1:])
    ]
    steps = recipe.steps(plan.problem.sizes["train"]) * (plan.epochs + plan.fresh_epochs)
    return STARTUP_SECONDS + mean(seconds) * steps / spec.search.workers
