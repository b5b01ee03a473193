"""Stages where one would draw them, in networks made of known ones, in the zoo and in torchvision's."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Activation, Architecture, Conv, Dropout, Flatten, Linear, Pool
from search_spaces.ops import AdaptivePool, BatchNorm, Op, SpaceToDepth
from search_spaces.sketch import Sketch
from search_spaces.stages import find_stages
from search_spaces.torchvision_networks import trace_torchvision
from search_spaces.zoo import make_network
from tests.search_spaces.random_stages import STAGES, staged


def last_nodes(network: Architecture) -> list[str]:
    return [network.nodes[stop - 1].name for stop in find_stages(network)]


@settings(max_examples=60)
@given(stages=STAGES, pooled=st.booleans(), data=st.data())
def test_known_stages_are_found(
    stages: list[tuple[str, int, int, int, int]], pooled: bool, data: st.DataObject
) -> None:
    network = staged(stages, [data.draw(st.integers(1, 2)) for _ in stages], side=16, pooled=pooled)
    names = [node.name for node in network.nodes]
    firsts = [f"stage{i}{'_pool' if pooled else ''}" for i, (*_, stride) in enumerate(stages) if stride > 1]
    assert last_nodes(network) == [*(names[names.index(first) - 1] for first in firsts), "last_norm"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("resnet18", [f"stage{i}_block1_relu" for i in (1, 2, 3, 4)]),
        ("resnet18:stem=64", ["stem_relu", *(f"stage{i}_block1_relu" for i in (1, 2, 3, 4))]),
        ("resnet50", [f"stage{i}_block{n}_relu" for i, n in ((1, 2), (2, 3), (3, 5), (4, 2))]),
        ("preact_resnet18", [*(f"stage{i}_block1_add" for i in (1, 2, 3)), "last_norm_relu"]),
        ("densenet121", [*(f"stage{i}_transition_conv" for i in (1, 2, 3)), "last_norm_relu"]),
        ("mobilenet_v1", [f"block{i}_pointwise_relu" for i in (0, 2, 4, 10, 12)]),
        ("mobilenet_v1:stem=32", [f"block{i}_pointwise_relu" for i in (2, 4, 10, 12)]),
        ("mobilenet_v2", [*(f"stage{i}_block0_expand_relu6" for i in (2, 3, 4, 6)), "head_relu6"]),
        (
            "mobilenet_v3_small",
            [
                "stem_hardswish", "block1_expand_relu", "block3_expand_hardswish", "block8_expand_hardswish",
                "head_hardswish",
            ],
        ),
        ("vgg11", [f"conv{i}_relu" for i in (1, 2, 4, 6, 8)]),
        ("isometric:depth=2", ["head_hardswish"]),
        ("lenet", ["relu2"]),
        ("lenet:pool=true", ["relu1", "relu2"]),
    ],
)  # fmt: skip
def test_stages_of_the_zoo(name: str, found: list[str]) -> None:
    assert last_nodes(make_network(name)) == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("resnet18", [f"layer{i}_1_relu_2" for i in (1, 2, 3, 4)]),
        ("squeezenet1_1", ["features_4_cat", "features_7_cat", "features_12_cat"]),
        ("shufflenet_v2_x0_5", ["maxpool", "stage2_3_view", "stage3_7_view", "conv5_2"]),
    ],
)
def test_stages_of_torchvision(name: str, found: list[str]) -> None:
    assert last_nodes(trace_torchvision(name).architecture) == found


CONV, DOWN = Conv(out_channels=4, kernel=3, padding=1), Conv(out_channels=4, kernel=3, padding=1, stride=2)
POOL, FOLD = Pool(function="max", kernel=2, stride=2), SpaceToDepth(block=2)
HEAD: list[Op] = [Flatten(), Linear(out_features=3)]


@pytest.mark.parametrize(
    ("layers", "places"),
    [
        ([CONV, POOL, CONV, *HEAD], [0, 2]),
        ([DOWN, BatchNorm(), Activation(function="relu"), POOL, CONV, *HEAD], [4]),  # a ResNet's stem
        ([DOWN, CONV, POOL, CONV, *HEAD], [1, 3]),
        ([POOL, DOWN, CONV, *HEAD], [2]),  # nothing has weights before
        ([FOLD, CONV, FOLD, CONV, *HEAD], [1, 3]),
        ([CONV, POOL, POOL, CONV, *HEAD], [0, 3]),
        ([CONV, POOL, POOL, *HEAD], [0]),  # what stands behind the last weights is the head
        ([CONV, Conv(out_channels=4, kernel=3), CONV, *HEAD], [2]),  # no padding, but no stride
        ([CONV, AdaptivePool(size=(2, 1)), CONV, *HEAD], [0]),
        ([CONV, Dropout(share=0.5), *HEAD], [0]),
        ([CONV, Dropout(share=0.5), CONV, *HEAD], [2]),
        ([CONV, Conv(out_channels=3, kernel=1), AdaptivePool(), Flatten()], [0]),  # the conv is the classifier
        ([AdaptivePool(), CONV, *HEAD], []),
        (HEAD, []),
        ([*HEAD, Activation(function="relu"), Linear(out_features=2)], []),
    ],
)
def test_stages_of_chains(layers: list[Op], places: list[int]) -> None:
    sketch = Sketch((2, 16, 16))
    for i, layer in enumerate(layers):
        sketch.add(f"n{i}", layer)
    assert last_nodes(sketch.finish()) == [f"n{i}" for i in places]
