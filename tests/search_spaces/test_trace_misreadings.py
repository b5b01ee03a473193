"""Modules that a careless reader would take for something else: read as they are, or refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from search_spaces import NetworkError, count_cost
from search_spaces.trace import trace, verify_trace

INPUT = (3, 16, 16)


class Own(nn.Module):
    """A stem of 16 channels, then what a function says; `other` is a second conv."""

    def __init__(self, function: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.other = nn.Conv2d(16, 16, 3, padding=1)
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, images: Tensor) -> Any:
        return self.function(self, self.stem(images))


class WithDefaults(nn.Module):
    """Branches on arguments that are not given."""

    def __init__(self) -> None:
        super().__init__()
        self.heavy, self.light = nn.Conv2d(3, 16, 3), nn.Conv2d(3, 16, 1)

    def forward(self, images: Tensor, previous: Tensor | None = None, features: bool = False) -> Tensor:
        values: Tensor = self.heavy(images) if previous is None else self.light(images)
        return values if features else values.mean((2, 3))


class OwnNorm(nn.BatchNorm2d):
    """A subclass with nothing of its own."""


@pytest.mark.parametrize(
    "module",
    [
        WithDefaults(),
        Own(lambda m, x: m.other(x) * x.mean((2, 3), keepdim=True).expand_as(x)),
        Own(lambda m, x: m.norm(x), norm=OwnNorm(16)),
        Own(lambda m, x: m.other(x).chunk(4, 1)[-1]),
        Own(lambda m, x: m.other(x)[:, :8, ...]),
    ],
    ids=["defaults", "factors", "subclass", "last part", "half"],
)
def test_read_as_it_is(module: nn.Module) -> None:
    traced = trace(module, INPUT)
    verify_trace(traced, module)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module.eval()(torch.zeros(1, *INPUT))
    assert 2 * count_cost(traced.architecture).macs == counter.get_total_flops()


def normed(module: Own, make: Callable[[nn.Module], object]) -> Own:
    make(module.other)
    return module


def fix_weights(conv: nn.Module) -> None:
    """Weights that are not learned."""
    conv.register_buffer("fixed", torch.rand(4, 16, 1, 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Own(lambda m, x: m.other(x.mean((2, 3), keepdim=True).expand_as(x))), "usual layout"),
        (lambda: Own(lambda m, x: (m.other(x), x)[1]), "other: every layer that runs must be used"),
        (lambda: Own(lambda m, x: m.other(x)[..., :, :16]), "an index must take channels"),
        (lambda: Own(lambda m, x: m.other(x)[:, ..., :8]), "an index must take channels"),
        (
            lambda: Own(lambda m, x: m.other(x).view(x.size(0), 4, 4, 16, 16).mean((1, 2))),
            "mean must be over height and width",
        ),
        (lambda: Own(lambda m, x: m.other(x) // 2), "divided by /"),
        (lambda: Own(lambda m, x: m.other(x).chunk(4, 1)[7]), "IndexError"),
        (lambda: Own(lambda m, x: m.other(x).split(0, 1)[0]), "ZeroDivisionError"),
        (
            lambda: normed(Own(lambda m, x: F.conv2d(x, m.other.fixed)), fix_weights),
            "weights must be parameters, but other.fixed is a buffer",
        ),
        (lambda: Own(lambda m, x: m.norm(x), norm=nn.GroupNorm(8, 64)), "norm: the layer was made for 64 channels"),
        (lambda: Own(lambda m, x: m.act(x), act=nn.PReLU(64)), "act: the layer was made for 64 channels"),
        (
            lambda: normed(Own(lambda m, x: m.other(x)), nn.utils.parametrizations.weight_norm),
            "other: weights must be held as they are",
        ),
        (
            lambda: normed(Own(lambda m, x: m.other(x)), lambda conv: prune.l1_unstructured(conv, "weight", 0.5)),
            "other: hooks and weights made by them cannot be held",
        ),
        (
            lambda: normed(Own(lambda m, x: m.other(x)), lambda conv: conv.register_forward_hook(lambda *_: None)),
            "other: hooks",
        ),
    ],
)
def test_refused(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(NetworkError, match=message) as caught:
        trace(make(), INPUT)
    assert "\n" not in str(caught.value)


def test_verify_finds_another_network() -> None:
    one, other = Own(lambda m, x: m.other(x)), Own(lambda m, x: m.other(x) + x)
    traced = trace(one, INPUT)
    verify_trace(traced, one)
    with pytest.raises(NetworkError, match="the network as data must give the module's own scores, but does not"):
        verify_trace(traced, other)
