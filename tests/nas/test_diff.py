"""What differs between two exports, layer by layer."""

import json
from pathlib import Path

import pytest

from nas.diff import diff_exports
from nas.export import ExportError
from search_spaces import Architecture
from search_spaces.zoo.lenet import lenet
from tests.conftest import run_nas
from tests.nas.exports import write_untrained


def with_network(path: Path, network: Architecture) -> Path:
    """The same file of another network; its costs are not those of it, which nothing here reads."""
    content = json.loads(path.read_text())
    content |= {"architecture": network.to_json(), "network_id": network.id, "resolution": network.resolution}
    other = path.with_name(f"{network.id}.json")
    other.write_text(json.dumps(content))
    return other


def test_nothing_differs_from_itself(exports: dict[str, Path]) -> None:
    for folder in exports.values():
        found = diff_exports(folder / "winner.json", folder / "winner.json")
        assert found["same_network"]
        assert found["same_weights"]
        assert (found["layers"], found["training"]) == ([], {})


def test_trained_in_full(exports: dict[str, Path]) -> None:
    """Of one network: weights and accuracies alone."""
    found = diff_exports(exports["static"] / "untrained.json", exports["static"] / "winner.json")
    assert found["same_network"]
    assert not found["same_weights"]
    assert found["layers"] == []
    assert found["accuracy"]["test"][0]["mean"] == 0.5 != found["accuracy"]["test"][1]["mean"]


def test_layers_that_are_changed_added_and_removed(tmp_path: Path) -> None:
    first = write_untrained(tmp_path, "static")
    second = with_network(first, lenet(resolution=18, channels1=5, channels2=6, kernel2=5, hidden=20, pool=True))
    third = with_network(first, lenet(resolution=16, channels1=4, channels2=7, hidden=20))
    (network,) = diff_exports(first, second)["layers"]
    layers = {layer["name"]: layer for layer in network["layers"]}
    assert layers["input"]["fields"]["shape"] == [[1, 16, 16], [1, 18, 18]]
    assert layers["conv1"]["fields"]["out_channels"] == [4, 5]
    assert "kernel" not in layers["conv1"]["fields"]
    assert layers["conv2"]["fields"]["kernel"] == [3, 5]
    assert layers["pool1"]["change"] == "added"
    assert layers["pool1"]["op"] == [None, "pool"]
    assert [*layers][:4] == ["input", "conv1", "relu1", "pool1"], "in the order of the second"
    back = {layer["name"]: layer for layer in diff_exports(second, first)["layers"][0]["layers"]}
    assert back["pool1"]["change"] == "removed"
    assert [*back][:4] == ["input", "conv1", "relu1", "pool1"], "behind what stands before it"
    (narrow,) = diff_exports(first, third)["layers"]
    changed = {layer["name"]: layer["fields"] for layer in narrow["layers"]}
    assert list(changed) == ["conv2", "relu2", "flatten", "hidden"]
    assert changed["hidden"] == {"params": [17300, 20180], "macs": [17280, 20160]}


def test_one_network_against_several(exports: dict[str, Path]) -> None:
    found = diff_exports(exports["static"] / "winner.json", exports["cascade"] / "winner.json")
    assert [one["network"] for one in found["layers"]] == [0, 1]
    assert all(layer["change"] == "added" for layer in found["layers"][1]["layers"])
    assert [len(exits) for exits in found["exits"]] == [0, 2]


def test_the_command(exports: dict[str, Path], tmp_path: Path) -> None:
    a, b = (str(exports[kind] / "winner.json") for kind in ("static", "cascade"))
    shown = run_nas(tmp_path, "diff", a, b)
    assert shown.returncode == 0, shown.stderr
    assert "different networks, other weights, the same images" in shown.stdout
    assert "layers that differ in network 2" in shown.stdout
    listed = json.loads(run_nas(tmp_path, "diff", a, b, "--json").stdout)
    assert listed == json.loads(json.dumps(diff_exports(Path(a), Path(b))))
    with pytest.raises(ExportError, match="an exported network must be readable"):
        diff_exports(Path(a), tmp_path / "none.json")
