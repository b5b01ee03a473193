"""All CNN classifiers of torchvision: costs are those of their weights' meta data, outputs are the module's own."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from search_spaces import Architecture, NetworkError, count_cost
from search_spaces.build import build
from search_spaces.edits import with_resolution
from search_spaces.torchvision_networks import classifier_names, make_classifier, trace_torchvision
from search_spaces.trace import Traced, copy_weights, trace
from search_spaces.width_groups import find_width_groups
from search_spaces.widths import with_widths
from tests.search_spaces.own_modules import training_settings

CNNS = [name for name in classifier_names() if not name.startswith(("vit_", "swin_", "maxvit"))]
SMALL = (  # the smallest of each family
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18",
    "resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_1", "vgg11_bn", "wide_resnet50_2",
)  # fmt: skip
EACH = [pytest.param(name, marks=[] if name in SMALL else [pytest.mark.slow]) for name in CNNS]
AUXILIARY = {"googlenet", "inception_v3"}


@cache
def traced(name: str) -> Traced:
    return trace_torchvision(name)


def test_all_families_are_tried() -> None:
    assert len(CNNS) == 68
    assert set(SMALL) <= set(CNNS)


@pytest.mark.parametrize("name", CNNS)
def test_costs_are_those_of_all_weights(name: str) -> None:
    """`num_params` to the last one, `_ops` (GMACs) to the last printed digit, at each entry's own crop size."""
    network, unused = traced(name).architecture, sum(traced(name).unused.values())
    assert (unused > 0) == (name in AUXILIARY)
    counted_unused = unused if name == "inception_v3" else 0  # GoogLeNet's meta data leave its auxiliary heads out
    for weights in models.get_model_weights(name):
        cost = count_cost(with_resolution(network, weights.transforms().crop_size[0]))
        assert cost.params + counted_unused == weights.meta["num_params"], weights
        assert round(cost.macs / 1e9, 3) == weights.meta["_ops"], weights


@pytest.mark.parametrize("name", EACH)
def test_outputs_are_the_modules_own(name: str) -> None:
    torch.manual_seed(0)
    module = make_classifier(name, classes=10).eval()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(layer.running_var, 0.5, 2)  # type: ignore[arg-type]
    side = 80 if name == "inception_v3" else 64
    made = trace(module, (3, side, side))
    network = build(made.architecture).eval()
    copy_weights(made, module, network)
    ours, theirs = training_settings(network), training_settings(module)
    assert ours <= theirs
    assert {kind for kind, *_ in theirs - ours} <= {"depth"} or name in AUXILIARY  # EfficientNet has depths for no sum
    images = torch.rand(2, 3, side, side)
    with torch.no_grad():
        expected = module(images)
        assert (network(images) - expected).abs().max() <= 1e-5 * expected.std()


def flops_of(module: nn.Module, network: Architecture) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, *network.input, device="meta"))
    return int(counter.get_total_flops())


@pytest.mark.parametrize("name", EACH)
@settings(max_examples=5)
@given(data=st.data())
def test_costs_at_other_widths_and_resolutions(name: str, data: st.DataObject) -> None:
    """Numbers of the built parameters and torch's count of its FLOPs, at three resolutions each."""
    network = traced(name).architecture
    groups = find_width_groups(network)
    scale = data.draw(st.floats(0.2, 1.5), label="mean scale")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    scales = rng.uniform(0.5 * scale, 1.5 * scale, len(groups.groups))
    widths = [
        group.divisor * max(1, round(group.width * scale / group.divisor))
        for group, scale in zip(groups.groups, scales, strict=True)
    ]
    changed = with_widths(network, widths, groups)
    with torch.device("meta"):
        module = build(changed).eval()
    assert sum(parameter.numel() for parameter in module.parameters()) == count_cost(changed).params
    least = 75 if name == "inception_v3" else 64
    for side in data.draw(st.lists(st.integers(least, 320), min_size=3, max_size=3, unique=True), label="sides"):
        resized = with_resolution(changed, side)
        assert flops_of(module, resized) == 2 * count_cost(resized).macs


@pytest.mark.parametrize("name", sorted(set(classifier_names()) - set(CNNS)))
def test_attention_is_refused(name: str) -> None:
    with pytest.raises(NetworkError, match=r"^[\w.]*(attn|attention)[\w.]*: ") as caught:
        trace_torchvision(name)
    assert "\n" not in str(caught.value)
