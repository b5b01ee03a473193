"""Which of the trained networks are worth having: the front, the base beside it, and the winner."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Any

import numpy as np
from moocore import is_nondominated

from search_spaces import COSTS, LATENCY
from trials.job import JobResult
from trials.store import SLACK, Store


@dataclass(frozen=True, kw_only=True)
class Score:
    """Accuracies by seed."""

    by_seed: dict[int, float]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return mean(self.by_seed.values())

    @property
    def std(self) -> float | None:
        """Sample standard deviation over seeds; None for a single one."""
        return stdev(self.by_seed.values()) if len(self.by_seed) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Mean, spread and number of seeds."""
        return {"mean": self.mean, "std": self.std, "n": len(self.by_seed)}


@dataclass(frozen=True, kw_only=True)
class ScoredNetwork:
    """A network of a search with all it scored so far; slack is cost minus bound, `job_ids` are by seed."""

    id: str
    method: str
    resolution: int
    costs: Mapping[str, float]
    slack: Mapping[str, float]
    validation: Score
    test: Score | None
    seconds: float
    job_ids: dict[int, str]

    @property
    def feasible(self) -> bool:
        """True when it keeps every bound."""
        return all(slack <= 0 for slack in self.slack.values())

    def to_json(self) -> dict[str, Any]:
        """What listings show of it; test figures where there are any."""
        return {
            "id": self.id,
            "method": self.method,
            "resolution": self.resolution,
            **self.costs,
            "feasible": self.feasible,
            "validation_accuracy": self.validation.to_json(),
            "seconds": self.seconds,
            **({"test_accuracy": self.test.to_json()} if self.test else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Front:
    """The base (None until all its seeds are trained), the non-dominated networks, the winner.

    Only networks whose seeds are all trained and that keep the budget stand on the front; the base stands on
    it where it is one of them. The winner has the highest mean validation accuracy of these.
    """

    name: str
    complete: bool
    base: ScoredNetwork | None
    front: tuple[ScoredNetwork, ...]
    winner: ScoredNetwork | None
    trained: int

    def to_json(self) -> dict[str, Any]:
        """The listing of `nas front --json`."""
        return {
            "name": self.name,
            "complete": self.complete,
            "trained": self.trained,
            "base": self.base and self.base.to_json(),
            "front": [network.to_json() for network in self.front],
            "winner": self.winner and self.winner.to_json(),
        }


def read_front(store: Store, name: str) -> Front:
    """The front of a search as far as it has come; raises StoreError for an unknown name."""
    search = store.search(name)
    objectives, seeds = search.spec["objectives"], search.spec["train"]["seeds"]
    job_ids = set(search.job_ids)
    trials = [trial for trial in store.trials(name) if trial["job_id"] in job_ids and "failure" not in trial]
    results = store.results(trial["job_id"] for trial in trials)
    networks = [network for network in _score_networks(trials, results) if len(network.job_ids) == seeds]
    base = next((network for network in networks if network.method == "base"), None)
    feasible = [network for network in networks if network.feasible]
    winner = max(feasible, key=_rank, default=None)
    return Front(
        name=name,
        complete=search.finished,
        base=base and _with_test(store, base, results),
        front=tuple(_non_dominated(feasible, objectives)),
        winner=winner and _with_test(store, winner, results),
        trained=len(networks),
    )


def _rank(network: ScoredNetwork) -> tuple[float, float, str]:
    """Best validation accuracy; of equals the one with fewer MACs; then by id, so that every run agrees."""
    return network.validation.mean, -network.costs["macs"], network.id


def _score_networks(trials: Sequence[dict[str, Any]], results: dict[str, JobResult]) -> list[ScoredNetwork]:
    """One entry a network, its trials put together, in the order of their first trial."""
    by_network: defaultdict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for trial in trials:
        by_network[trial["network_id"]][trial["seed"]] = trial
    return [_score_network(by_seed, results) for by_seed in by_network.values()]


def _score_network(by_seed: dict[int, dict[str, Any]], results: dict[str, JobResult]) -> ScoredNetwork:
    attributes = next(iter(by_seed.values()))
    job_ids = {seed: by_seed[seed]["job_id"] for seed in sorted(by_seed)}
    return ScoredNetwork(
        id=attributes["network_id"],
        method=attributes["method"],
        resolution=attributes["resolution"],
        costs={name: attributes[name] for name in (*COSTS, LATENCY) if name in attributes},
        slack={key.removeprefix(SLACK): value for key, value in attributes.items() if key.startswith(SLACK)},
        validation=Score(by_seed={seed: results[job_id].accuracy for seed, job_id in job_ids.items()}),
        test=None,
        seconds=mean(results[job_id].wall_seconds for job_id in job_ids.values()),
        job_ids=job_ids,
    )


def _with_test(store: Store, network: ScoredNetwork, results: dict[str, JobResult]) -> ScoredNetwork:
    """The network with its test accuracies, where the weights of every seed have been scored."""
    tests = {
        seed: store.job(job_id).scored_on_test(results[job_id].weights_sha256).id
        for seed, job_id in network.job_ids.items()
    }
    scored = store.results(tests.values())
    if len(scored) < len(tests):
        return network
    return replace(network, test=Score(by_seed={seed: scored[job_id].accuracy for seed, job_id in tests.items()}))


def _non_dominated(networks: list[ScoredNetwork], objectives: Sequence[str]) -> list[ScoredNetwork]:
    """Networks that no other beats in one objective without losing in another, the cheapest first."""
    if not networks:
        return []
    points = np.array(
        [[n.validation.mean if name == "accuracy" else n.costs[name] for name in objectives] for n in networks]
    )
    keep = is_nondominated(points, maximise=[name == "accuracy" for name in objectives], keep_weakly=True)
    return sorted((n for n, kept in zip(networks, keep, strict=True) if kept), key=lambda n: n.costs["macs"])
