"""Networks as files of torch.export: of many kinds of layers, and of stages that hand on replicas of their images."""

import json
from io import BytesIO
from pathlib import Path

import pytest
import torch

from nas.export_onnx import onnx_files
from nas.export_torch import NOTES, torch_files
from nas.networks import load_network
from search_spaces import Architecture
from search_spaces.build import build
from search_spaces.ops import (
    AdaptivePool,
    Concat,
    Conv,
    Flatten,
    Linear,
    MeanReplicas,
    SpaceToBatch,
)
from search_spaces.parallel import parallel
from search_spaces.routing import RoutedNetwork
from search_spaces.sketch import Sketch
from search_spaces.zoo.isometric import isometric
from tests.search_spaces.trained_networks import trained
from trials.images import Preprocess

SLOW = (
    "mobilenet_v3_small", "densenet121", "preact_resnet18", "resnet50", "neuralscale_mobilenetv2",
    "torchvision:shufflenet_v2_x0_5", "torchvision:efficientnet_b0", "torchvision:convnext_tiny",
)  # fmt: skip


def preprocess(network: Architecture) -> Preprocess:
    channels = network.input[0]
    return Preprocess(network.resolution, [0.4] * channels, [0.25] * channels)


@pytest.mark.parametrize("name", ["parallel", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_single_networks(name: str) -> None:
    """`torch_files` has compared them with torch; here once more with other images."""
    if name == "parallel":  # replicas of each image in the batch
        network = parallel(isometric(depth=2, multiplier=0.25, internal=4, resolution=16, classes=5), 2, "batch-first")
    else:
        network = load_network(name, resolution=64, classes=5).architecture
    built = build(network).eval()
    (file,) = torch_files(built, preprocess(network), Path("w.pt2"), {"search": "tiny"})
    extra = {NOTES: ""}
    program = torch.export.load(BytesIO(file.content), extra_files=extra).module()
    notes = {"search": "tiny", "side": str(network.resolution), "inputs": ["images"], "outputs": ["scores"]}
    assert json.loads(extra[NOTES]) == notes
    images = torch.randint(0, 256, (5, *network.input), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        wanted = built(preprocess(network)(images))
        torch.testing.assert_close(program(images)[0], wanted, atol=1e-4, rtol=1e-4)


def with_replicas() -> Architecture:
    """Two exits, the second of which reads replicas that the first has made, and the image itself."""
    sketch = Sketch((1, 16, 16))
    sketch.add("split", SpaceToBatch(block=2))
    trunk = sketch.add("trunk", Conv(out_channels=6, kernel=3, padding=1))
    sketch.add("mean", MeanReplicas())
    sketch.add("pool", AdaptivePool())
    sketch.add("flat", Flatten())
    first = sketch.add("first", Linear(out_features=5))
    sketch.add("deeper", Conv(out_channels=8, kernel=3), trunk)
    sketch.add("deeper_mean", MeanReplicas())
    sketch.add("deeper_pool", AdaptivePool())
    deeper = sketch.add("deeper_flat", Flatten())
    sketch.add("side", Conv(out_channels=8, kernel=3), "input")
    sketch.add("side_pool", AdaptivePool())
    side = sketch.add("side_flat", Flatten())
    sketch.add("both", Concat(), deeper, side)
    sketch.add("last", Linear(out_features=5))
    return sketch.finish(exits=(first,))


def test_stages_hand_on_replicas() -> None:
    """In both formats, which are checked for batches of two sizes as they are made."""
    network = with_replicas()
    routed = RoutedNetwork(
        [trained(network, dtype=torch.float32)], [preprocess(network)], thresholds=[0.5], temperatures=[1.0]
    ).eval()
    files = torch_files(routed, torch.nn.Identity(), Path("w.pt2"), {})
    assert len(onnx_files(routed, torch.nn.Identity(), Path("w.onnx"), {})) == len(files) == 2
    first, second = (torch.export.load(BytesIO(file.content)).module() for file in files)
    images = torch.randint(0, 256, (7, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        scores, confidence, *left = first(images)
        wanted = routed.networks[0].exits(routed.preprocessing[0](images))  # type: ignore[operator]
        assert confidence.shape == (7,)
        assert sorted(len(value) for value in left) == [7, 28]
        for found, expected in ((scores, wanted[0]), (second(*left)[0], wanted[1])):
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
