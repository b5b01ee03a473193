"""Starts Ray on this machine or joins a cluster, says how many workers it holds, and notices when it is gone."""

import os
import socket
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

# isort: off
from trials.ray_environment import (
    DeviceError,
    RayLostError,
    WorkersError,
    cluster_token,
    own_token,
)  # first: what Ray reads

import ray
from ray.job_config import JobConfig
# isort: on

from trials.placement import ALONE, Placement

LOOK_SECONDS, LOOKS = 1.0, 3  # Ray is gone when it was not there so many times in a row
GRACE_SECONDS = 10.0  # for the driver to end by itself, before Ray would end it without a word, a minute after its head
REACH_SECONDS = 20.0  # for a cluster to accept the first connection
TUNE_SHARE = 0.0005  # of the node of the driver, for each of Tune's trials: these compute nothing


@dataclass(frozen=True, kw_only=True)
class Ray:
    """A Ray that stands: how many workers, what each of Tune's trials takes, and what watches it."""

    count: int
    trial_resources: Mapping[str, float]
    watch: "Watch"


def start_ray(placement: Placement) -> Ray:
    """Ray as `placement` says; raises WorkersError where it cannot be had."""
    try:
        if placement.address:
            cluster_token()
            _read_token_again()
            _reach(placement.address)  # Ray would try for many minutes
            ray.init(address=placement.address, job_config=_own_code_alone(), **_QUIET)
            count = _count_on_cluster(placement, live_nodes().values())
            resources = {"cpu": 0, f"node:{_own_node()['NodeManagerAddress']}": TUNE_SHARE}
        else:
            own_token()
            _read_token_again()
            count = ALONE if placement.count is None else placement.count
            ray.init(
                job_config=_own_code_alone(),
                address="local",  # never a cluster that happens to run on this machine
                num_cpus=count * placement.cpus,
                num_gpus=None if placement.gpus else 0,
                resources={"trial": count},  # what Tune counts: its trials compute nothing
                include_dashboard=False,
                **_QUIET,
            )
            resources = {"cpu": 0, "trial": 1}
    except (RuntimeError, ValueError, OSError) as error:  # Ray's own errors are RuntimeErrors
        reason = " ".join(str(error).split())[:300]
        if placement.address:
            raise WorkersError(
                f"a Ray cluster must answer at {placement.address} (ray.address, NAS_RAY_ADDRESS), and a node of it "
                f"run on this machine, but: {reason}; docs/cluster.md shows how"
            ) from error
        raise WorkersError(f"Ray must be able to start on this machine, but: {reason}; try --local") from error
    return Ray(count=count, trial_resources=resources, watch=Watch(_services(), cluster=bool(placement.address)))


_QUIET: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "logging_level": "CRITICAL"}


def _own_code_alone() -> JobConfig:
    """Otherwise workers look for modules in the working folder first: a torch.py there would be run."""
    return JobConfig(_client_job=True)


def _read_token_again() -> None:
    """Ray keeps the first token that it reads, but one process may have a Ray of its own and then join a cluster."""
    loader = getattr(ray._raylet, "AuthenticationTokenLoader", None)  # compiled; not in Ray before there were tokens
    if loader is not None:
        loader.instance().reset_cache()
    config = getattr(ray._raylet, "Config", None)  # compiled; what Ray itself does when it turns authentication on
    if config is not None:
        config.initialize("")  # a script may have imported Ray before us, without authentication


def check_gpus(workers: int, share: float) -> None:
    """Raises DeviceError where this machine's GPUs are too few."""
    import torch  # of searches on a GPU alone

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not gpus:
        raise DeviceError("search.device cuda needs a GPU that torch can use, but there is none; set it to cpu")
    if workers > gpus * int(1 / share):
        raise DeviceError(
            f"ray.max_concurrent must be at most {gpus * int(1 / share)} on {gpus} GPUs where each takes "
            f"ray.gpus_per_job {share:g}, but is {workers}; lower one of them"
        )


def live_nodes() -> dict[str, Mapping[str, Any]]:
    """What Ray says of each node that lives, by its id."""
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return {str(node["NodeID"]): node for node in nodes if node["Alive"]}


def _own_node() -> Mapping[str, Any]:
    return live_nodes()[str(ray.get_runtime_context().get_node_id())]


def _count_on_cluster(placement: Placement, nodes: Collection[Mapping[str, Any]]) -> int:
    """As many workers as were asked for, else as the nodes that live hold. One worker's share is of one GPU."""
    room = 0
    for node in nodes:
        held = int(node["Resources"].get("CPU", 0) // placement.cpus)
        if placement.gpus:
            held = min(held, int(node["Resources"].get("GPU", 0)) * int(1 / placement.gpus))
        room += held
    if placement.count is None and not room:
        raise WorkersError(
            f"a node of the cluster must have {placement.cpus} cores (ray.cpus_per_job)"
            f"{f' and {placement.gpus:g} of a GPU (ray.gpus_per_job)' if placement.gpus else ''}, but none of "
            f"{len(nodes)} has; lower these, or set ray.max_concurrent to wait for nodes that join"
        )
    return placement.count or room


def _services() -> list[tuple[str, int]]:
    """Where Ray's head and the node of this process listen."""
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    own = _own_node()
    return [(host.strip("[]"), int(port)), (own["NodeManagerAddress"], own["NodeManagerPort"])]


class Watch:
    """Looks whether Ray is there, as its own client waits a minute and then ends the process without a word.

    Once it is gone, `error` says so; a driver that has not called `end` GRACE_SECONDS later, as it waits for a Ray that
    never answers, is ended here, with the error's line and status. Its store is made for that (docs/architecture.md).
    """

    def __init__(self, services: Sequence[tuple[str, int]], *, cluster: bool) -> None:
        self._cluster = cluster
        self._services, self._over, self._lost = services, Event(), Event()
        self._thread = Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()

    @property
    def error(self) -> RayLostError | None:
        """What to raise once Ray is gone."""
        if not self._lost.is_set():
            return None
        where = " and ".join(f"{host}:{port}" for host, port in self._services)
        return RayLostError(
            f"Ray must run as long as the search, but does not answer at {where} any more; what is done is kept; "
            f"{'start it again, and ' if self._cluster else ''}the same command goes on"
        )

    def look(self) -> RayLostError | None:
        """Look now, as after something that went wrong."""
        if any(not _answers(service) for service in self._services):
            self._lost.set()
        return self.error

    def end(self) -> None:
        """Stop watching."""
        self._over.set()

    def _watch(self) -> None:
        missed = 0
        while missed < LOOKS and not self._lost.is_set():
            if self._over.wait(LOOK_SECONDS):
                return
            missed = 0 if all(map(_answers, self._services)) else missed + 1
        self._lost.set()
        if not self._over.wait(GRACE_SECONDS):
            print(f"error: {self.error}", file=sys.stderr, flush=True)
            os._exit(RayLostError.exit_status)


def _reach(address: str) -> None:
    """Raises OSError where nothing accepts connections at host:port."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()


def _answers(service: tuple[str, int]) -> bool:
    try:
        socket.create_connection(service, timeout=5).close()
    except OSError:
        return False
    return True
