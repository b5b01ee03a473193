"""Whether Ray works: a worker is started as a search would start it, on a Ray of our own or on a cluster."""

import time
from dataclasses import dataclass
from typing import Any

# isort: off
from trials.ray_environment import WorkersError  # first: it sets what Ray reads at its import

import ray
# isort: on

from trials.placement import Placement
from trials.ray_start import live_nodes
from trials.ray_workers import start_workers


@dataclass(frozen=True, kw_only=True)
class RayFacts:
    """The nodes that live, with their cores and GPUs, and after how many seconds a worker answered (None: not yet)."""

    version: str
    nodes: tuple[tuple[str, float, float], ...]
    seconds: float | None


def try_ray(placement: Placement, seconds: float) -> RayFacts:
    """Start one worker, wait so long for its answer, and end all again.

    Raises WorkersError where Ray cannot be had, and where the worker fails.
    """
    began = time.monotonic()
    with start_workers(placement) as started:
        answer: Any = started().actors[0].ready.remote()
        done, _ = ray.wait([answer], timeout=seconds)
        took = time.monotonic() - began
        if done:
            try:
                ray.get(answer)
            except ray.exceptions.RayError as error:
                reason = " ".join(str(error).split())[-300:]
                raise WorkersError(f"a worker of Ray must start, but: {reason}; try --local") from error
        nodes = tuple(
            (str(node["NodeManagerAddress"]), node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
            for node in live_nodes().values()
        )
    return RayFacts(version=ray.__version__, nodes=nodes, seconds=took if done else None)
