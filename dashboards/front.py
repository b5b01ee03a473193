"""Which of the trained networks are worth having: the front, the base beside it, and the winner."""

import gc
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from statistics import fmean
from typing import Any

import numpy as np
from moocore import is_nondominated

from dashboards.picks import Pick, make_picks
from dashboards.scored import Score, ScoredNetwork, mean_of
from dashboards.study import make_study_rows
from search_spaces import COSTS, LATENCY, LATENCY_WORST, MACS_WORST
from trials.results import Figures
from trials.store import SLACK, Store

_COSTS = (*COSTS, MACS_WORST, LATENCY, LATENCY_WORST)


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

    @property
    def picks(self) -> list[Pick]:
        """Which networks to look at first; none of a study."""
        return make_picks(self)

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
            **({"study": [row.to_json() for row in make_study_rows(self.study)]} if self.study else {}),
            "picks": [pick.to_json() for pick in self.picks],
        }


def read_front(store: Store, name: str) -> Front:
    """The front of a search as far as it has come; raises StoreError for an unknown name."""
    with _no_collections():
        return _read_front(store, name)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Tens of thousands of small objects are made, none in a circle: looking for such took a quarter of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read_front(store: Store, name: str) -> Front:
    search = store.search(name, networks=False)
    train = search.spec["train"]
    seeds, fresh = train["seeds"], train.get("confirm", 0)
    job_ids = set(search.job_ids)
    # prunings have trials only where they failed; dynamic networks are known by what others found
    others = ("prune", "route")
    trials = [trial for trial in store.trials(name) if trial["job_id"] in job_ids or trial.get("role") in others]
    done = [trial for trial in trials if not trial.keys() & {"failure", "pruned"}]
    results = store.figures(trial["job_id"] for trial in done)
    done = [trial for trial in done if trial["job_id"] in results]  # not those whose results were removed
    networks = [
        _with_routed_test(store, network) if network.stages else network
        for network in _score_networks(done, results, seeds, fresh)
    ]
    settled = {trial["network_id"] for trial in trials if trial.get("settled")}
    sound = [one for one in networks if one.feasible and not (settled and settled & one.trained_ids)]
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
        base=base,
        front=tuple(map(_untested, front)),
        winner=winner,
        trained=len(networks),
        unconfirmed=tuple(waiting),
        failed=_failed(trials),
        study=tuple(network for network in networks if network.original),
        networks=tuple(networks if compares else map(_untested, networks)),
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
    trials: Sequence[dict[str, Any]], results: dict[str, Figures], seeds: int, fresh: int
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
    by_seed: dict[int, dict[str, Any]], results: Mapping[str, Figures], seeds: int, fresh: int
) -> ScoredNetwork:
    attributes = by_seed[0]
    costs, slack = _costs_and_slack(tuple(attributes))
    if attributes.get("stages"):  # where images leave at several exits costs differ over seeds
        means = {key: mean_of([trial[key] for trial in by_seed.values()]) for key in (*costs, *slack.values())}
        attributes = attributes | means
    job_ids = {seed: by_seed[seed]["job_id"] for seed in sorted(by_seed)}
    found = {seed: results[job_id] for seed, job_id in job_ids.items()}
    first = {seed: found[seed] for seed in range(seeds)}
    later = {seed: found[seed] for seed in range(seeds, seeds + fresh) if seed in found} if fresh else {}
    confirmed = fresh > 0 and len(later) == fresh
    return ScoredNetwork(
        id=attributes["network_id"],
        method=attributes["method"],
        resolution=attributes["resolution"],
        costs={name: attributes[name] for name in costs},
        slack={name: attributes[key] for name, key in slack.items()},
        validation=_score(first),
        confirmed=_score(later) if confirmed else None,
        test=_test_score(later if confirmed else first),
        seconds=fmean([figures.wall_seconds for figures in found.values()]),
        job_ids=job_ids,
        choice=attributes.get("choice", {}),
        family=attributes.get("family", ""),
        original=attributes.get("original", ""),
        stages=tuple(attributes.get("stages", ())),
    )


@cache
def _costs_and_slack(names: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    """Which of a trial's attributes are costs, and which, by the bound, say how far below it they are."""
    slack = {name.removeprefix(SLACK): name for name in names if name.startswith(SLACK)}
    return [name for name in _COSTS if name in names], slack


def _score(found: Mapping[int, Figures]) -> Score:
    return Score(
        by_seed={seed: one.correct / one.images for seed, one in found.items()},
        images=next(iter(found.values())).images,
    )


def _test_score(found: Mapping[int, Figures]) -> Score | None:
    """Of the weights of these seeds, where all of them have been scored on test."""
    by_seed = {seed: one.test_correct / one.test_images for seed, one in found.items() if one.test_images}
    if len(by_seed) < len(found):
        return None
    return Score(by_seed=by_seed, images=next(iter(found.values())).test_images)


def _with_routed_test(store: Store, network: ScoredNetwork) -> ScoredNetwork:
    """A dynamic network with its test accuracies, where all of its operating points were scored there."""
    results = store.results(network.final_job_ids.values())
    on_test = {seed: store.on_test(id_, results[id_]) for seed, id_ in network.final_job_ids.items()}
    found = store.figures(on_test.values())
    if len(found) < len(on_test):
        return network
    return replace(network, test=_score({seed: found[id_] for seed, id_ in on_test.items()}))


def _untested(network: ScoredNetwork) -> ScoredNetwork:
    """What is listed of a network that was only scored on test because it is the base or the winner, too."""
    return network if network.test is None else replace(network, test=None)


def _non_dominated(networks: list[ScoredNetwork], objectives: Sequence[str]) -> list[ScoredNetwork]:
    """Networks that no other beats in one objective without losing in another, the cheapest first."""
    if not networks:
        return []
    points = np.array(
        [[n.final.mean if name == "accuracy" else n.costs[name] for name in objectives] for n in networks]
    )
    keep = is_nondominated(points, maximise=[name == "accuracy" for name in objectives], keep_weakly=True)
    return sorted((n for n, kept in zip(networks, keep, strict=True) if kept), key=lambda n: n.costs["macs"])
