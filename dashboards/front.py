"""Which of the trained networks are worth having: the front, the base beside it, and the winner."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import mean, stdev
from typing import Any

import numpy as np
from moocore import is_nondominated

from search_spaces import COSTS, LATENCY, LATENCY_WORST, MACS_WORST
from trials.job import JobResult
from trials.store import SLACK, Store

_COSTS = (*COSTS, MACS_WORST, LATENCY, LATENCY_WORST)


@dataclass(frozen=True, kw_only=True)
class Score:
    """Accuracies by seed, each on so many images."""

    by_seed: dict[int, float]
    images: int

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return mean(self.by_seed.values())

    @property
    def std(self) -> float | None:
        """Sample standard deviation over seeds; None for a single one."""
        return stdev(self.by_seed.values()) if len(self.by_seed) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Mean, spread, seeds, and the images that each was scored on."""
        by_seed = {str(seed): accuracy for seed, accuracy in self.by_seed.items()}
        return {
            "mean": self.mean,
            "std": self.std,
            "n": len(self.by_seed),
            "images": self.images,
            "by_seed": by_seed,
        }


@dataclass(frozen=True, kw_only=True)
class ScoredNetwork:
    """A network of a search with all it scored so far; slack is cost minus bound, `job_ids` are by seed.

    `validation` is of the seeds that it was found with, `confirmed` of fresh ones. `test` is of the seeds of the
    latter, where there are any.
    """

    id: str
    method: str
    resolution: int
    costs: Mapping[str, float]
    slack: Mapping[str, float]
    validation: Score
    confirmed: Score | None
    test: Score | None
    seconds: float
    job_ids: dict[int, str]
    choice: Mapping[str, int | float] = field(default_factory=dict)  # what its method chose
    stages: tuple[str, ...] = ()  # of a dynamic network: the trained ones that it consists of, by id
    family: str = ""  # its method's name in the spec; "" in stores from before
    original: str = ""  # in a study, the id of the network that it is compared with; an original has its own

    @property
    def final(self) -> Score:
        """What a winner is named by."""
        return self.confirmed or self.validation

    @property
    def final_job_ids(self) -> dict[int, str]:
        """The trainings whose weights are scored on test, by seed."""
        return {seed: self.job_ids[seed] for seed in self.final.by_seed}

    @property
    def trained_ids(self) -> set[str]:
        """The networks that are trained for it: itself, or what a dynamic one consists of."""
        return set(self.stages) or {self.id}

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
            **({"confirmed_accuracy": self.confirmed.to_json()} if self.confirmed else {}),
            "seconds": self.seconds,
            **({"test_accuracy": self.test.to_json()} if self.test else {}),
            **({"choice": dict(self.choice)} if self.choice else {}),
            **({"stages": list(self.stages)} if self.stages else {}),
        }


@dataclass(frozen=True, kw_only=True)
class FailedTraining:
    """A training or pruning without a result: its last failure; a settled one is not tried again."""

    network_id: str
    resolution: int
    seed: int
    cause: str
    settled: bool
    pruning: bool


@dataclass(frozen=True, kw_only=True)
class Front:
    """The base (None until all its seeds are trained), the non-dominated networks, the winner.

    Only networks whose seeds are all trained to the end and that keep the budget stand on the front; the base stands on
    it where it is one of them. Where the spec says so, base and front are trained with fresh seeds and judged by these
    alone; a network that comes onto the front because others were only lucky is trained again, too. `unconfirmed` are
    those that wait for it. The winner has the highest mean validation accuracy of a front that has none; a study has no
    winner.
    """

    name: str
    complete: bool
    base: ScoredNetwork | None
    front: tuple[ScoredNetwork, ...]
    winner: ScoredNetwork | None
    trained: int
    unconfirmed: tuple[str, ...]
    failed: tuple[FailedTraining, ...]
    study: tuple[ScoredNetwork, ...]  # all networks of a study, with their test figures
    networks: tuple[ScoredNetwork, ...]  # all that have all their seeds, in the order of their first trials
    compares: bool  # whether methods are compared at one budget: then all networks have test figures in the end
    data: Mapping[str, Any]
    objectives: tuple[str, ...] = ("accuracy", "macs")

    def to_json(self) -> dict[str, Any]:
        """The listing of `nas front --json`."""
        return {
            "name": self.name,
            "complete": self.complete,
            "trained": self.trained,
            "data": {key: self.data[key] for key in ("fingerprint", "split_fingerprint", "sizes")},
            "base": self.base and self.base.to_json(),
            "front": [network.to_json() for network in self.front],
            "winner": self.winner and self.winner.to_json(),
            **({"networks": [network.to_json() for network in self.networks]} if self.compares else {}),
            **({"descents": self.data["descents"]} if self.data.get("descents") else {}),
            "failed": [asdict(training) for training in self.failed],
        }


def read_front(store: Store, name: str) -> Front:
    """The front of a search as far as it has come; raises StoreError for an unknown name."""
    search = store.search(name)
    train = search.spec["train"]
    seeds, fresh = train["seeds"], train.get("confirm", 0)
    job_ids = set(search.job_ids)
    # prunings have trials only where they failed; dynamic networks are known by what others found
    others = ("prune", "route")
    trials = [trial for trial in store.trials(name) if trial["job_id"] in job_ids or trial.get("role") in others]
    done = [trial for trial in trials if not trial.keys() & {"failure", "pruned"}]
    results = store.results(trial["job_id"] for trial in done)
    networks = _score_networks(done, results, seeds, fresh)
    settled = {trial["network_id"] for trial in trials if trial.get("settled")}
    sound = [network for network in networks if network.feasible and not settled & network.trained_ids]
    front = _non_dominated(sound, search.spec["objectives"])
    base = next((network for network in networks if network.method == "base"), None)
    judged = {one.id: one for one in (*([base] if base else []), *front) if not settled & one.trained_ids}
    waiting = [network.id for network in judged.values() if fresh and network.confirmed is None]
    is_study = search.spec.get("study") is not None  # whose networks have a budget each: none is the best of all
    winner = None if waiting or is_study else max(front, key=_rank, default=None)
    compares = any(method["name"] != "compensation" for method in search.spec["methods"])
    return Front(
        name=name,
        complete=search.finished,
        base=base and _with_test(store, base, results),
        front=tuple(front),
        winner=winner and _with_test(store, winner, results),
        trained=len(networks),
        unconfirmed=tuple(waiting),
        failed=_failed(trials),
        study=tuple(_with_test(store, network, results) for network in networks if network.original),
        networks=tuple(_with_test(store, network, results) if compares else network for network in networks),
        compares=compares,
        data=search.data,
        objectives=tuple(search.spec["objectives"]),
    )


def _failed(trials: Sequence[dict[str, Any]]) -> tuple[FailedTraining, ...]:
    """The trainings whose last trial failed."""
    last = {trial["job_id"]: trial for trial in trials}
    return tuple(
        FailedTraining(
            network_id=trial["network_id"],
            resolution=trial["resolution"],
            seed=trial["seed"],
            cause=trial["failure"],
            settled=bool(trial.get("settled")),
            pruning=trial.get("role") == "prune",
        )
        for trial in last.values()
        if "failure" in trial
    )


def _rank(network: ScoredNetwork) -> tuple[float, float, str]:
    """Best validation accuracy; of equals the one with fewer MACs; then by id, so that every run agrees."""
    return network.final.mean, -network.costs["macs"], network.id


def _score_networks(
    trials: Sequence[dict[str, Any]], results: dict[str, JobResult], seeds: int, fresh: int
) -> list[ScoredNetwork]:
    """One entry a network whose first seeds are all trained, in the order of their first trials."""
    by_network: defaultdict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for trial in trials:
        by_network[trial["network_id"]][trial["seed"]] = trial
    return [
        _score_network(by_seed, results, seeds, fresh)
        for by_seed in by_network.values()
        if by_seed.keys() >= set(range(seeds))
    ]


def _score_network(
    by_seed: dict[int, dict[str, Any]], results: dict[str, JobResult], seeds: int, fresh: int
) -> ScoredNetwork:
    attributes = by_seed[0]
    job_ids = {seed: by_seed[seed]["job_id"] for seed in sorted(by_seed)}
    confirming = range(seeds, seeds + fresh)
    confirmed = fresh > 0 and by_seed.keys() >= set(confirming)
    return ScoredNetwork(
        id=attributes["network_id"],
        method=attributes["method"],
        resolution=attributes["resolution"],
        costs={name: _mean(by_seed, name) for name in _COSTS if name in attributes},
        slack={key.removeprefix(SLACK): _mean(by_seed, key) for key in attributes if key.startswith(SLACK)},
        validation=_score({seed: results[job_ids[seed]] for seed in range(seeds)}),
        confirmed=_score({seed: results[job_ids[seed]] for seed in confirming}) if confirmed else None,
        test=None,
        seconds=mean(results[job_id].wall_seconds for job_id in job_ids.values()),
        job_ids=job_ids,
        choice=attributes.get("choice", {}),
        family=attributes.get("family", ""),
        original=attributes.get("original", ""),
        stages=tuple(attributes.get("stages", ())),
    )


def _mean(by_seed: Mapping[int, Mapping[str, Any]], name: str) -> float:
    """Of a cost over seeds: they differ where images leave at several exits."""
    values: list[float] = [trial[name] for trial in by_seed.values()]
    return values[0] if len(set(values)) == 1 else mean(values)


def _score(results: Mapping[int, JobResult]) -> Score:
    return Score(
        by_seed={seed: result.accuracy for seed, result in results.items()},
        images=next(iter(results.values())).images,
    )


def _with_test(store: Store, network: ScoredNetwork, results: dict[str, JobResult]) -> ScoredNetwork:
    """The network with its test accuracies, where the weights of every seed have been scored."""
    tests = {seed: store.on_test(job_id, results[job_id]) for seed, job_id in network.final_job_ids.items()}
    scored = store.results(tests.values())
    if len(scored) < len(tests):
        return network
    return replace(network, test=_score({seed: scored[job_id] for seed, job_id in tests.items()}))


def _non_dominated(networks: list[ScoredNetwork], objectives: Sequence[str]) -> list[ScoredNetwork]:
    """Networks that no other beats in one objective without losing in another, the cheapest first."""
    if not networks:
        return []
    points = np.array(
        [[n.final.mean if name == "accuracy" else n.costs[name] for name in objectives] for n in networks]
    )
    keep = is_nondominated(points, maximise=[name == "accuracy" for name in objectives], keep_weakly=True)
    return sorted((n for n, kept in zip(networks, keep, strict=True) if kept), key=lambda n: n.costs["macs"])
