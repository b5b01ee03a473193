"""Dynamic networks as candidates: trained networks one behind the other, whose images leave where one is sure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.dynamic_spec import CascadeSpec, MSNetSpec
from nas.msnet import WHOLE
from nas.problem import Candidate, Problem
from search_spaces import COSTS, LATENCY, LATENCY_WORST, MACS_WORST, BudgetError, content_id
from search_spaces.exits import exit_costs, up_to_exit
from trials.calibration import confidences, fit_temperature
from trials.cascades import TrainedNetworks, find_cascades
from trials.job import RouteFigures
from trials.route_job import RouteJob
from trials.scores import KeptScores


@dataclass(frozen=True, kw_only=True)
class Routed:
    """Trained networks in the order in which images come to them, and what their operating point may cost. S exits.

    `macs` [S] are those of going on to each exit, `bound` is on their expectation (None: no bound); `costs` are of all
    that runs in the worst case. `latencies` [S] are in milliseconds, where the spec asks for them.
    """

    method: str
    networks: tuple[str, ...]
    resolution: int
    bound: float | None
    macs: tuple[int, ...]
    costs: Mapping[str, int]
    share: float = 1.0
    latencies: tuple[float, ...] = ()  # as `macs`; that of an exit is its network's up to there, less what is before

    @cached_property
    def id(self) -> str:
        """Content id of the networks and of the rule by which they are left."""
        return routed_id(self.networks, self.bound)

    def job(self, scores: Sequence[str], seed: int) -> RouteJob:
        """The job that finds the operating point of a seed, on scores that were kept by these jobs."""
        return RouteJob(scores=tuple(scores), macs=self.macs, bound=self.bound, seed=seed)

    def costs_at(self, found: RouteFigures, images: int) -> dict[str, float]:
        """What a budget can bound, of images that left where this one says."""
        costs: dict[str, float] = {**self.costs, "macs": found.macs / images}
        if self.latencies:
            shares = [reached / images for reached in found.reached]
            costs[LATENCY] = round(sum(map(float.__mul__, shares, self.latencies)), 6)
            costs[LATENCY_WORST] = round(sum(self.latencies), 6)
        return costs

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` takes back."""
        return {**asdict(self), "costs": dict(self.costs)}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Routed":
        """The candidate of a stored search."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
        }
        return Routed(**values)


def routed_id(networks: Sequence[str], bound: float | None) -> str:
    """Content id of networks one behind the other, and of the rule by which they are left."""
    return content_id({"networks": list(networks), "bound": bound})


def propose_routed(
    problem: Problem,
    networks: Mapping[str, Candidate],
    kept: Mapping[str, Sequence[KeptScores]],
    say: Callable[[str], None],
) -> tuple[Routed, ...]:
    """What the methods make of the networks that are trained, each once.

    `kept` are the scores of the validation split, of each network's seeds in order. A pure function of them; `say` is
    told what a share of the budget is too small for.
    """
    found: dict[str, Routed] = {}
    for method in problem.spec.methods:
        if isinstance(method, MSNetSpec):
            own = [one for one in networks.values() if one.architecture.exits]
            made = [
                _routed(problem, [one], share, one.method.replace(WHOLE, method.name))
                for one, share in product(own, method.shares)
            ]
        elif isinstance(method, CascadeSpec):
            made = list(_cascades(problem, method, networks, kept, say))
        else:
            continue
        for routed in made:
            if routed.bound is not None and routed.macs[0] > routed.bound:
                least = f"its first exit takes {routed.macs[0]:,} MACs, and the bound is {routed.bound:,.0f}"
                say(f"{routed.method}: no operating point, as {least}")
                continue
            found.setdefault(routed.id, routed)
    return tuple(found.values())


def _cascades(
    problem: Problem,
    method: CascadeSpec,
    networks: Mapping[str, Candidate],
    kept: Mapping[str, Sequence[KeptScores]],
    say: Callable[[str], None],
) -> Iterator[Routed]:
    """For each share the best cascade of each number of stages; chosen on the images of all seeds together."""
    pool = sorted(
        (one for one in networks.values() if not one.architecture.exits), key=lambda one: (one.cost.macs, one.id)
    )
    calibrated = [[_calibrated(of_seed) for of_seed in kept[one.id]] for one in pool]
    trained = TrainedNetworks(
        confidence=np.array([np.concatenate([sure for sure, _ in one]) for one in calibrated]),
        correct=np.array([np.concatenate([right for _, right in one]) for one in calibrated]),
        macs=tuple(one.cost.macs for one in pool),
        params=tuple(one.cost.params for one in pool),
    )
    for share, stages in product(method.shares, range(2, method.stages + 1)):
        try:
            found = find_cascades(
                trained,
                _bounds(problem, share),
                fewest_stages=2,
                most_stages=stages,
                most_considered=method.considered,
            )
        except BudgetError as error:  # a share may be too small for any network
            say(f"cascade of {stages} at x{share:g}: none, as {error}")
            continue
        for cascade in found:
            chosen = [pool[i] for i in cascade.networks]
            sides = "+".join(str(one.architecture.resolution) for one in chosen)
            yield _routed(problem, chosen, share, f"cascade {sides}")


def _calibrated(kept: KeptScores) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How sure a network is of each image, and whether it is right."""
    scores = kept.scores[-1]
    confidence, prediction = confidences(scores, fit_temperature(scores, kept.labels))
    return confidence, prediction == kept.labels


def _bounds(problem: Problem, share: float) -> dict[str, float]:
    """The bounds that a cascade keeps."""
    return {
        name: share * bound if name == "macs" else bound
        for name, bound in problem.routed.items()
        if name in ("params", "macs", MACS_WORST)
    }


def _routed(problem: Problem, networks: Sequence[Candidate], share: float, method: str) -> Routed:
    bound = problem.routed.get("macs")
    macs = tuple(cost.macs for one in networks for cost in exit_costs(one.architecture))
    largest = {name: max(one.cost.bounded()[name] for one in networks) for name in COSTS}
    return Routed(
        method=method if share == 1 else f"{method} at x{share:g}",
        networks=tuple(one.id for one in networks),
        resolution=max(one.architecture.resolution for one in networks),
        bound=None if bound is None else share * bound,
        macs=macs,
        costs={**largest, "params": sum(one.cost.params for one in networks), MACS_WORST: sum(macs)},
        share=share,
        latencies=tuple(_latencies(problem, networks)),
    )


def _latencies(problem: Problem, networks: Sequence[Candidate]) -> Iterator[float]:
    """Milliseconds for going on to each exit."""
    if not problem.spec.measures_latency:
        return
    assert problem.latency_of is not None, "latency needs someone to measure"
    for network in networks:
        before = 0.0
        for number in range(len(network.architecture.exits)):
            until = problem.latency_of(up_to_exit(network.architecture, number))
            yield until - before
            before = until
        whole = network.latency_ms
        yield (problem.latency_of(network.architecture) if whole is None else whole) - before
