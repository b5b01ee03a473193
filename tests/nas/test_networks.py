"""Networks by text: zoo, torchvision, JSON, a module of one's own."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from nas.networks import load_network as load_named
from search_spaces import Architecture, NetworkError, count_cost
from search_spaces.zoo import make_network

OWN = """
from torch import nn

def make_model():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(648, 10)
    )

def make_nothing():
    return 3

def fail():
    raise ValueError("no such file")

def leave():
    raise SystemExit(0)
"""


def load_network(text: str, **settings: Any) -> Architecture:
    return load_named(text, **settings).architecture


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the user's own in the working folder."""
    (tmp_path / "own_models").mkdir()
    (tmp_path / "own_models" / "digits.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    for name in ("own_models", "own_models.digits"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_zoo_and_torchvision_agree() -> None:
    ours = load_network("resnet18", resolution=96, classes=10)
    theirs = load_network("torchvision:resnet18", resolution=96, classes=10)
    assert count_cost(ours) == count_cost(theirs)
    assert load_network("torchvision:squeezenet1_1", classes=7).output == (7,)  # a conv makes its scores
    assert load_network("torchvision:resnet18", channels=1).input == (1, 224, 224)


def test_json_of_a_network_and_of_an_export(tmp_path: Path) -> None:
    network = make_network("resnet18:stem=32")
    for name, data in {"plain": network.to_json(), "exported": {"architecture": network.to_json()}}.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(data))
        assert load_network(str(path)) == network
        assert load_network(str(path), resolution=64, classes=3, channels=1).output == (3,)


def test_what_evaluation_does_not_use_is_told() -> None:
    named = load_named("torchvision:inception_v3")
    assert sum(named.unused.values()) == 3_326_696
    assert all(name.startswith("AuxLogits.") for name in named.unused)


def test_module_of_ones_own(own: Path) -> None:
    network = load_network("module:own_models.digits:make_model", resolution=24, channels=1, allow_code=True)
    assert network.shapes["n3"] == (8, 9, 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet19", "a network must be one of lenet, .* or torchvision:NAME, .*'resnet19'; did you mean 'resnet"),
        ("resnet18:width=3", "resnet18: settings must be key=value with each of stem"),
        ("torchvision:resnet1", "torchvision: must be followed by a classifier, but got 'resnet1'; did you mean"),
        ("missing.json", "a network must be a readable JSON file, but missing.json: No such file"),
        ("broken.json", "a network must be a readable JSON file, but broken.json: it is not JSON"),
        ("list.json", "list.json: a network must have 'input' and 'nodes'"),
        ("module:own_models.digits", "must be named as module:package.file:make_model"),
        ("module:own_models.digits:make_nothing", "must make a torch.nn.Module, but makes int"),
        ("module:own_models.digits:fail", "must make a module, but raises ValueError: no such file"),
        ("module:own_models.digits:leave", "must make a module, but raises SystemExit"),
        ("deep.json", "a network must be a readable JSON file, but deep.json: it is not JSON"),
        ("module:own_models.nowhere:make", "must make a module, but raises ModuleNotFoundError"),
        ("module:own_models.digits:make_model", "made for 1 channels or features, but gets 3"),
    ],
)
def test_errors(own: Path, text: str, message: str) -> None:
    (own / "broken.json").write_text("{")
    (own / "list.json").write_text("[]")
    (own / "deep.json").write_text("[" * 200_000)
    side = 24 if text.startswith("module") else None
    with pytest.raises(NetworkError, match=message):
        load_network(text, resolution=side, allow_code=True)


def test_code_runs_only_when_allowed(own: Path) -> None:
    (own / "own_models" / "digits.py").write_text("raise AssertionError('it ran')")
    with pytest.raises(NetworkError, match=r"code of your own runs only when allowed.* pass --allow-code"):
        load_network("module:own_models.digits:make_model", resolution=24)


def test_resolution_of_a_module_must_be_said() -> None:
    with pytest.raises(NetworkError, match="a module of your own needs a resolution"):
        load_network("module:a:b", allow_code=True)
