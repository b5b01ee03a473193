"""Masked networks: removed channels are zero everywhere, and the weights are the network's own."""

import pytest
import torch
from torch import Tensor, nn

from search_spaces import NetworkError, ops
from search_spaces.shrink import mask, shrink
from search_spaces.sketch import Sketch
from tests.search_spaces.trained_networks import STREAM, assert_close, images_for, narrow, trained


def test_the_mask_shares_the_networks_weights() -> None:
    network = narrow().eval()
    network.get_submodule("last_norm").train()
    masked = mask(network, STREAM)
    assert [name for name, module in masked.named_modules() if module.training] == ["network.last_norm"]
    assert {value.data_ptr() for value in masked.parameters()} == {value.data_ptr() for value in network.parameters()}
    assert masked.state_dict().keys() == {f"network.{name}" for name in network.state_dict()}
    masked(images_for(network)).sum().backward()
    gradient = network.get_submodule("stem").weight.grad
    assert isinstance(gradient, Tensor)
    assert gradient.flatten(1).abs().sum(1).ne(0).tolist() == STREAM["stem"].tolist()
    images = images_for(network)
    assert torch.equal(mask(network, {})(images), network(images))


def test_masks_hide_what_a_layer_makes_of_zeros() -> None:
    """Offsets of norms, sigmoid(0) and what is not finite do not leak into the rest."""
    sketch = Sketch((2, 4, 4))
    for name, op in {
        "a": ops.Conv(out_channels=3, kernel=1),
        "norm": ops.BatchNorm(),
        "sigmoid": ops.Activation(function="sigmoid"),
        "pool": ops.AdaptivePool(),
        "flatten": ops.Flatten(),
        "classifier": ops.Linear(out_features=2),
    }.items():
        sketch.add(name, op)
    network = trained(sketch.finish()).eval()
    weight, norm = network.get_submodule("classifier").weight, network.get_submodule("norm")
    assert isinstance(weight, Tensor)
    assert isinstance(norm, nn.BatchNorm2d)
    images, keep = images_for(network), {"a": [True, False, True]}
    with torch.no_grad():
        expected = mask(network, keep)(images)
        weight[:, 1] = 1e3
        norm.bias[1] = torch.nan
        assert torch.equal(mask(network, keep)(images), expected)
        assert_close(shrink(network, keep)(images), expected, 1e-12)


def test_what_cannot_be_shrunk_can_be_masked() -> None:
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=4, kernel=1))
    sketch.add("norm", ops.LayerNorm())
    sketch.add("flatten", ops.Flatten())
    sketch.add("classifier", ops.Linear(out_features=3))
    network = trained(sketch.finish())
    keep = {"a": [True, True, False, True]}
    with pytest.raises(NetworkError, match=r"node 'norm': layer_norm depends on all of its channels, .* or mask them"):
        shrink(network, keep)
    assert mask(network, keep)(images_for(network)).shape == (4, 3)
