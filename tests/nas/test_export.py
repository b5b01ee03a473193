"""The winner taken away, loaded in a fresh process, and checked."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

import nas
from nas.export import ExportError, load_export
from nas.export_files import write_export
from nas.export_format import ExportedNetwork
from nas.verify import verify_export
from search_spaces import NasError
from tests.conftest import run_nas
from tests.object_store import run_s3
from trials import DataSettings
from trials.dataset import load_dataset
from trials.folders import open_path
from trials.store import Store

SCHEMA = Path(nas.__file__).with_name("network.schema.json")


@pytest.fixture
def store(finished_search: Path) -> Any:
    with Store(f"sqlite:///{finished_search}/nas.db") as opened:
        yield opened


@pytest.fixture
def winner(store: Store, tmp_path: Path) -> Path:
    write_export(store, "small", tmp_path / "winner.json", force=False)
    return tmp_path / "winner.json"


def test_published_schema_is_the_formats_own() -> None:
    published = json.loads(SCHEMA.read_text())
    assert published == ExportedNetwork.model_json_schema(), "write it again with: make schema"


def test_export_keeps_the_schema(winner: Path) -> None:
    content = json.loads(winner.read_text())
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    assert content["weights"]["file"] == "winner.safetensors"
    weights = (winner.parent / "winner.safetensors").read_bytes()
    assert content["weights"]["sha256"] == hashlib.sha256(weights).hexdigest()
    assert {"nas-service", "torch", "optuna", "ray", "python"} == set(content["versions"])
    for name, bound in content["budget"].items():
        assert content["slack"][name] == content["costs"][name] - bound <= 0


def test_loaded_from_an_object_store(winner: Path) -> None:
    images = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    with run_s3() as bucket:
        for path in (winner, winner.with_suffix(".safetensors")):
            (open_path(bucket) / path.name).write_bytes(path.read_bytes())
        loaded = nas.load(f"{bucket}/winner.json")
    assert torch.equal(loaded(images), nas.load(winner)(images))


def test_fresh_process_scores_the_very_accuracy(winner: Path) -> None:
    script = """
import sys, nas
from trials import DataSettings
from trials.dataset import load_dataset
import torch
network = nas.load(sys.argv[1])
dataset = load_dataset(DataSettings(source="mnist5k"))
test = dataset.splits["test"]
with torch.inference_mode():
    found = network(torch.from_numpy(dataset.images[test])).argmax(1).numpy()
print((found == dataset.labels[test]).mean(), network.info.weights.test_accuracy)
"""
    done = subprocess.run([sys.executable, "-c", script, str(winner)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    scored, stated = map(float, done.stdout.split())
    assert scored == stated


def test_files_of_version_2_are_read(winner: Path) -> None:
    """They know neither dynamic networks nor what these cost at worst."""
    content = json.loads(winner.read_text())
    del content["dynamic"], content["found"], content["costs"]["macs_worst"], content["costs"]["latency_worst_ms"]
    winner.write_text(json.dumps(content | {"format_version": 2}))
    assert nas.load(str(winner)).info.format_version == 2


def test_weights_are_of_the_best_seed_on_validation(winner: Path) -> None:
    content = json.loads(winner.read_text())
    by_seed = content["validation_accuracy"]["by_seed"]
    assert content["weights"]["validation_accuracy"] == max(by_seed.values())
    assert content["weights"]["test_accuracy"] == content["test_accuracy"]["by_seed"][str(content["weights"]["seed"])]


def test_loaded_network_takes_images_as_they_are(winner: Path) -> None:
    network = nas.load(str(winner))
    assert not network.training
    image = torch.from_numpy(load_dataset(DataSettings(source="mnist5k")).images[:3])
    larger = torch.nn.functional.interpolate(image.float(), scale_factor=3).to(torch.uint8)
    assert network(larger).shape == (3, 10)
    with pytest.raises(TypeError, match="must be uint8"):
        network(image.float())


def test_verify(winner: Path) -> None:
    verified = verify_export(winner, score=True)
    stated = json.loads(winner.read_text())
    assert verified["params_of_torch_module"] == stated["costs"]["params"]
    assert verified["test_accuracy"] == stated["weights"]["test_accuracy"]
    shown = run_nas(winner.parent, "verify", "winner.json", "--score")
    assert shown.returncode == 0
    assert "test split scored again" in shown.stdout
    assert "one MAC is one multiply-add" in shown.stdout
    assert json.loads(run_nas(winner.parent, "verify", "winner.json", "--json").stdout)["slack"] == stated["slack"]


def change(path: Path, place: str, value: Any) -> None:
    content = json.loads(path.read_text())
    section = content
    *outer, last = place.split(".")
    for part in outer:
        section = section[int(part)] if part.isdigit() else section[part]
    section[last] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("costs.params", 1, "must state what its network has, but states params 1, counted"),
        ("costs.macs", 1, "states macs 1, counted"),
        ("resolution", 99, "states resolution 99"),
        ("network_id", "x", "states network_id x"),
        ("slack.macs", -1, "must keep its budget and state slack as cost minus bound"),
        ("slack.latency", -1, "must keep its budget and state slack as cost minus bound"),
        ("budget", {"macs": 1}, "must keep its budget and state slack as cost minus bound"),
        ("test_accuracy.by_seed", {}, "must state one accuracy for seed"),
        ("weights.test_accuracy", 0.5, "must state one accuracy for seed"),
        ("preprocessing.scale", 1, "preprocessing.scale must be 255, but got 1"),
        ("preprocessing.mean", [], "must state mean and std of each of 1 channels"),
        ("preprocessing.std", [0], r"preprocessing.std.0 must be greater than 0, but got 0"),
        ("weights.file", "a\0.safetensors", "weights.file"),
        ("architecture.nodes.0.name", ["conv1"], "must hold a network that can exist"),
        ("format_version", 1, "format_version must be 2, 3 or 4, but got 1"),
        ("surprise", 1, "unknown key 'surprise' at the top; known keys: format, format_version"),
        ("weights.sha256", "0" * 64, "must have SHA-256 0000"),
        ("weights.file", "../../secret.safetensors", "weights.file"),
        ("weights.file", "other.safetensors", "weights must be readable at"),
        ("weights.file", None, "must name its weights, but was printed without them"),
        ("architecture.nodes.0.kernel", 99, "must hold a network that can exist: node 'conv1'"),
        ("architecture.nodes.0.op", "attention", "node 'conv1': op must be one of"),
        ("preprocessing.resize", "nearest", "preprocessing.resize must be 'bilinear, antialiased, whole grey levels'"),
    ],
)
def test_file_that_says_something_else(winner: Path, place: str, value: Any, message: str) -> None:
    change(winner, place, value)
    with pytest.raises(NasError, match=message) as caught:
        load_export(winner)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("data.split_fingerprint", "x", "the images must be those of"),
        (
            "data.source",
            "cifar",
            "the images of .*, 'cifar', must be in this folder, but are not; name them by --data",
        ),
        ("data.source", "/etc", "the images of .*, '/etc', must be in this folder"),
        ("data.source", "../..", "must be in this folder, but are not"),
        ("data.source", "torchvision:CIFAR10", "torchvision:CIFAR10 must lie in a folder, .* name it by --root"),
        ("data.split.test", 0.9, r"data: split.test must be less than 0\.5, but got 0\.9"),
        ("preprocessing.mean", [0.9], "must state what its weights score"),
    ],
)
def test_score_that_is_not_the_files(winner: Path, place: str, value: Any, message: str) -> None:
    change(winner, place, value)
    with pytest.raises(NasError, match=message):
        verify_export(winner, score=True)


def test_not_an_export_at_all(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"must be readable, but .*: No such file"):
        load_export(tmp_path / "nothing.json")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ExportError, match="must be an exported network: key 'format' is required"):
        load_export(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ExportError, match="must be an exported network: "):
        load_export(tmp_path / "a.json")


def test_files_are_not_replaced_unasked(store: Store, winner: Path) -> None:
    before = winner.read_text()
    with pytest.raises(ExportError, match=r"winner\.json exists; choose another or pass --force"):
        write_export(store, "small", winner, force=False)
    winner.unlink()
    with pytest.raises(ExportError, match=r"winner\.safetensors exists"):
        write_export(store, "small", winner, force=False)
    write_export(store, "small", winner, force=True)
    assert json.loads(winner.read_text()).keys() == json.loads(before).keys()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/winner.json", "the folder of the file must exist"),
        ("winner.txt", r"a plain name that ends with \.json"),
        ("a\\b.json", "a plain name"),
        ("n" * 300 + ".json", "a plain name"),
        ("NUL.json", "a plain name"),
        (".json", "a plain name"),
        ("a\u202egpj.json", "a plain name"),
        ("d.json", "d.json exists"),
    ],
)
def test_places_that_take_no_file(store: Store, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "d.json").mkdir()
    with pytest.raises(ExportError, match=message):
        write_export(store, "small", tmp_path / name, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["d.json"]


def test_larger_weights_are_not_read(winner: Path) -> None:
    with (winner.parent / "winner.safetensors").open("r+b") as file:
        file.truncate(2**40)  # takes no room
    with pytest.raises(ExportError, match=r"must have at most [0-9,]+ bytes, but have 1,099,511,627,776"):
        load_export(winner)


def test_images_that_lie_elsewhere_now(winner: Path) -> None:
    """As an export of images of one's own states no path."""
    change(winner, "data.source", "digits")
    change(winner, "data.root", "/somewhere/else")
    stated = json.loads(winner.read_text())
    assert verify_export(winner, score=True, data="mnist5k")["test_accuracy"] == stated["weights"]["test_accuracy"]
    done = run_nas(winner.parent, "verify", "winner.json", "--score", "--data", "mnist5k")
    assert done.returncode == 0
    done = run_nas(winner.parent, "verify", "winner.json", "--data", "mnist5k")
    assert done.returncode == 2
    assert "--data and --root are for --score" in done.stderr


def test_without_a_file_it_is_printed(finished_search: Path) -> None:
    done = run_nas(finished_search, "export", "small")
    assert json.loads(done.stdout)["weights"]["file"] is None
    assert not (finished_search / "winner.json").exists()
