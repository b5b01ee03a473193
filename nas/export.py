"""The network to use, as one JSON file with its weights beside it; and back to a torch module."""

from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from dashboards import ScoredNetwork, read_front
from dashboards.front import Score
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
from search_spaces import LATENCY, Architecture, NasError, NetworkError, count_cost
from search_spaces.build import Network, build
from trials.checkpoint import load_weights, read_weights
from trials.files import write_atomically
from trials.images import Preprocess
from trials.store import Store
from trials.weights import checkpoint_path, read_bytes


class ExportError(NasError):
    """Something that cannot be exported, or a file that is no sound export."""


class LoadedNetwork(nn.Module):
    """A trained network that takes images as they are: uint8 [N, C, H, W], any side, to scores [N, classes].

    `info` is the file that it came from, `network` the part after preprocessing.
    """

    def __init__(self, info: ExportedNetwork, network: Network) -> None:
        super().__init__()
        self.info = info
        self.preprocess = Preprocess(info.resolution, info.preprocessing.mean, info.preprocessing.std)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Class scores [N, classes] of images uint8 [N, C, H, W]; raises TypeError for other types."""
        scores: Tensor = self.network(self.preprocess(images))
        return scores


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
    seed = max(winner.final.by_seed, key=lambda key: (winner.final.by_seed[key], -key))
    job = store.job(winner.job_ids[seed])
    sha256 = store.results([job.id])[job.id].weights_sha256
    spec = search.spec
    exported = ExportedNetwork(
        format="nas-network",
        format_version=FORMAT_VERSION,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        search=name,
        method=winner.method,
        network_id=job.architecture.id,
        resolution=winner.resolution,
        preprocessing=Preprocessing(
            input="uint8 [N, C, H, W]",
            scale=255,
            resize="bilinear, antialiased, whole grey levels",
            mean=search.data["mean"],
            std=search.data["std"],
        ),
        costs=Costs.model_validate(winner.costs),
        latency=_latency(spec["latency"]) if LATENCY in winner.costs else None,
        mac_rule=MAC_RULE,
        budget={name: round(winner.costs[name] - slack, 6) for name, slack in winner.slack.items()},
        slack=dict(winner.slack),
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
        ),
        data=Data(
            source=spec["data"]["source"],
            root=spec["data"].get("root", ""),
            side=spec["data"].get("side"),
            fingerprint=search.data["fingerprint"],
            split=Split(**spec["data"]["split"]),
            split_fingerprint=search.data["split_fingerprint"],
            sizes=search.data["sizes"],
        ),
        weights=Weights(
            file=weights_file,
            sha256=sha256,
            seed=seed,
            validation_accuracy=winner.final.by_seed[seed],
            test_accuracy=winner.test.by_seed[seed],
        ),
        versions=search.versions,
        architecture=job.architecture.to_json(),
    )
    return exported, read_bytes(checkpoint_path(store.checkpoints, job), sha256)


def write_export(store: Store, name: str, path: Path, *, force: bool) -> None:
    """Write the winner to a .json file and its weights beside it; neither is put in place before both are written."""
    weights = path.with_suffix(".safetensors")
    if path.suffix != ".json" or not path.name.isprintable() or "\\" in path.name:
        raise ExportError(f"the file must have a plain name that ends with .json, but is {str(path)!r}")
    try:
        if not path.parent.is_dir():
            raise ExportError(f"the folder of the file must exist, but {path.parent} does not; create it")
        for target in (path, weights):
            if target.is_dir() or (target.exists() and not force):
                raise ExportError(f"the file must be new, but {target} exists; choose another or pass --force")
    except OSError as error:
        raise ExportError(f"the file must have a name that the disk takes, but: {error.strerror}") from error
    exported, content = export_winner(store, name, weights.name)
    write_atomically({weights: content, path: (exported.model_dump_json(indent=2) + "\n").encode()})


def read_export(path: Path) -> ExportedNetwork:
    """The checked content of an exported file; raises ExportError for anything else."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ExportError(f"an exported network must be readable, but {path}: {reason}") from error
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
        architecture = Architecture.from_json(info.architecture)
    except NetworkError as error:
        raise ExportError(f"{path} must hold a network that can exist: {error}") from error
    _check_counts(path, info, architecture)
    if info.weights.file is None:
        raise ExportError(f"{path} must name its weights, but was printed without them; export it with -o")
    tensors = read_weights(path.with_name(info.weights.file), info.weights.sha256)
    with torch.device("meta"):  # takes no memory, however much the file states
        wanted = {name: tensor.shape for name, tensor in build(architecture).state_dict().items()}
    if wanted != {name: tensor.shape for name, tensor in tensors.items()}:
        held, needed = (sum(map(prod, shapes)) for shapes in ([t.shape for t in tensors.values()], wanted.values()))
        raise ExportError(
            f"the weights of {path} must be the {needed:,} numbers of its network ({info.costs.params:,} parameters), "
            f"but are {held:,}, or of other names or shapes"
        )
    network = build(architecture)
    load_weights(network, tensors)
    return LoadedNetwork(info, network).eval()


def _check_counts(path: Path, info: ExportedNetwork, architecture: Architecture) -> None:
    cost = count_cost(architecture).bounded()
    counted = cost | {"resolution": architecture.resolution, "network_id": architecture.id}
    stated = info.costs.model_dump() | {"resolution": info.resolution, "network_id": info.network_id}
    for key, value in counted.items():
        if stated[key] != value:
            raise ExportError(
                f"{path} must state what its network has, but states {key} {stated[key]}, counted {value}"
            )
    measured = {} if info.costs.latency_ms is None else {LATENCY: info.costs.latency_ms}
    costs: dict[str, float] = {**cost, **measured}
    slack = {key: round(costs.get(key, bound + 1) - bound, 6) for key, bound in info.budget.items()}
    if slack != info.slack or any(value > 0 for value in slack.values()):
        raise ExportError(f"{path} must keep its budget and state slack as cost minus bound, but states {info.slack}")
    channels = architecture.input[0]
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
