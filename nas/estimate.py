"""How long a plan takes, from the measured time of a training step."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from nas.planning import FRONT, Plan
from nas.width_spec import PRUNING_METHODS, NeuralScaleSpec
from search_spaces import Architecture
from search_spaces.width_groups import find_width_groups
from trials.prune_settings import PruneSettings
from trials.recipe import Recipe
from trials.step_times import StepTimes

# Ray, and torch in every worker, before the first training, and Ray's end: 7.5 s and 2 s on 2 cores.
STARTUP_SECONDS = 10.0


def with_estimate(plan: Plan, times: StepTimes, measure: Callable[[Architecture, Recipe], float]) -> Plan:
    """The plan with the seconds that it takes, those of prunings apart."""
    return replace(
        plan,
        estimated_seconds=estimate_seconds(plan, times, measure),
        pruning_seconds=estimate_pruning(plan, times, measure) if plan.prunings else None,
    )


def estimate_seconds(plan: Plan, times: StepTimes, measure: Callable[[Architecture, Recipe], float]) -> float:
    """Wall time of a search of this plan, prunings apart.

    The step is timed once a machine for the base and for the candidates of fewest and most MACs, of lowest and highest
    resolution; others lie between these by their MACs.
    """
    spec = plan.problem.spec
    recipe = spec.train.recipe("fp32")
    ordered = sorted(plan.found.chosen, key=lambda network: network.cost.macs)
    sides = sorted(plan.found.chosen, key=lambda network: network.architecture.resolution)
    timed = {one.id: one for one in (plan.base, *ordered[:1], *ordered[-1:], *sides[:1], *sides[-1:])}
    known = np.array(
        sorted((one.cost.macs, _step_seconds(one.architecture, recipe, times, measure)) for one in timed.values())
    )
    seconds = np.interp([network.cost.macs for network in plan.networks], known[:, 0], known[:, 1])
    steps = recipe.steps(plan.problem.sizes["train"]) * (plan.epochs + plan.fresh_epochs)
    return STARTUP_SECONDS + float(seconds.mean()) * steps / spec.ray.at_once


def estimate_pruning(plan: Plan, times: StepTimes, measure: Callable[[Architecture, Recipe], float]) -> float:
    """Time of all prunings that there may be, each as long as the base's, one after the other; 0 without any.

    As a network shrinks evenly with the steps, it costs half as much on average.
    """
    spec = plan.problem.spec
    settings = spec.prune.settings()
    pruning = [method for method in spec.methods if isinstance(method, PRUNING_METHODS)]
    if not pruning:
        return 0.0
    recipe = settings.pretraining()
    second = _step_seconds(plan.base.architecture, recipe, times, measure)
    whole = settings.pretrain_epochs * recipe.steps(plan.problem.sizes["train"])
    longest = max(method.iterations if isinstance(method, NeuralScaleSpec) else 1 for method in pruning)
    return second * (whole + _minibatches(plan, settings) / 2) * longest


def _minibatches(plan: Plan, settings: PruneSettings) -> float:
    channels = sum(find_width_groups(plan.base.architecture).widths)
    return settings.batches * settings.stop_share * channels / settings.channels_of(channels)


def _step_seconds(
    network: Architecture, recipe: Recipe, times: StepTimes, measure: Callable[[Architecture, Recipe], float]
) -> float:
    key = f"{network.id}, {recipe.optimizer}"
    return times.measured(key, recipe.batch_size, partial(measure, network, recipe))


def bytes_of_weights(plan: Plan) -> int:
    """What the weights of all trainings take on disk, those of prunings apart: four bytes a number.

    A training that is stopped, or raced, keeps its optimizer's state as well, which is up to twice as much again.
    """
    train = plan.problem.spec.train
    sizes = sorted((network.cost.params for network in plan.networks), reverse=True)
    fresh = min(len(sizes), 1 + FRONT) * train.confirm * sizes[0]
    state = 3 if plan.problem.spec.race else 1
    return 4 * (state * train.seeds * sum(sizes) + fresh)


def bytes_of_images(plan: Plan) -> int:
    """What the images take at all resolutions but their own, which are kept in the cache."""
    source = plan.problem.source
    sides = {network.architecture.resolution for network in plan.networks} - {source.side}
    return source.images * source.channels * sum(side**2 for side in sides)
