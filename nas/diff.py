"""What differs between two exported networks: costs, accuracy, budget, training, and layer by layer."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rich.console import Console

from nas.export import ExportError, read_export
from nas.export_format import ExportedNetwork
from nas.tables import make_table
from search_spaces import Architecture, NetworkError
from search_spaces.architecture import Node
from search_spaces.cost import layer_costs
from search_spaces.ops import op_to_json

_SPLITS = ("validation", "test")


def diff_exports(first: Path, second: Path) -> dict[str, Any]:
    """What differs, as plain data: pairs of what the first and the second file state, null where one states nothing.

    Layers are compared by their names, network by network. Raises ExportError for files that are no exports.
    """
    infos = [read_export(path) for path in (first, second)]
    networks = [_networks(path, info) for path, info in zip((first, second), infos, strict=True)]
    a, b = infos
    return {
        "files": [str(first), str(second)],
        "network_id": [a.network_id, b.network_id],
        "same_network": a.network_id == b.network_id,
        "same_weights": a.weights.sha256 == b.weights.sha256,
        "same_images": (a.data.fingerprint, a.data.split_fingerprint) == (b.data.fingerprint, b.data.split_fingerprint),
        "method": [a.method, b.method],
        "resolution": [a.resolution, b.resolution],
        "costs": _pairs(a.costs.model_dump(exclude_none=True), b.costs.model_dump(exclude_none=True)),
        "budget": _pairs(a.budget, b.budget),
        "accuracy": {
            split: [getattr(info, f"{split}_accuracy").model_dump(exclude={"by_seed"}) for info in infos]
            for split in _SPLITS
        },
        "training": _changed(*(_training(info) for info in infos)),
        "exits": [[one.model_dump() for one in info.dynamic.exits] if info.dynamic else [] for info in infos],
        "layers": [
            {"network": number, "layers": list(_layers(*pair))}
            for number, pair in enumerate(zip_longest(*networks))
            if pair[0] != pair[1]
        ],
    }


def _networks(path: Path, info: ExportedNetwork) -> list[Architecture]:
    try:
        return [Architecture.from_json(data) for data in info.networks]
    except NetworkError as error:
        raise ExportError(f"{path} must hold a network that can exist: {error}") from error


def _training(info: ExportedNetwork) -> dict[str, Any]:
    recipe = info.training.recipe.model_dump(mode="json") if info.training.recipe else {}
    return {"preset": info.training.preset, "seeds": info.training.seeds, "confirm": info.training.confirm} | recipe


def _pairs(first: dict[str, Any], second: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [first.get(name), second.get(name)] for name in {**first, **second}}


def _changed(first: dict[str, Any], second: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: pair for name, pair in _pairs(first, second).items() if pair[0] != pair[1]}


def _layers(first: Architecture | None, second: Architecture | None) -> Iterator[dict[str, Any]]:
    """Layers that differ in their fields, sources, shapes or costs; where one network lacks it, all of it is new."""
    sides = [_described(network) for network in (first, second)]
    for name in _merged(*([*side] for side in sides)):
        described = [side.get(name) for side in sides]
        if described[0] != described[1]:
            fields = [one or {} for one in described]
            yield {
                "name": name,
                "change": "removed" if described[1] is None else "added" if described[0] is None else "changed",
                "op": [one.get("op") for one in fields],
                "fields": _changed(*({key: v for key, v in one.items() if key != "op"} for one in fields)),
            }


def _described(network: Architecture | None) -> dict[str, dict[str, Any]]:
    """By name: the op with its fields, what it reads, its shape and costs; the image itself as `input`."""
    if network is None:
        return {}
    costs = {layer.name: layer for layer in layer_costs(network)}

    def described(node: Node) -> dict[str, Any]:
        cost = costs[node.name]
        shape = list(network.shapes[node.name])
        return {
            **op_to_json(node.op),
            "inputs": list(node.inputs),
            "shape": shape,
            "params": cost.params,
            "macs": cost.macs,
        }

    return {"input": {"op": "input", "shape": list(network.input)}} | {
        node.name: described(node) for node in network.nodes
    }


def _merged(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """All names, in the order of the second; those of the first alone behind what stands before them there."""
    merged = list(second)
    known = set(second)
    for i, name in enumerate(first):
        if name not in known:
            before = next((other for other in reversed(first[:i]) if other in known), None)
            merged.insert(0 if before is None else merged.index(before) + 1, name)
            known.add(name)
    return merged


def print_diff(console: Console, found: dict[str, Any]) -> None:
    """The same as tables."""
    first, second = found["files"]
    says = "the same network" if found["same_network"] else "different networks"
    weights = "the same weights" if found["same_weights"] else "other weights"
    images = "the same images" if found["same_images"] else "other images, or another split"
    console.print(f"{says}, {weights}, {images}", highlight=False)
    table = make_table("", first, second, "difference", left=("",), folds=(first, second))
    for name, (a, b) in found["costs"].items():
        table.add_row(name, _shown(a), _shown(b), _relative(a, b))
    for split, (a, b) in found["accuracy"].items():
        table.add_row(f"{split} accuracy", _accuracy(a), _accuracy(b), f"{b['mean'] - a['mean']:+.4f}")
    for name, (a, b) in found["budget"].items():
        table.add_row(f"bound on {name}", _shown(a), _shown(b), _relative(a, b))
    for name in ("method", "resolution"):
        a, b = found[name]
        if a != b:
            table.add_row(name, str(a), str(b), _relative(a, b) if name == "resolution" else "")
    for name, (a, b) in found["training"].items():
        table.add_row(f"training: {name}", _shown(a), _shown(b), "")
    console.print(table)
    for network in found["layers"]:
        title = "layers that differ" + (f" in network {network['network'] + 1}" if len(found["layers"]) > 1 else "")
        table = make_table("layer", "change", "what", title=title, left=("layer", "change", "what"), folds=("what",))
        for layer in network["layers"]:
            table.add_row(layer["name"], layer["change"], _what(layer))
        console.print(table)


def _what(layer: dict[str, Any]) -> str:
    a, b = layer["op"]
    if layer["change"] != "changed":
        fields = {name: [one for one in pair if one is not None] for name, pair in layer["fields"].items()}
        kept = ", ".join(f"{name} {_shown(one[0])}" for name, one in fields.items() if one and name != "inputs")
        return f"{a or b}: {kept}"
    kind = [f"{a} -> {b}"] if a != b else [a]
    return ", ".join([*kind, *(f"{name} {_shown(x)} -> {_shown(y)}" for name, (x, y) in layer["fields"].items())])


def _accuracy(accuracy: dict[str, Any]) -> str:
    spread = "" if accuracy["std"] is None else f" ± {accuracy['std']:.4f}"
    return f"{accuracy['mean']:.4f}{spread} (n={accuracy['n']})"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return "x".join(map(str, value)) if all(isinstance(one, int) for one in value) else ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _relative(first: float | None, second: float | None) -> str:
    if first is None or second is None or not first or first == second:
        return ""
    return f"{second / first - 1:+.2%}"
