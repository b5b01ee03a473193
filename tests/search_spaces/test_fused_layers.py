"""Layers side by side: every kind, on random settings, gives each member what its own layer gives it."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from search_spaces import NetworkError
from search_spaces.build import MODULES, Place
from search_spaces.fuse import pack, unpack
from search_spaces.fused_layers import FUSED, Noise, fused_layer
from search_spaces.ops import OPS, Op, Shape
from tests.search_spaces.random_ops import CASES
from tests.search_spaces.test_ops import batch

MEMBERS = 3
Values = list[Tensor]  # what a layer reads
Result = tuple[Tensor, Values, dict[str, Tensor]]  # output, gradients of what is read, state and gradients by name


def test_every_layer_has_a_fused_one() -> None:
    assert set(FUSED) == set(MODULES)


@pytest.mark.parametrize("kind", OPS)
@settings(max_examples=15)
@given(data=st.data(), training=st.booleans(), channels_last=st.booleans())
def test_layers_are_each_members_own(kind: str, data: st.DataObject, training: bool, channels_last: bool) -> None:
    op, sources = data.draw(CASES[kind])
    try:
        out = op.shape(*sources)
    except NetworkError:
        assume(False)
    place = Place.of(op, sources, out)
    states = [state_of(MODULES[type(op)](op, place), seed) for seed in range(MEMBERS)]
    values = [read_values(op, sources, seed) for seed in range(MEMBERS)]
    format_ = torch.channels_last if channels_last else torch.contiguous_format
    together = run(op, place, states, values, training=training, memory_format=format_)
    for member in range(MEMBERS):
        seed = [member]  # alone, it has the generator that it has in company
        (alone,) = run(op, place, [states[member]], [values[member]], seeds=seed, training=training)
        for given_, expected in zip(flat(together[member]), flat(alone), strict=True):
            torch.testing.assert_close(given_, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(5, 4, 6, 7), (40, 8)])
@pytest.mark.parametrize("unit", ["element", "channel", "row", "batch"])
def test_noise_is_the_members_own(unit: Any, shape: tuple[int, ...]) -> None:
    """The same numbers exactly, whatever the company, the strides and the type; and those of its generator alone."""
    ones = torch.ones(shape)
    alone = [Noise(0.25, unit, members=1)(ones, [torch.Generator().manual_seed(seed)]) for seed in range(MEMBERS)]
    wide = torch.ones(shape[0], MEMBERS * shape[1], *shape[2:])
    formats = [torch.contiguous_format, *[torch.channels_last] * (len(shape) == 4)]
    for dtype, format_ in product((torch.float32, torch.float64), formats):
        generators = [torch.Generator().manual_seed(seed) for seed in range(MEMBERS)]
        together = Noise(0.25, unit, members=MEMBERS)(wide.to(dtype=dtype, memory_format=format_), generators)
        assert torch.equal(together.to(torch.float32), torch.cat(alone, dim=1))
    assert set(torch.cat(alone).unique().tolist()) <= {0.0, float(torch.tensor(4 / 3))}


@pytest.mark.parametrize(
    ("unit", "shape", "whole"),
    [
        ("element", (50, 8, 5, 5), ()),
        ("channel", (100, 50, 3, 3), (2, 3)),
        ("row", (5000, 3, 2, 2), (1, 2, 3)),
        ("batch", (3, 2, 2, 2), (0, 1, 2, 3)),
    ],
)
def test_noise_has_its_share(unit: Any, shape: tuple[int, ...], whole: tuple[int, ...]) -> None:
    """Of elements, channels, images or batches, each of them as a whole."""
    generator = torch.Generator().manual_seed(0)
    draws = 5000 if unit == "batch" else 1
    kept = torch.stack([Noise(0.25, unit, members=1)(torch.ones(shape), [generator]).ne(0) for _ in range(draws)])
    if whole:
        dims = tuple(dim + 1 for dim in whole)
        assert torch.equal(kept.any(dims), kept.all(dims))
    assert float(kept.float().mean()) == pytest.approx(0.75, abs=0.03)


def state_of(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """A layer's state, each number its own."""
    generator = torch.Generator().manual_seed(seed)
    state = dict(module.state_dict())
    learned = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    return state | {name: torch.rand(tensor.shape, generator=generator) for name, tensor in learned.items()}


def read_values(op: Op, sources: tuple[Shape, ...], seed: int) -> Values:
    torch.manual_seed(seed)
    return [batch(sources[i]).double() * 4 - 2 for i in op.reads(sources)]


def run(
    op: Op,
    place: Place,
    states: Sequence[dict[str, Tensor]],
    values: Sequence[Values],
    *,
    training: bool,
    seeds: Sequence[int] = range(MEMBERS),
    memory_format: torch.memory_format = torch.contiguous_format,
) -> list[Result]:
    """What the members' layers give in one module, and what flows back."""
    members = len(states)
    layer = fused_layer(op, place, members).double().train(training)
    layer.load_state_dict(pack(states))
    layer.to(memory_format=memory_format)
    read = [
        tensor.to(memory_format=memory_format) if tensor.dim() == 4 else tensor
        for tensor in (torch.cat(tensors, dim=1) for tensors in zip(*values, strict=True))
    ]
    for tensor in read:
        tensor.requires_grad_()
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    out = layer(*read, generators) if isinstance(layer, Noise) else layer(*read)
    weights = torch.linspace(-1, 2, out[:, : out.shape[1] // members].numel(), dtype=out.dtype)
    own = out.chunk(members, dim=1)
    sum((part * weights.reshape(part.shape)).sum() for part in own).backward()
    states = unpack(layer.state_dict(), members)
    learned = unpack(
        {name: tensor.grad for name, tensor in layer.named_parameters() if tensor.grad is not None}, members
    )
    flowed = [tensor.grad.chunk(members, dim=1) for tensor in read if tensor.grad is not None]
    return [
        (own[m].detach(), [parts[m] for parts in flowed], states[m] | {f"{k}.grad": v for k, v in learned[m].items()})
        for m in range(members)
    ]


def flat(result: Result) -> list[Tensor]:
    return [result[0], *result[1], *(result[2][name] for name in sorted(result[2]))]
