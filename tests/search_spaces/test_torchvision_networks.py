"""torchvision's classifiers by name, and their weights from files and downloads."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from search_spaces import NetworkError
from search_spaces.build import build
from search_spaces.torchvision_networks import (
    classifier_names,
    crop_size,
    make_classifier,
    pretrained_state,
    trace_torchvision,
)
from search_spaces.trace import copy_weights

NAME = "squeezenet1_1"


def test_names() -> None:
    names = classifier_names()
    assert {"alexnet", "resnet18", "vit_b_16"} <= set(names)
    assert len(names) == len(set(names))
    assert not any("deeplab" in name or "rcnn" in name or "r3d" in name for name in names)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", "torchvision: must be followed by a classifier, but got 'resnet19'; did you mean resnet1"),
        ("", r"but got ''; torchvision \d\S+ knows: \['alexnet'"),
        ("fcn_resnet50", "but got 'fcn_resnet50'; did you mean resnet50"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(NetworkError, match=message) as caught:
        make_classifier(name)
    assert "\n" not in str(caught.value)
    with pytest.raises(NetworkError, match=message):
        trace_torchvision(name)


@pytest.mark.parametrize(("name", "side"), [("resnet18", 224), ("inception_v3", 299), ("efficientnet_b1", 240)])
def test_resolution_is_that_of_the_weights(name: str, side: int) -> None:
    assert crop_size(name) == side
    assert trace_torchvision(name).architecture.resolution == side
    assert trace_torchvision(name, resolution=96).architecture.resolution == 96


def test_classes() -> None:
    assert trace_torchvision(NAME).architecture.output == (1000,)
    assert trace_torchvision(NAME, classes=10).architecture.output == (10,)
    assert make_classifier(NAME, classes=3)(torch.rand(1, 3, 64, 64)).shape == (1, 3)


def test_too_small_images_name_the_node() -> None:
    with pytest.raises(NetworkError, match=r"^Mixed_6a\.branch3x3.conv: node 'Mixed_6a_branch3x3_conv': conv: the"):
        trace_torchvision("inception_v3", resolution=40)


def test_tracing_by_name_leaves_torch_as_it_was() -> None:
    register = nn.Module.register_parameter
    trace_torchvision(NAME)
    with pytest.raises(NetworkError):
        trace_torchvision("vit_b_16")
    assert nn.Module.register_parameter is register
    assert not nn.Linear(2, 2).weight.is_meta


# --- weights


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return make_classifier(NAME).state_dict()


def test_weights_from_a_file(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "weights.pth")
    loaded = pretrained_state(NAME, str(tmp_path / "weights.pth"))
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    module = make_classifier(NAME)
    module.load_state_dict(loaded)
    traced = trace_torchvision(NAME, resolution=64)
    network = build(traced.architecture).eval()
    copy_weights(traced, module, network)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network(images), module.eval()(images), atol=1e-5)


@pytest.mark.parametrize("content", [None, b"", b"no weights", b"PK\x03\x04 damaged"], ids=str)
def test_files_that_are_no_weights(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    message = f"weights must be a file that torch.save wrote of a state_dict, but {path}: "
    with pytest.raises(NetworkError, match=re.escape(message)) as caught:
        pretrained_state(NAME, str(path))
    assert "\n" not in str(caught.value)


class Harmful:
    """What a pickle could run when it is loaded."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("ran"),)


def test_code_in_files_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Harmful()}, tmp_path / "weights.pth")
    with pytest.raises(NetworkError, match=r"weights must be a file that torch\.save wrote"):
        pretrained_state(NAME, str(tmp_path / "weights.pth"))
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, torch.Tensor]) -> Path:
    """A file that takes the place of the one on the net; its name ends with its hash, as torchvision's do."""
    path = tmp_path / "net" / "weights.pth"
    path.parent.mkdir()
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path = path.rename(path.with_name(f"squeezenet-{digest[:8]}.pth"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(models.SqueezeNet1_1_Weights.DEFAULT.value, "url", path.as_uri())
    return path


def test_weights_are_downloaded_once(download: Path, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    loaded = pretrained_state(NAME, "torchvision")
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    assert (tmp_path / "home" / "hub" / "checkpoints" / download.name).exists()
    download.unlink()
    assert pretrained_state(NAME, "torchvision").keys() == state.keys()


def test_damaged_downloads_are_refused(download: Path) -> None:
    download.write_bytes(download.read_bytes()[:-1] + b"x")
    with pytest.raises(
        NetworkError, match=r"weights of squeezenet1_1 must be downloaded; .* give a file: invalid hash"
    ):
        pretrained_state(NAME, "torchvision")


def test_no_network(download: Path) -> None:
    download.unlink()
    with pytest.raises(
        NetworkError, match="torchvision's weights of squeezenet1_1 must be downloaded; without a network"
    ):
        pretrained_state(NAME, "torchvision")
