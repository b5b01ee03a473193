"""Channels kept by the L1 norms of their filters, against sums written out."""

import numpy as np
import pytest
import torch

from search_spaces import NetworkError, ops
from search_spaces.magnitude import keep_largest
from search_spaces.shrink import shrink
from search_spaces.sketch import Sketch
from search_spaces.zoo import make_network
from tests.search_spaces.trained_networks import narrow, trained


def test_the_largest_filters_stay() -> None:
    network = trained(make_network("lenet"))
    weight = network.get_submodule("conv2").weight
    assert isinstance(weight, torch.Tensor)
    norms = [sum(abs(float(value)) for value in filters.flatten()) for filters in weight.detach()]
    expected = set(np.argsort(norms)[-round(0.3 * len(norms)) :].tolist())
    keep = keep_largest(network, {"conv2": 0.3})
    assert list(keep) == ["conv2"]
    assert set(np.flatnonzero(keep["conv2"]).tolist()) == expected
    assert shrink(network, keep).architecture.shapes["conv2"][0] == len(expected)


def test_layers_of_a_residual_sum_are_judged_together() -> None:
    network = trained(make_network("preact_resnet18:shortcuts=coupled,widths=" + "-".join("44444444455555555")))
    norms = torch.zeros(4, dtype=torch.float64)
    for name in ("stem", "stage1_block0_conv2", "stage1_block1_conv2"):
        weight = network.get_submodule(name).weight
        assert isinstance(weight, torch.Tensor)
        norms += weight.detach().abs().sum((1, 2, 3))
    (kept,) = keep_largest(network, {"stem": 0.5}).values()
    assert set(np.flatnonzero(kept).tolist()) == set(norms.argsort()[-2:].tolist())


def test_parts_of_a_grouped_conv_keep_equally_many() -> None:
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=6, kernel=1))
    sketch.add("b", ops.Conv(out_channels=6, kernel=1, groups=3))
    sketch.add("flatten", ops.Flatten())
    sketch.add("classifier", ops.Linear(out_features=3))
    keep = keep_largest(trained(sketch.finish()), {"a": 0.5, "b": 0.01})
    for flags in keep.values():
        assert flags.reshape(3, 2).sum(1).tolist() == [1, 1, 1]


@pytest.mark.parametrize(("shares", "message"), [({"x": 0.5}, "must name width groups"), ({"stem": 0.0}, "above 0")])
def test_bad_shares(shares: dict[str, float], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        keep_largest(narrow(), shares)
