"""From modules to networks: what users write computes the same again; what cannot be held is an error with its path."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces import NetworkError, count_cost
from search_spaces.build import Network, build
from search_spaces.edits import with_resolution
from search_spaces.ops import OPS
from search_spaces.trace import Traced, copy_weights, trace
from search_spaces.trace.layers import LAYERS
from tests.search_spaces.own_modules import (
    ANY_SIDE,
    ONE_SIDE,
    Written,
    changed_through_a_view,
    changed_under_a_view,
    changing,
    conv,
    training_settings,
)

INPUT = (3, 16, 16)


def randomise(module: nn.Module) -> None:
    """Weights and statistics at which every layer matters."""
    torch.manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(layer.running_var, 0.5, 2)  # type: ignore[arg-type]
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)


def rebuilt(traced: Traced, module: nn.Module) -> Network:
    network = build(traced.architecture).eval()
    copy_weights(traced, module, network)
    return network


def assert_computes_the_same(module: nn.Module, shape: tuple[int, int, int], *, larger: int = 0) -> Traced:
    """Traced, built and given the weights, the network answers as the module, also for larger images."""
    randomise(module)
    traced = trace(module, shape)
    network = rebuilt(traced, module)
    if larger:
        network.architecture = with_resolution(traced.architecture, shape[1] + larger)
    images = torch.rand(3, shape[0], shape[1] + larger, shape[1] + larger)
    with torch.no_grad():
        expected = module.eval()(images.clone())
        assert torch.allclose(network(images), expected, rtol=1e-5, atol=1e-6)
    assert expected.shape[1:] == network.architecture.output
    parameters = sum(parameter.numel() for parameter in module.parameters())
    assert count_cost(traced.architecture).params + sum(traced.unused.values()) == parameters
    return traced


@pytest.mark.parametrize("larger", [0, 5])
@pytest.mark.parametrize("name", ANY_SIDE)
def test_own_modules(name: str, larger: int) -> None:
    assert_computes_the_same(ANY_SIDE[name](), INPUT, larger=larger)


@pytest.mark.parametrize("name", ONE_SIDE)
def test_own_modules_of_one_side(name: str) -> None:
    assert_computes_the_same(ONE_SIDE[name](), INPUT)


def test_unused_parameters_are_reported() -> None:
    traced = trace(ANY_SIDE["in_loop"](), INPUT)
    assert traced.unused == {"conv.weight": 216, "conv.bias": 8}
    assert not trace(ANY_SIDE["residual"](), INPUT).unused


def test_weights_have_the_names_of_the_module() -> None:
    body = nn.Sequential(conv(), nn.BatchNorm2d(8))
    traced = trace(Written(lambda m, x: m.blocks[0](x).mean([2, 3]), blocks=nn.ModuleList([body])), INPUT)
    assert [node.name for node in traced.architecture.nodes] == ["blocks_0_0", "blocks_0_1", "mean", "mean_2"]
    assert traced.weights["blocks_0_1.running_var"] == "blocks.0.1.running_var"
    assert set(traced.weights) == set(build(traced.architecture).state_dict())


def test_names_that_modules_use_are_changed() -> None:
    layers = {"forward_": conv(3, 4), "1x1 conv-": conv(4, 4, 1), "add_module_": conv(4, 4), "x" * 80: conv(4, 4)}
    module = Written(lambda m, x: [x := layer(x) for layer in m.children()][-1])
    for name, layer in layers.items():
        module.add_module(name, layer)
    assert_computes_the_same(module, INPUT)


# --- every layer of torch.nn that is known

MAP, VECTOR = (4, 8, 8), (4, 1, 1)
KNOWN: list[tuple[nn.Module, str]] = [
    *((layer, "activation") for layer in (
        nn.ELU(), nn.GELU(), nn.GELU(approximate="tanh"), nn.Hardsigmoid(), nn.Hardswish(), nn.Hardtanh(),
        nn.LeakyReLU(0.3), nn.LogSoftmax(dim=1), nn.Mish(), nn.ReLU(), nn.ReLU6(), nn.SiLU(), nn.Sigmoid(),
        nn.Softmax(1), nn.Softplus(), nn.Tanh(),
    )),
    *((layer, "adaptive_pool") for layer in (nn.AdaptiveAvgPool2d(3), nn.AdaptiveMaxPool2d((2, 3)))),
    *((layer, "pool") for layer in (
        nn.AvgPool2d(3, 2, 1), nn.AvgPool2d((2, 3)), nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        nn.MaxPool2d(2), nn.MaxPool2d((3, 2), 2, (1, 0), ceil_mode=True),
    )),
    *((layer, "batch_norm") for layer in (nn.BatchNorm2d(4), nn.BatchNorm2d(4, 1e-3, 0.01, affine=False))),
    (nn.ChannelShuffle(2), "channel_shuffle"),
    *((layer, "conv") for layer in (
        nn.Conv2d(4, 6, (3, 2), (1, 2), (2, 0), bias=False), nn.Conv2d(4, 6, 3, groups=2, dilation=2),
        nn.Conv2d(4, 6, (5, 3), padding="same", dilation=(1, 2)), nn.Conv2d(4, 6, 2, padding="valid"),
    )),
    *((layer, "depthwise") for layer in (nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 3, 2, 1, groups=4, bias=False))),
    *((layer, "dropout") for layer in (nn.Dropout(0.2), nn.Dropout2d(0.2))),
    (nn.Flatten(), "flatten"),
    *((layer, "group_norm") for layer in (nn.GroupNorm(2, 4), nn.GroupNorm(4, 4, 1e-3, affine=False))),
    *((layer, "prelu") for layer in (nn.PReLU(), nn.PReLU(4))),
    (nn.PixelUnshuffle(2), "space_to_depth"),
    *((layer, "upsample") for layer in (nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=3.0, mode="bilinear"))),
    (nn.Upsample(size=(5, 7)), "resize"),
    (nn.ZeroPad2d((1, 2, 0, -3)), "pad"),
]  # fmt: skip
KNOWN_ON_VECTORS: list[tuple[nn.Module, str]] = [
    (nn.BatchNorm1d(4), "batch_norm"),
    *((layer, "layer_norm") for layer in (nn.LayerNorm(4), nn.LayerNorm(4, 1e-3, elementwise_affine=False))),
    *((layer, "linear") for layer in (nn.Linear(4, 3), nn.Linear(4, 3, bias=False))),
    (nn.Softmax(dim=-1), "activation"),
]


@pytest.mark.parametrize(("layer", "kind"), KNOWN, ids=lambda value: str(value)[:60])
def test_layers_on_maps(layer: nn.Module, kind: str) -> None:
    traced = assert_computes_the_same(nn.Sequential(layer), MAP)
    assert [node.op.kind for node in traced.architecture.nodes] == [kind]
    assert training_settings(build(traced.architecture)) == training_settings(layer)


@pytest.mark.parametrize(("layer", "kind"), KNOWN_ON_VECTORS, ids=lambda value: str(value)[:60])
def test_layers_on_vectors(layer: nn.Module, kind: str) -> None:
    traced = assert_computes_the_same(nn.Sequential(nn.Flatten(), layer), VECTOR)
    assert [node.op.kind for node in traced.architecture.nodes] == ["flatten", kind]


def test_every_known_layer_is_tried() -> None:
    assert {type(layer) for layer, _ in (*KNOWN, *KNOWN_ON_VECTORS)} == set(LAYERS) - {nn.Identity}
    assert {kind for _, kind in (*KNOWN, *KNOWN_ON_VECTORS)} <= set(OPS)


# --- errors


def attention(m: Any, x: Tensor) -> Any:
    x = m.conv(x).flatten(2).transpose(1, 2)
    return m.attention(x, x, x)[0].mean(1)


def branch_on_data(m: Any, x: Tensor) -> Any:
    x = m.conv(x)
    return x if x.sum() > 0 else -x


def branch_on_sides(m: Any, x: Tensor) -> Any:
    return m.conv(x) if x.shape[2] > 8 else x


def loop_over_images(m: Any, x: Tensor) -> Any:
    return torch.stack([image.mean() for image in m.conv(x)])


def loop_over_sides(m: Any, x: Tensor) -> Any:
    return sum((m.conv(x)[:, i] for i in range(x.size(1))), torch.zeros(()))


def shared(m: Any, x: Tensor) -> Any:
    return m.conv(m.conv(x))


def same_size(m: Any, x: Tensor) -> Any:
    return F.interpolate(m.pool(x), size=x.shape[2:])


class TwoInputs(nn.Module):
    def forward(self, images: Tensor, mask: Tensor) -> Tensor:
        return images * mask


CONV = conv(3, 3)
WRONG: dict[str, tuple[nn.Module, str]] = {
    "attention": (
        Written(attention, conv=conv(), attention=nn.MultiheadAttention(8, 2, batch_first=True)),
        "body.attention: MultiheadAttention is no layer that a network as data can hold",
    ),
    "branch on data": (Written(branch_on_data, conv=CONV), "body: forward must not branch .* TraceError: symbolically"),
    "branch on sides": (Written(branch_on_sides, conv=CONV), "body: forward must not branch on data or shapes"),
    "loop over images": (Written(loop_over_images, conv=CONV), "body: forward must not .* nor loop over them"),
    "loop over channels": (Written(loop_over_sides, conv=CONV), "body: forward must not .* TypeError"),
    "shared": (Written(shared, conv=CONV), "body.conv: weights must be used once, .* also used at body.conv"),
    "lstm": (nn.Sequential(conv(), nn.LSTM(16, 8)), "body.1: LSTM is no layer"),
    "transposed": (nn.ConvTranspose2d(3, 8, 3), "body: ConvTranspose2d is no layer"),
    "reflect": (nn.Sequential(conv(padding_mode="reflect")), "body.0: padding must be zeros, but is reflect"),
    "even same": (conv(3, 8, 2, padding="same"), "body: padding must be the same on both sides"),
    "to the input's size": (
        Written(same_size, pool=nn.MaxPool2d(2)), "body: interpolation must be by a factor .* follows the resolution",
    ),
    "corners": (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), "body: interpolation must be near"),
    "bicubic": (nn.Upsample(scale_factor=2, mode="bicubic"), "body: interpolation must be nearest or bilinear"),
    "half": (nn.Upsample(scale_factor=1.5), "body: interpolation must be by one integer factor, but is by 1.5"),
    "function": (Written(lambda m, x: torch.sin(m.conv(x)), conv=CONV), "body: sin is no layer"),
    "method": (Written(lambda m, x: m.conv(x).amax((2, 3)), conv=CONV), "body: amax is no layer"),
    "attribute": (Written(lambda m, x: F.relu(x.data), conv=CONV), "body: the attribute 'data' of a tensor must"),
    "sum of vectors and maps": (Written(lambda m, x: x + x.mean([2, 3]), conv=CONV), "body: node 'body_add': add: all"),
    "difference": (Written(lambda m, x: m.conv(x) - x, conv=CONV), "body: two tensors must be added or multiplied"),
    "one minus": (Written(lambda m, x: 1 - m.conv(x), conv=CONV), "body: sub must be of a tensor and a number"),
    "learned shift": (
        Written(lambda m, x: m.conv(x) + m.bias, conv=CONV, bias=nn.Parameter(torch.rand(3, 1, 1))),
        "body: body.bias must be a factor, but add is asked for",
    ),
    "position embedding": (
        Written(lambda m, x: x * m.weight, weight=nn.Parameter(torch.rand(3, 16, 16))),
        r"body: body.weight must hold one factor a channel, but has shape \(3, 16, 16\)",
    ),
    "constant map": (Written(lambda m, x: x + m.grid, grid=torch.rand(16, 16)), "body: body.grid must hold one number"),
    "adaptive None": (nn.AdaptiveAvgPool2d((None, 1)), "body: an adaptive pool must have a fixed size"),
    "indices": (nn.MaxPool2d(2, return_indices=True), "body: a max pool must have dilation 1 and return no indices"),
    "divisor": (nn.AvgPool2d(2, divisor_override=3), "body: an average pool must divide by its window"),
    "no statistics": (nn.BatchNorm2d(3, track_running_stats=False), "body: a batch norm must keep running statistics"),
    "slope": (nn.ELU(0.5), "body: elu: alpha must be 1.0, but is 0.5"),
    "layer norm of sides": (nn.LayerNorm(16), "body: LayerNorm must be over the channels alone"),
    "linear of sides": (nn.Linear(16, 4), r"body: Linear needs a vector or channels last, .* \(3, 16, 16\)"),
    "softmax of sides": (nn.Softmax(dim=-1), r"body: softmax must be over the channels \(dim=1\), but is over dim=-1"),
    "flatten of sides": (nn.Flatten(2), "body: Flatten must begin at dim 1"),
    "mean of channels": (Written(lambda m, x: x.mean(1)), "body: mean must be over height and width, .* dim=1"),
    "concat of sides": (Written(lambda m, x: torch.cat([x, x], 2)), r"body: cat must be over the channels \(dim=1\)"),
    "batch into channels": (
        Written(lambda m, x: m.conv(x).view(-1, 5, 16, 16), conv=conv()), "body: a view must flatten, group",
    ),
    "batch size": (Written(lambda m, x: x * x.size(0)), "body: the batch size must not be computed with"),
    "uneven slice": (Written(lambda m, x: m.conv(x)[:, 1:4], conv=conv()), "body: a slice must be one of equal parts"),
    "one image": (Written(lambda m, x: m.conv(x)[0], conv=conv()), "body: an index must take channels, but is 0"),
    "uneven split": (Written(lambda m, x: torch.split(m.conv(x), [3, 5], 1)[0], conv=conv()), "split must make equal"),
    "swapped sides": (Written(lambda m, x: m.conv(x).transpose(2, 3), conv=conv()), "body: transpose must exchange"),
    "channels last": (Written(lambda m, x: m.conv(x).permute(0, 2, 3, 1), conv=conv()), "must return one tensor"),
    "two outputs": (Written(lambda m, x: (m.conv(x), x), conv=conv()), "the module must return one tensor"),
    "no layer": (nn.Identity(), "the module must return one tensor of its layers' results"),
    "small images": (conv(3, 8, 17, padding=0), "body: node 'body': conv: the kernel must fit into the padded input"),
    **{
        function.__name__: (
            changing(function),
            "body.relu: a tensor of which another view is read later must not be changed in place",
        )
        for function in (changed_under_a_view, changed_through_a_view)
    },
    "always dropout": (Written(lambda m, x: F.dropout(m.conv(x)), conv=CONV), "body: dropout must be told training="),
    "certain dropout": (nn.Dropout(1.0), "body: dropout: share must be a float from 0 to below 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_held_names_the_path(name: str) -> None:
    body, message = WRONG[name]
    module = nn.Sequential()
    module.add_module("body", body)
    module.train()
    for i, child in enumerate(module.modules()):
        child.training = i % 2 == 0
    before = [child.training for child in module.modules()]
    with pytest.raises(NetworkError, match=message) as caught:
        trace(module, INPUT)
    assert "\n" not in str(caught.value)
    assert [child.training for child in module.modules()] == before


def test_modules_of_two_inputs() -> None:
    with pytest.raises(NetworkError, match=r"forward must take one tensor, the images, but: .*'mask'"):
        trace(TwoInputs(), INPUT)


def test_module_is_left_as_it_was() -> None:
    module = ANY_SIDE["residual"]().train()
    module.get_submodule("norm").eval()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    trace(module, INPUT)
    assert {name: child.training for name, child in module.named_modules()} == {
        "": True, "stem": True, "norm": False, "conv": True, "relu": True,
    }  # fmt: skip
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
    constants = ANY_SIDE["gated_vector"]()
    names = set(vars(constants))
    trace(constants, INPUT)
    assert set(vars(constants)) == names
