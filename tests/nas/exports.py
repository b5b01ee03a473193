"""Exported networks of each kind, small and really trained: one network, an MSNet, a cascade."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas.export_dynamic import count_dynamic
from nas.export_files import write_exported
from nas.export_format import FORMAT_VERSION, MAC_RULE, Dynamic, ExportedNetwork
from nas.train_export import FullTraining, train_export
from search_spaces import Architecture, count_cost
from search_spaces.build import build
from search_spaces.exits import exit_costs
from search_spaces.multi_scale import multi_scale
from search_spaces.zoo.lenet import lenet
from trials import DataSettings
from trials.checkpoint import weights_bytes
from trials.data import channel_statistics
from trials.dataset import load_dataset
from trials.recipe import preset
from trials.weights import sha256

KINDS = ("static", "msnet", "cascade")


def networks_of(kind: str) -> list[Architecture]:
    """What a kind of export is made of."""
    small, large = (lenet(resolution=side, channels1=4, channels2=6, hidden=20) for side in (10, 16))
    return {"static": [large], "msnet": [multi_scale(large)], "cascade": [small, large]}[kind]


def write_untrained(folder: Path, kind: str, name: str = "untrained") -> Path:
    """A sound file of fresh weights, whose images all go to the last exit; accuracies are made up."""
    folder.mkdir(parents=True, exist_ok=True)
    networks = networks_of(kind)
    tensors = {
        f"networks.{i}.{name}" if kind != "static" else name: tensor
        for i, network in enumerate(networks)
        for name, tensor in build(network).state_dict().items()
    }
    content = weights_bytes(tensors)
    data = _data()
    accuracy: dict[str, Any] = {"mean": 0.5, "std": None, "n": 1, "images": 1000, "by_seed": {"0": 0.5}}
    costs: dict[str, Any] = count_cost(networks[-1]).bounded()
    dynamic = None if kind == "static" else _dynamic(networks)
    network_id, bound = networks[0].id, costs["macs"]
    if dynamic is not None:
        counted = count_dynamic(dynamic, networks)
        network_id, bound = counted.pop("network_id"), counted["macs"]
        costs = counted
    costs.pop("resolution", None)
    exported = ExportedNetwork.model_validate(
        {
            "format": "nas-network",
            "format_version": FORMAT_VERSION,
            "created_at": "2026-01-01T00:00:00+00:00",
            "search": f"tiny-{kind}",
            "method": kind,
            "network_id": network_id,
            "resolution": max(network.resolution for network in networks),
            "preprocessing": {
                "input": "uint8 [N, C, H, W]",
                "scale": 255,
                "resize": "bilinear, antialiased, whole grey levels",
                "mean": data.pop("mean"),
                "std": data.pop("std"),
            },
            "costs": costs,
            "mac_rule": MAC_RULE,
            "budget": {"macs": bound},
            "slack": {"macs": 0},
            "validation_accuracy": accuracy,
            "test_accuracy": accuracy,
            "base": {
                "network_id": networks[-1].id,
                "resolution": networks[-1].resolution,
                "costs": count_cost(networks[-1]).bounded(),
                "validation_accuracy": accuracy,
                "test_accuracy": accuracy,
            },
            "training": {"preset": "fast", "epochs": 2, "seeds": 1, "recipe": preset("fast", epochs=2).model_dump()},
            "data": data,
            "weights": {
                "file": f"{name}.safetensors",
                "sha256": sha256(content),
                "seed": 0,
                "validation_accuracy": 0.5,
                "test_accuracy": 0.5,
            },
            "versions": {"torch": "2"},
            "architecture": networks[0].to_json() if dynamic is None else None,
            "dynamic": dynamic,
        }
    )
    write_exported(exported, content, folder / f"{name}.json")
    return folder / f"{name}.json"


def write_trained(folder: Path, kind: str) -> Path:
    """A file of weights that were trained for two epochs, whose operating point is found on real images."""
    path = folder / "winner.json"
    train_export(write_untrained(folder, kind), path, FullTraining(), force=False, report=lambda number, epoch: None)
    return path


def _data() -> dict[str, Any]:
    dataset = load_dataset(DataSettings(source="mnist5k"))
    means, stds = channel_statistics(dataset)
    return {
        "source": "mnist5k",
        "fingerprint": dataset.fingerprint,
        "split": {"validation": 0.2, "test": 0.2, "seed": 0},
        "split_fingerprint": dataset.split_fingerprint,
        "sizes": {name: len(rows) for name, rows in dataset.splits.items()},
        "mean": means,
        "std": stds,
    }


def _dynamic(networks: Sequence[Architecture]) -> Dynamic:
    """Bound so that some of the images must be answered early."""
    exits = [(i, cost.macs) for i, network in enumerate(networks) for cost in exit_costs(network)]
    worst = sum(macs for _, macs in exits)
    return Dynamic.model_validate(
        {
            "networks": [
                {"network_id": one.id, "resolution": one.resolution, "architecture": one.to_json()} for one in networks
            ],
            "exits": [
                {
                    "network": i,
                    "macs": macs,
                    "threshold": None if number == len(exits) - 1 else 1.0,
                    "temperature": 1.0,
                    "reached": {"validation": 1000, "test": 1000},
                }
                for number, (i, macs) in enumerate(exits)
            ],
            "bound": float(exits[0][1] + (worst - exits[0][1]) / 2),
        }
    )
