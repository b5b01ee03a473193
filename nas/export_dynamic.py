"""The part of an exported file that says how a dynamic network routes images; and back to a torch module."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dashboards import ScoredNetwork
from nas.export_format import Dynamic, DynamicPart, Exit, ExportedNetwork
from nas.routed import routed_id
from search_spaces import COSTS, MACS_WORST, Architecture, NetworkError, count_cost
from search_spaces.build import Network, build
from search_spaces.exits import exit_costs
from search_spaces.routing import RoutedNetwork
from trials.checkpoint import load_weights, read_weights, weights_bytes
from trials.images import Preprocess
from trials.job import Job, RouteFigures
from trials.store import Store
from trials.weights import checkpoint_path


def read_parts(store: Store, winner: ScoredNetwork, seed: int) -> tuple[Dynamic, list[Job], bytes]:
    """How the winner's weights of a seed route images, the trainings of its networks, and their weights as one file."""
    job_id = winner.job_ids[seed]
    route, found = store.route(job_id), store.results([job_id])[job_id]
    test = store.results([store.on_test(job_id, found)]).popitem()[1].route
    assert found.route is not None, "an operating point has figures"
    assert test is not None, "an operating point has figures"
    jobs = [store.job(id_) for id_ in route.scores]
    tensors: dict[str, Tensor] = {}
    for i, job in enumerate(jobs):
        own = read_weights(checkpoint_path(store.checkpoints, job), job.weights_sha256)
        tensors |= {f"networks.{i}.{name}": tensor for name, tensor in own.items()}
    dynamic = Dynamic(
        networks=[
            DynamicPart(
                network_id=job.architecture.id,
                resolution=job.architecture.resolution,
                architecture=job.architecture.to_json(),
            )
            for job in jobs
        ],
        exits=_exits([job.architecture for job in jobs], found.route, test),
        bound=route.bound,
    )
    return dynamic, [job.training() for job in jobs], weights_bytes(tensors)


def _places(networks: list[Architecture]) -> list[tuple[int, int]]:
    """Of every exit its network's number, and the MACs for going on to it."""
    return [(i, cost.macs) for i, network in enumerate(networks) for cost in exit_costs(network)]


def _exits(networks: list[Architecture], validation: RouteFigures, test: RouteFigures) -> list[Exit]:
    thresholds: list[float | None] = [*validation.thresholds, None]
    return [
        Exit(
            network=i,
            macs=macs,
            threshold=thresholds[number],
            temperature=validation.temperatures[number],
            reached={"validation": validation.reached[number], "test": test.reached[number]},
        )
        for number, (i, macs) in enumerate(_places(networks))
    ]


def count_dynamic(dynamic: Dynamic, networks: list[Architecture]) -> dict[str, Any]:
    """What the file must state of the networks, counted again: costs, resolution, id.

    Raises NetworkError where exits are not those of the networks, or no images reached them in this order.
    """
    places = _places(networks)
    if [(one.network, one.macs) for one in dynamic.exits] != places:
        raise NetworkError("dynamic.exits must be those of its networks, with their MACs, but are not")
    if [one.threshold is None for one in dynamic.exits] != [False] * (len(places) - 1) + [True]:
        raise NetworkError("every exit but the last must have a threshold")
    stated = [(part.network_id, part.resolution) for part in dynamic.networks]
    if stated != [(network.id, network.resolution) for network in networks]:
        raise NetworkError("dynamic.networks must state their ids and resolutions, but state others")
    reached = [one.reached.get("validation", 0) for one in dynamic.exits]
    if reached[0] < 1 or reached != sorted(reached, reverse=True):
        raise NetworkError(f"images must reach exits in their order, but of validation so many did: {reached}")
    counts = [count_cost(network).bounded() for network in networks]
    largest: dict[str, float] = {name: max(count[name] for count in counts) for name in COSTS}
    return {
        **largest,
        "params": sum(count["params"] for count in counts),
        "macs": sum(images * macs for images, (_, macs) in zip(reached, places, strict=True)) / reached[0],
        MACS_WORST: sum(macs for _, macs in places),
        "resolution": max(network.resolution for network in networks),
        "network_id": routed_id([network.id for network in networks], dynamic.bound),
    }


def build_dynamic(info: ExportedNetwork, networks: list[Architecture], tensors: Mapping[str, Tensor]) -> RoutedNetwork:
    """The networks with their weights, routed as the file says; raises CheckpointError where weights are others."""
    assert info.dynamic is not None, "a dynamic network says how it routes"
    built: list[Network] = []
    for i, architecture in enumerate(networks):
        prefix = f"networks.{i}."
        network = build(architecture)
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        load_weights(network, own)
        built.append(network)
    exits = info.dynamic.exits[:-1]
    return RoutedNetwork(
        built,
        [Preprocess(one.resolution, info.preprocessing.mean, info.preprocessing.std) for one in networks],
        thresholds=[one.threshold or 0.0 for one in exits],
        temperatures=[one.temperature for one in exits],
    )
