"""Invented networks and fronts."""

from collections.abc import Sequence

from dashboards.front import Front
from dashboards.scored import Score, ScoredNetwork

BOUNDS = {"params": 1000.0, "macs": 100.0}


def network(
    name: str,
    accuracy: float,
    macs: float,
    *,
    family: str = "isometric",
    seeds: Sequence[float] = (-0.01, 0.0, 0.01),
    fresh: Sequence[float] | None = None,
    test: Sequence[float] | None = None,
    resolution: int = 20,
    params: float = 500.0,
    latency: float | None = None,
) -> ScoredNetwork:
    """Of accuracies around a mean; over the budget where it has more than 100 MACs or 1,000 params."""
    costs = {"params": params, "macs": macs, "activation_elements": 10.0}
    costs |= {} if latency is None else {"latency_ms": latency}
    found = Score(by_seed={i: accuracy + one for i, one in enumerate(seeds)}, images=100)
    confirmed = None
    if fresh is not None:
        confirmed = Score(by_seed={len(seeds) + i: accuracy + one for i, one in enumerate(fresh)}, images=100)
    own = confirmed or found
    return ScoredNetwork(
        id=name,
        method=name,
        resolution=resolution,
        costs=costs,
        slack={name: costs[name] - bound for name, bound in BOUNDS.items()},
        validation=found,
        confirmed=confirmed,
        test=None if test is None else Score(by_seed=dict(zip(own.by_seed, test, strict=True)), images=50),
        seconds=1.0,
        job_ids={seed: f"{name}-{seed}" for seed in (*found.by_seed, *(confirmed.by_seed if confirmed else ()))},
        family="base" if name == "base" else family,
    )


def front(
    networks: Sequence[ScoredNetwork], on_front: Sequence[str], objectives: tuple[str, ...] = ("accuracy", "macs")
) -> Front:
    """Of these networks, some on the front; the most accurate of them wins."""
    own = tuple(one for one in networks if one.id in on_front)
    return Front(
        name="s",
        complete=True,
        base=next((one for one in networks if one.method == "base"), None),
        front=own,
        winner=max(own, key=lambda one: one.final.mean, default=None),
        trained=len(networks),
        unconfirmed=(),
        failed=(),
        study=(),
        networks=tuple(networks),
        compares=True,
        data={},
        objectives=objectives,
    )
