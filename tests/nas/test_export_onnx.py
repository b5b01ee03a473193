"""Networks as ONNX files, run by onnxruntime as their users do."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnxruntime import InferenceSession

import nas
import nas.export_onnx
from nas.export import ExportError
from nas.export_onnx import onnx_files
from nas.networks import load_network
from search_spaces import Architecture
from search_spaces.build import Network, build
from search_spaces.multi_scale import multi_scale
from search_spaces.parallel import parallel
from search_spaces.routing import RoutedNetwork, confidences
from search_spaces.zoo import make_network
from search_spaces.zoo.isometric import isometric
from tests.conftest import run_nas
from tests.search_spaces.trained_networks import trained
from trials.images import Preprocess, resize_images

EXPORT_DOC = Path(__file__).parents[2] / "docs" / "export.md"


def preprocess(network: Architecture) -> Preprocess:
    channels = network.input[0]
    return Preprocess(network.resolution, [0.4] * channels, [0.25] * channels)


def pixels(count: int, side: int, channels: int = 3) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8)


@pytest.fixture(scope="module")
def routed() -> RoutedNetwork:
    """An MSNet behind a smaller network: three exits, the last of which reuses the second's features."""
    small = make_network("lenet", resolution=14, classes=10, channels=3)
    networks = [small, multi_scale(make_network("lenet", resolution=32, classes=10, channels=3))]
    return RoutedNetwork(
        [trained(network, dtype=torch.float32) for network in networks],
        [preprocess(network) for network in networks],
        thresholds=[0.5, 0.5],
        temperatures=[0.8, 1.5],
    ).eval()


def test_stages_route_as_the_module_does(
    routed: RoutedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the very lines of docs/export.md; thresholds at which every exit answers some images."""
    images = pixels(40, 32)
    with torch.inference_mode():
        for number in (0, 1):
            _halve(routed, images, number)
        wanted, exits = routed.route(images)
    assert set(exits.tolist()) == {0, 1, 2}
    monkeypatch.chdir(tmp_path)
    for file in onnx_files(routed, torch.nn.Identity(), Path("winner.onnx"), {"search": "tiny"}):
        file.path.write_bytes(file.content)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["winner.1.onnx", "winner.2.onnx", "winner.3.onnx"]
    names: dict[str, Any] = {}
    exec(_python_of(EXPORT_DOC, "InferenceSession"), names)
    by_side = {side: resize_images(images, side).numpy() for side in (14, 32)}
    np.testing.assert_allclose(names["route"](by_side), wanted.numpy(), atol=1e-4, rtol=1e-4)
    for count in (1, 0):
        assert names["route"]({side: own[:count] for side, own in by_side.items()}).shape == (count, 10)


def _halve(routed: RoutedNetwork, images: torch.Tensor, number: int) -> None:
    """Let an exit answer half of the images that come to it."""
    left = routed.route(images)[1] >= number if number else torch.ones(len(images), dtype=torch.bool)
    i, segment = routed.places[number]
    network = routed.networks[i]
    assert isinstance(network, Network)
    scores = network.exits(routed.preprocessing[i](images[left]))[segment]
    sure = confidences(scores, routed.temperatures[number]).sort().values
    middle = float(sure[len(sure) // 2 - 1 : len(sure) // 2 + 1].mean())
    routed.thresholds = (*routed.thresholds[:number], middle, *routed.thresholds[number + 1 :])


def _python_of(path: Path, word: str) -> str:
    """The block of Python in a page that holds the word."""
    blocks = [block.split("```")[0] for block in path.read_text().split("```python\n")[1:]]
    (found,) = (block for block in blocks if word in block)
    return found


def test_files_know_their_stage_and_nothing_of_this_machine(routed: RoutedNetwork) -> None:
    files = onnx_files(routed, torch.nn.Identity(), Path("w.onnx"), {"search": "tiny"})
    for number, file in enumerate(files, 1):
        model = onnx.load_from_string(file.content)
        notes = {one.key: one.value for one in model.metadata_props}
        assert notes["stage"] == f"{number} of 3"
        assert notes.get("threshold") == (repr(routed.thresholds[number - 1]) if number < 3 else None)
        assert notes["search"] == "tiny"
        for word in (str(Path(nas.__file__).parents[1]), "stack_trace", "torch.export", ".py"):
            assert word.encode() not in file.content, word


SLOW = (
    "mobilenet_v3_small", "densenet121", "preact_resnet18", "resnet50", "neuralscale_mobilenetv2",
    "torchvision:shufflenet_v2_x0_5", "torchvision:efficientnet_b0", "torchvision:convnext_tiny",
)  # fmt: skip


@pytest.mark.parametrize("name", ["parallel", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_single_networks(name: str) -> None:
    """`onnx_files` has compared them with torch; here once more with other images, through a file's own names."""
    if name == "parallel":  # replicas of each image in the batch
        network = parallel(isometric(depth=2, multiplier=0.25, internal=4, resolution=16, classes=5), 2, "batch-first")
    else:
        network = load_network(name, resolution=64, classes=5).architecture
    built = build(network).eval()
    (file,) = onnx_files(built, preprocess(network), Path("w.onnx"), {})
    images = pixels(5, network.resolution)
    found = InferenceSession(file.content).run(["scores"], {"images": images.numpy()})[0]
    with torch.inference_mode():
        wanted = built(preprocess(network)(images))
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_a_winner_is_written_by_the_command(finished_search: Path, tmp_path: Path) -> None:
    storage = f"sqlite:///{finished_search}/nas.db"
    done = run_nas(tmp_path, "export", "small", "-o", "w.json", "--onnx", "w.onnx", "--storage", storage)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.json", "w.onnx", "w.safetensors"]
    loaded = nas.load(tmp_path / "w.json")
    session = InferenceSession(tmp_path / "w.onnx")
    images = pixels(4, loaded.info.resolution, channels=1)
    found = session.run(["scores"], {"images": images.numpy()})[0]
    with torch.inference_mode():
        np.testing.assert_allclose(found, loaded(images).numpy(), atol=1e-4, rtol=1e-4)
    assert session.get_modelmeta().custom_metadata_map["network_id"] == loaded.info.network_id
    again = run_nas(tmp_path, "export", "small", "--onnx", "w.onnx", "--storage", storage)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "w.onnx exists" in again.stderr
    assert run_nas(tmp_path, "export", "small", "--onnx", "w.onnx", "--force", "--storage", storage).returncode == 0


def test_what_cannot_be(routed: RoutedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nas.export_onnx, "NEEDED", ("onnx", "onnx_of_tomorrow"))
    with pytest.raises(ExportError, match="ONNX needs onnx_of_tomorrow, not installed; pip install"):
        onnx_files(routed, torch.nn.Identity(), Path("w.onnx"), {})


def test_other_scores_are_refused(routed: RoutedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is changed after torch has made it, by one of its weights."""
    plain = nas.export_onnx._plain

    def changed(model: Any, notes: Any) -> bytes:
        weights = next(one for one in model.graph.initializer if len(one.dims) == 4)
        weights.raw_data = bytes(len(weights.raw_data))
        return plain(model, notes)

    monkeypatch.setattr(nas.export_onnx, "_plain", changed)
    with pytest.raises(ExportError, match=r"w\.onnx must give scores as torch does, but differs by"):
        onnx_files(routed, torch.nn.Identity(), Path("w.onnx"), {})
