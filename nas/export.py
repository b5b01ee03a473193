"""The network to use, as one JSON file with its weights beside it; and back to a torch module."""

from collections.abc import Iterable
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load
from torch import Tensor, nn

from dashboards import Front, ScoredNetwork, read_front
from dashboards.scored import Score
from nas.export_dynamic import build_dynamic, count_dynamic, read_parts
from nas.export_format import (
    FORMAT_VERSION,
    MAC_RULE,
    Accuracy,
    Base,
    Costs,
    Data,
    ExportedNetwork,
    LatencyConditions,
    Preprocessing,
    Split,
    Training,
    Weights,
)
from nas.spec_errors import explain
from nas.texts import MOST_JSON, TextError, read_text
from search_spaces import LATENCY, Architecture, NasError, NetworkError, count_cost
from search_spaces.build import Network, build
from search_spaces.routing import RoutedNetwork
from trials.checkpoint import load_weights, read_weights
from trials.images import Preprocess
from trials.source_facts import public_name
from trials.store import Store
from trials.weights import checkpoint_path, read_bytes, sha256


class ExportError(NasError):
    """Something that cannot be exported, or a file that is no sound export."""


class LoadedNetwork(nn.Module):
    """A trained network that takes images as they are: uint8 [N, C, H, W], any side, to scores [N, classes].

    `info` is the file that it came from, `network` the part after preprocessing; where images leave at several exits it
    is a `RoutedNetwork`, which preprocesses them for each of its networks.
    """

    def __init__(self, info: ExportedNetwork, network: Network | RoutedNetwork) -> None:
        super().__init__()
        self.info = info
        own = Preprocess(info.resolution, info.preprocessing.mean, info.preprocessing.std)
        self.preprocess = own if info.dynamic is None else nn.Identity()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Class scores [N, classes] of images uint8 [N, C, H, W]; raises TypeError for other types."""
        return self.route(images)[0]

    def route(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Class scores [N, classes], and int64 [N] which exit gave those of each image; 0 where there is but one."""
        if isinstance(self.network, RoutedNetwork):
            return self.network.route(images)
        scores: Tensor = self.network(self.preprocess(images))
        return scores, torch.zeros(len(images), dtype=torch.int64, device=scores.device)


def export_winner(store: Store, name: str, weights_file: str | None = None) -> tuple[ExportedNetwork, bytes]:
    """The winner of a finished search, and its weights as safetensors.

    Raises StoreError for an unknown search, ExportError for one that is not finished, CheckpointError for
    weights that are missing or damaged.
    """
    search, front = store.search(name), read_front(store, name)
    if search.spec.get("study") is not None:
        raise ExportError(
            f"search {name!r} must have a winner to be exported, but it is a study, whose networks have a budget each; "
            f"nas front {name} --json has them all"
        )
    base, winner = front.base, front.winner
    if search.finished and (base is None or winner is None):
        raise ExportError(
            f"search {name!r} must have a base and a winner, but {'its base' if base is None else 'every network'} "
            "failed or broke a bound; see its failed trials in nas dashboard, and give a mended spec another name"
        )
    if not search.finished or base is None or winner is None or base.test is None or winner.test is None:
        raise ExportError(f"search {name!r} must be finished before its winner is exported; run nas search again")
    return export_network(store, name, front, winner, weights_file)


def export_network(
    store: Store, name: str, front: Front, winner: ScoredNetwork, weights_file: str | None
) -> tuple[ExportedNetwork, bytes]:
    """A network of a search that was scored on test, beside the base, and its weights as safetensors."""
    search, base = store.search(name), front.base
    assert base is not None, "a search has a base"
    assert winner.test is not None, "it was scored on test"
    seed = max(winner.final.by_seed, key=lambda key: (winner.final.by_seed[key], -key))
    spec, costs, dynamic = search.spec, dict(winner.costs), None
    if winner.stages:
        dynamic, (*_, job), content = read_parts(store, winner, seed)
        costs |= count_dynamic(dynamic, [Architecture.from_json(part.architecture) for part in dynamic.networks])
    else:
        job = store.job(winner.job_ids[seed])
        content = read_bytes(checkpoint_path(store.checkpoints, job), store.results([job.id])[job.id].weights_sha256)
    budget = {name: round(winner.costs[name] - slack, 6) for name, slack in winner.slack.items()}
    exported = ExportedNetwork(
        format="nas-network",
        format_version=FORMAT_VERSION,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        search=name,
        method=winner.method,
        network_id=winner.id if dynamic else job.architecture.id,
        resolution=winner.resolution,
        preprocessing=Preprocessing(
            input="uint8 [N, C, H, W]",
            scale=255,
            resize="bilinear, antialiased, whole grey levels",
            mean=search.data["mean"],
            std=search.data["std"],
        ),
        costs=Costs.model_validate({name: costs[name] for name in Costs.model_fields if name in costs}),
        latency=_latency(spec["latency"]) if LATENCY in winner.costs else None,
        mac_rule=MAC_RULE,
        budget=budget,
        slack={name: round(costs[name] - bound, 6) for name, bound in budget.items()},
        validation_accuracy=_accuracy(winner.final),
        test_accuracy=_accuracy(winner.test),
        base=_base(base),
        training=Training(
            preset=spec["train"]["preset"],
            epochs=job.recipe.epochs,
            seeds=spec["train"]["seeds"],
            confirm=spec["train"].get("confirm", 0),
            recipe=job.recipe,
            origin=job.origin and job.origin.recipe,
            start_sha256=job.start_sha256,
        ),
        data=Data(
            source=public_name(spec["data"]["source"]),
            side=spec["data"].get("side"),
            fingerprint=search.data["fingerprint"],
            split=Split(**spec["data"]["split"]),
            split_fingerprint=search.data["split_fingerprint"],
            sizes=search.data["sizes"],
        ),
        weights=Weights(
            file=weights_file,
            sha256=sha256(content),
            seed=seed,
            validation_accuracy=winner.final.by_seed[seed],
            test_accuracy=winner.test.by_seed[seed],
        ),
        versions=search.versions,
        architecture=None if dynamic else job.architecture.to_json(),
        dynamic=dynamic,
    )
    return exported, content


def read_export(path: Path) -> ExportedNetwork:
    """The checked content of an exported file; raises ExportError for anything else."""
    try:
        text = read_text(path, "an exported network must be readable", MOST_JSON)
    except TextError as error:
        raise ExportError(str(error)) from error
    try:
        return ExportedNetwork.model_validate_json(text)
    except ValidationError as error:
        raise ExportError(f"{path} must be an exported network: {explain(error, ExportedNetwork)}") from error


def load_export(path: Path) -> LoadedNetwork:
    """The trained network of an exported file, in evaluation mode.

    Counts its costs again and checks the weights' hash: raises ExportError or CheckpointError where the file
    says something else.
    """
    info = read_export(path)
    try:
        networks = [Architecture.from_json(data) for data in info.networks]
        _check_counts(path, info, networks)
    except NetworkError as error:
        raise ExportError(f"{path} must hold a network that can exist: {error}") from error
    if info.weights.file is None:
        raise ExportError(f"{path} must name its weights, but was printed without them; export it with -o")
    with torch.device("meta"):  # takes no memory, however much the file states
        wanted = {
            f"networks.{i}.{name}" if info.dynamic else name: tensor.shape
            for i, architecture in enumerate(networks)
            for name, tensor in build(architecture).state_dict().items()
        }
    tensors = _read_weights(path.with_name(info.weights.file), info.weights.sha256, wanted.values())
    if wanted != {name: tensor.shape for name, tensor in tensors.items()}:
        held, needed = (sum(map(prod, shapes)) for shapes in ([t.shape for t in tensors.values()], wanted.values()))
        raise ExportError(
            f"the weights of {path} must be the {needed:,} numbers of its network ({info.costs.params:,} parameters), "
            f"but are {held:,}, or of other names or shapes"
        )
    return _load(info, networks, tensors)


def load_winner(store: Store, name: str, weights_file: str | None = None) -> LoadedNetwork:
    """The winner of a finished search, in evaluation mode; raises what `export_winner` does."""
    info, content = export_winner(store, name, weights_file)
    return _load(info, [Architecture.from_json(data) for data in info.networks], load(content))


def _load(info: ExportedNetwork, networks: list[Architecture], tensors: dict[str, Tensor]) -> LoadedNetwork:
    if info.dynamic is not None:
        return LoadedNetwork(info, build_dynamic(info, networks, tensors)).eval()
    network = build(networks[0])
    load_weights(network, tensors)
    return LoadedNetwork(info, network).eval()


def _read_weights(path: Path, sha256: str, shapes: Iterable[torch.Size]) -> dict[str, Tensor]:
    """The tensors of a file that is about as large as these must be: a larger one is not read."""
    most = 16 * sum(map(prod, shapes)) + 2**20  # bytes: twice as wide as any type that we write, and their names
    if path.is_file() and path.stat().st_size > most:
        raise ExportError(f"weights in {path} must have at most {most:,} bytes, but have {path.stat().st_size:,}")
    return read_weights(path, sha256)


def _check_counts(path: Path, info: ExportedNetwork, networks: list[Architecture]) -> None:
    if info.dynamic is not None:
        counted = count_dynamic(info.dynamic, networks)
    elif networks:
        own = {"resolution": networks[0].resolution, "network_id": networks[0].id}
        counted = count_cost(networks[0]).bounded() | own
    else:
        raise ExportError(f"{path} must hold an architecture, or the networks of a dynamic one, but has neither")
    stated = info.costs.model_dump() | {"resolution": info.resolution, "network_id": info.network_id}
    for key, value in counted.items():
        if stated[key] != value:
            raise ExportError(
                f"{path} must state what its network has, but states {key} {stated[key]}, counted {value}"
            )
    measured = {} if info.costs.latency_ms is None else {LATENCY: info.costs.latency_ms}
    costs: dict[str, Any] = {**counted, **measured}
    slack = {key: round(costs.get(key, bound + 1) - bound, 6) for key, bound in info.budget.items()}
    if slack != info.slack or any(value > 0 for value in slack.values()):
        raise ExportError(f"{path} must keep its budget and state slack as cost minus bound, but states {info.slack}")
    channels = networks[0].input[0]
    if (len(info.preprocessing.mean), len(info.preprocessing.std)) != (channels, channels):
        raise ExportError(f"{path} must state mean and std of each of {channels} channels, but does not")
    for accuracy, of_weights in (
        (info.validation_accuracy, info.weights.validation_accuracy),
        (info.test_accuracy, info.weights.test_accuracy),
    ):
        if accuracy.by_seed.get(str(info.weights.seed)) != of_weights:
            raise ExportError(f"{path} must state one accuracy for seed {info.weights.seed}, but states several")


def _accuracy(score: Score) -> Accuracy:
    by_seed = {str(seed): accuracy for seed, accuracy in score.by_seed.items()}
    return Accuracy(mean=score.mean, std=score.std, n=len(by_seed), images=score.images, by_seed=by_seed)


def _latency(settings: dict[str, Any]) -> LatencyConditions:
    return LatencyConditions(**{name: settings[name] for name in LatencyConditions.model_fields if name in settings})


def _base(base: ScoredNetwork) -> Base:
    assert base.test is not None
    return Base(
        network_id=base.id,
        resolution=base.resolution,
        costs=Costs.model_validate(base.costs),
        validation_accuracy=_accuracy(base.final),
        test_accuracy=_accuracy(base.test),
    )
