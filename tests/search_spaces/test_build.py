"""From data to torch."""

import weakref

import pytest
import torch
from hypothesis import given
from torch import Tensor

from search_spaces import INPUT, Activation, Architecture, Conv, Flatten, Linear, NetworkError, Node, Pool
from search_spaces.build import build, run_exits
from tests.search_spaces.random_exits import networks_with_exits
from tests.search_spaces.test_architecture import lenet


def test_parameters_are_named_after_nodes() -> None:
    names = set(build(lenet()).state_dict())
    assert {"conv1.weight", "conv1.bias", "hidden.weight", "classifier.bias"} <= names


def test_equals_the_layers_written_out() -> None:
    torch.manual_seed(0)
    network = build(lenet(pool=True, resolution=28)).eval()
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(1, 30, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(30, 30, 5), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(480, 50), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(50, 10),
    ).eval()  # fmt: skip
    layers.load_state_dict(dict(zip(layers.state_dict(), network.state_dict().values(), strict=True)))
    images = torch.rand(4, 1, 28, 28)
    assert torch.equal(network(images), layers(images))


def test_average_pool_and_groups() -> None:
    nodes = (
        Node(name="depthwise", op=Conv(out_channels=4, kernel=3, padding=1, groups=4, bias=False), inputs=(INPUT,)),
        Node(name="relu", op=Activation(function="relu"), inputs=("depthwise",)),
        Node(name="pool", op=Pool(function="average", kernel=8, stride=8), inputs=("relu",)),
        Node(name="flatten", op=Flatten(), inputs=("pool",)),
        Node(name="classifier", op=Linear(out_features=3), inputs=("flatten",)),
    )
    module = build(Architecture(input=(4, 8, 8), nodes=nodes))
    images = torch.rand(2, 4, 8, 8)
    pooled = torch.relu(module.get_submodule("depthwise")(images)).mean((2, 3))
    assert torch.allclose(module(images), module.get_submodule("classifier")(pooled), atol=1e-6)


@given(architecture=networks_with_exits())
def test_values_live_no_longer_than_they_are_read(architecture: Architecture) -> None:
    """While a layer runs, only what it and later ones read is there, and what was made for nobody just before it."""
    places = {node.name: i for i, node in enumerate(architecture.nodes)}
    last, alive = architecture.last_reads(), weakref.WeakValueDictionary[str, Tensor]()

    def layer(name: str, read: list[Tensor]) -> Tensor:
        before = {other for other in alive if places[other] == places[name] - 1}
        assert {other for other in alive if last.get(other, -1) < places[name]} <= before | set(architecture.exits)
        value = torch.tensor([float(places[name])])
        alive[name] = value
        return value

    scores = run_exits(architecture, torch.zeros(1), layer)
    assert [int(value) for value in scores] == [places[name] for name in architecture.answers]
    assert set(alive) == set(architecture.answers)


def test_name_that_torch_uses_is_refused() -> None:
    node = Node(name="forward", op=Flatten(), inputs=(INPUT,))
    with pytest.raises(NetworkError, match="node 'forward': torch modules use this name"):
        build(Architecture(input=(1, 2, 2), nodes=(node,)))
