"""Racing: which training runs next, decided from what is known alone.

Successive halving (Jamieson and Talwalkar 2016) and ASHA (Li et al. 2020), with another ranking: not the most accurate
of a rung go on, but its front of accuracy against the costs. Legend: T networks, n networks of a rung, K costs.

The decisions are a function of the set of results, so a race that was killed goes on with the same call, and the rungs
need no record beside the results themselves. A network that fails leaves its place to the next one of the rung that
it came from; whoever was sent on before stays sent on.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import log
from statistics import fmean
from typing import Any, Literal, TypeAlias

import numpy as np
from moocore import hv_contributions, pareto_rank
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from trials.fields import Count

Floats: TypeAlias = NDArray[np.float64]
Results: TypeAlias = Mapping[tuple[int, int, int], float]

# Costs are compared on a logarithmic grid of cells of 2 %. Candidates are made to lie just below their bounds, within
# a tolerance of a few per cent, at random: compared exactly, nearly each of a hundred would have least of something and
# none would be dominated, so a weak network would go on for a tenth of a per cent of its MACs. On a grid equality is
# transitive, which "closer than 1 %" is not; the price is that two close costs can lie on both sides of an edge, where
# they differ by one cell and never by more.
CELL = log(1.02)
# Accuracies are scaled to [0, 1] over the rung, logarithms of costs too, but by at least a factor of two: where all
# costs are within 5 %, these 5 % must not weigh as much as all of the accuracy.
COST_SCALE = log(2)
REFERENCE = 1.1  # the usual 10 % beyond the worst: extreme networks contribute, too
ONE_BY_ONE = 64  # points; of larger fronts a sixteenth is dropped at a time, as contributions in 4 dimensions cost n^3


class RaceSpec(BaseModel):
    """Short trainings of many networks, long ones of the best: of each rung the front goes on, from its checkpoints."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Literal["halving", "asha"] = Field(
        "halving",
        description="halving: a rung begins when the one before is done; asha: a network goes on as soon as it is "
        "among the best of those done so far.",
    )
    eta: Count = Field(
        3, ge=2, le=10, description="Of each rung one in `eta` goes on, to about `eta` times the epochs."
    )
    finalists: Count = Field(
        1,
        ge=1,
        le=1000,
        description="So many reach full length at least, where there are as many: a front takes several.",
    )
    min_epochs: Count = Field(1, ge=1, le=10**9, description="Epochs of the first rung.")
    seeds: Count = Field(
        1, ge=1, le=100, description="Seeds in the rungs below full length; those that reach it are trained with all."
    )


@dataclass(frozen=True)
class Step:
    """One training: a network with a seed, up to an epoch; from the longest checkpoint of the two, if there is one."""

    network: int
    seed: int
    until: int


def rungs(epochs: int, race: RaceSpec) -> tuple[int, ...]:
    """Epochs at which networks are compared, increasing, from `min_epochs` to full length.

    Each is about `eta` times the one before: log(epochs / min_epochs) / log(eta), rounded, equal factors. Full length
    alone where `min_epochs` is not below it.
    """
    factor = epochs / race.min_epochs
    if factor <= 1:
        return (epochs,)
    steps = max(1, round(log(factor) / log(race.eta)))
    return tuple(round(race.min_epochs * factor ** (step / steps)) for step in range(steps + 1))


def rung_sizes(candidates: int, rungs: Sequence[int], race: RaceSpec) -> tuple[int, ...]:
    """Networks in each rung of a halving race, the base left out: 1 / eta of the rung before, rounded up.

    No rung has fewer than `finalists`, unless there are no more.
    """
    sizes = [candidates]
    for _ in rungs[1:]:
        sizes.append(min(sizes[-1], max(race.finalists, -(-sizes[-1] // race.eta))))
    return tuple(sizes)


def planned_epochs(networks: int, seeds: int, rungs: Sequence[int], race: RaceSpec, *, base: bool = True) -> int:
    """Epochs of training that a halving race of `networks` spends, where none fails and trainings are continued.

    The base, which is one of them unless `base` is false, is trained at full length with every seed.
    """
    sizes = rung_sizes(networks - base, rungs, race)
    early = min(race.seeds, seeds)
    lengths = [until - since for since, until in pairwise((0, *rungs))]
    continued = sum(size * early * length for size, length in zip(sizes, lengths, strict=True))
    return continued + (sizes[-1] * (seeds - early) + base * seeds) * rungs[-1]


def next_steps(  # noqa: PLR0913, PLR0917
    costs: NDArray[Any],
    base: int | None,
    seeds: int,
    rungs: Sequence[int],
    race: RaceSpec,
    accuracy: Results,
    failed: Set[int],
) -> list[Step]:
    """Every training that may run now and has no result yet, most important first; empty when the race is over.

    `costs` are [T, K]; `accuracy` is by network, seed and epoch. Running trainings are among the steps. The base comes
    first, at full length and with every seed, and takes no place. The others begin at the first rung with the race's
    seeds; those that reach full length get all. A network of `failed` is never proposed.

    halving: all of a rung are done, or failed, before ceil(n / eta) of them go on. asha: the best floor(n / eta) of
    the n done so far go on at once, before others begin, those of higher rungs first; once all of a rung are done, as
    many go on as with halving, so that every race ends with networks at full length, unless all fail.
    """
    candidates = [network for network in range(len(costs)) if network != base]
    sizes, last = rung_sizes(len(candidates), rungs, race), len(rungs) - 1
    counts = [min(race.seeds, seeds)] * last + [seeds]
    scores = [_scores(candidates, count, until, accuracy) for count, until in zip(counts, rungs, strict=True)]
    entered, steps, all_done = candidates, list[Step](), True
    for rung, until in enumerate(rungs):
        missing = [network for network in entered if network not in scores[rung] and network not in failed]
        steps = _steps(missing, counts[rung], until, accuracy) + steps
        all_done = all_done and not missing
        if rung == last or (race.rule == "halving" and missing):
            break
        # a network that asha sent on before may not be among its best any more, yet counts in the rung it went to
        done = [network for network in (candidates if race.rule == "asha" else entered) if network in scores[rung]]
        places = max(len(done) // race.eta if race.rule == "asha" else 0, sizes[rung + 1] if all_done else 0)
        lost = failed - scores[rung + 1].keys()
        entered = _go_on({network: scores[rung][network] for network in done}, costs, places, lost, failed)
    first = [] if base is None or base in failed else _steps([base], seeds, rungs[-1], accuracy)
    return first + steps


def _scores(networks: Sequence[int], seeds: int, until: int, accuracy: Results) -> dict[int, float]:
    """Mean accuracy of the networks of which every seed is known."""
    known = {network: [accuracy.get((network, seed, until)) for seed in range(seeds)] for network in networks}
    return {network: fmean(values) for network, values in known.items() if None not in values}  # type: ignore[arg-type]


def _steps(networks: Sequence[int], seeds: int, until: int, accuracy: Results) -> list[Step]:
    steps = (Step(network, seed, until) for network in networks for seed in range(seeds))
    return [step for step in steps if (step.network, step.seed, step.until) not in accuracy]


def _go_on(
    scores: Mapping[int, float], costs: NDArray[Any], places: int, lost: Set[int], failed: Set[int]
) -> list[int]:
    """Networks that go on from a rung: the best for the places, and others for those that failed on the way.

    `lost` failed before they were done with the next rung. Where all that went on have failed, now or later, as many
    others go on. More failures only ever add networks, as `promote` keeps what it keeps for fewer places.
    """
    networks, keep = sorted(scores), places
    accuracy, rows = np.array([scores[network] for network in networks]), costs[networks]
    while True:
        chosen = [networks[index] for index in promote(accuracy, rows, keep)]
        here = places if failed >= set(chosen) else places - len(set(chosen) - lost)
        if here <= 0 or keep >= len(networks):
            return chosen
        keep += here


def promote(accuracy: Floats, costs: NDArray[Any], keep: int) -> list[int]:
    """Indices of the `keep` networks of a rung that are worth most, of accuracies [n] and costs [n, K] above zero.

    Non-dominated sorting: whole fronts, the best first; of the front that does not fit, the networks that add least
    hypervolume are dropped one by one (of large fronts several at a time). The most accurate network is always kept.
    Without costs, the most accurate. A larger `keep` keeps what a smaller one does. In order of front, then accuracy;
    ties by index.
    """
    values = np.asarray(accuracy, float)
    if costs.shape[1] == 0:
        return [int(index) for index in np.argsort(-values, kind="stable")[:keep]]
    cells = np.rint(np.log(np.maximum(costs, np.finfo(float).tiny)) / CELL)
    return list(_promote(tuple(values.tolist()), tuple(map(tuple, cells.tolist())), keep))


@lru_cache(maxsize=256)  # the search asks again after every result, mostly of the same rungs
def _promote(accuracy: tuple[float, ...], cells: tuple[tuple[float, ...], ...], keep: int) -> tuple[int, ...]:
    if keep < 1 or not accuracy:
        return ()
    losses, levels = np.max(accuracy) - np.array(accuracy), np.array(cells)
    ranks = pareto_rank(np.column_stack([losses, levels]))
    order = sorted(range(len(losses)), key=lambda index: (ranks[index], losses[index], index))
    split = ranks[order[min(keep, len(order)) - 1]]
    whole = [index for index in order if ranks[index] < split]
    front = [index for index in order if ranks[index] == split]
    widths = np.maximum(np.ptp(levels, axis=0) * CELL, COST_SCALE)
    scaled = np.column_stack([losses / (np.max(losses) or 1), (levels - levels.min(axis=0)) * CELL / widths])
    return (*whole, *_thin(front, scaled, keep - len(whole)))


def _thin(front: list[int], points: Floats, keep: int) -> list[int]:
    """Drop the least exclusive hypervolumes of a front [points in 0 to 1], never its first."""
    seen = set[tuple[float, ...]]()
    copies = [index for index in front if (point := tuple(points[index])) in seen or seen.add(point)]  # type: ignore[func-returns-value]
    for index in sorted(copies, reverse=True)[: max(len(front) - keep, 0)]:
        front = [other for other in front if other != index]
    while len(front) > keep:
        volumes = hv_contributions(points[front], ref=[REFERENCE] * points.shape[1])
        least = sorted(range(1, len(front)), key=lambda place: (volumes[place], -front[place]))
        count = min(len(front) - keep, len(front) // 16 if len(front) > ONE_BY_ONE else 1)
        dropped = {front[place] for place in least[:count]}
        front = [index for index in front if index not in dropped]
    return front
