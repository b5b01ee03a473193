"""The layers that torch lacks, against the same thing written out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from search_spaces import modules, ops
from search_spaces.build import build
from search_spaces.sketch import Sketch

torch.manual_seed(0)
SMALL = st.integers(1, 4)


def built(shape: tuple[int, int, int], *layers: ops.Op) -> nn.Module:
    sketch = Sketch(shape)
    for i, layer in enumerate(layers):
        sketch.add(f"layer{i}", layer)
    return build(sketch.finish()).eval()


@settings(max_examples=40)
@given(block=SMALL, other=SMALL, count=SMALL, channels=SMALL, side=SMALL)
def test_space_to_batch_and_back(block: int, other: int, count: int, channels: int, side: int) -> None:
    images = torch.rand(count, channels, side * block * other, side * block * other)
    there, back = modules.SpaceToBatch(block), modules.BatchToSpace(block)
    once = there(images)
    for n in range(count):
        for i in range(block):
            for j in range(block):
                assert torch.equal(once[n * block**2 + i * block + j], images[n, :, i::block, j::block])
    assert torch.equal(back(once), images)
    twice = modules.SpaceToBatch(other)(once)
    assert torch.equal(back(modules.BatchToSpace(other)(twice)), images)


def test_replicas_are_averaged_image_by_image() -> None:
    images = torch.rand(3, 2, 4, 4)
    network = built((2, 4, 4), ops.SpaceToBatch(block=2), ops.MeanReplicas())
    parts = [images[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    assert torch.allclose(network(images), torch.stack(parts).mean(0))
    after_pool = built((2, 4, 4), ops.SpaceToBatch(block=2), ops.AdaptivePool(), ops.Flatten(), ops.MeanReplicas())
    assert torch.allclose(after_pool(images), images.mean((2, 3)))


@given(factor=SMALL, side=SMALL)
def test_zeros_between_pixels(factor: int, side: int) -> None:
    images = torch.rand(2, 3, side, side)
    spread = modules.UpsampleZeros(factor)(images)
    assert spread.shape == (2, 3, side * factor, side * factor)
    assert torch.equal(spread[:, :, ::factor, ::factor], images)
    assert torch.isclose(spread.sum(), images.sum())  # so all else is zero, as no pixel is negative


@given(groups=SMALL, each=SMALL)
def test_channel_shuffle_written_out(groups: int, each: int) -> None:
    images = torch.rand(2, groups * each, 3, 3)
    shuffled = images.view(2, groups, each, 3, 3).transpose(1, 2).reshape(images.shape)
    assert torch.equal(built((groups * each, 3, 3), ops.ChannelShuffle(groups=groups))(images), shuffled)


@given(block=SMALL)
def test_space_to_depth_puts_blocks_channel_by_channel(block: int) -> None:
    images = torch.rand(2, 3, 2 * block, 2 * block)
    folded = built((3, 2 * block, 2 * block), ops.SpaceToDepth(block=block))(images)
    for channel in range(3):
        for i in range(block):
            for j in range(block):
                part = folded[:, channel * block**2 + i * block + j]
                assert torch.equal(part, images[:, channel, i::block, j::block])


IMAGES = torch.rand(2, 6, 4, 4)


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (ops.Chunk(parts=3, index=1), IMAGES[:, 2:4]),
        (ops.Select(indices=(5, 0, 5)), IMAGES[:, [5, 0, 5]]),
        (ops.Select(indices=(-1, 2)), IMAGES[:, [0, 2]] * torch.tensor([0.0, 1.0])[:, None, None]),
        (ops.Affine(factors=(2.0,), offsets=(-1.0,)), 2 * IMAGES - 1),
        (ops.Affine(factors=(1.0,), offsets=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0)), IMAGES + torch.arange(6.0)[:, None, None]),
        (ops.LayerScale(initial=0.5), IMAGES / 2),
        (ops.LayerNorm(), (IMAGES - IMAGES.mean(1, True)) / (IMAGES.var(1, False, keepdim=True) + 1e-5).sqrt()),
        (ops.Activation(function="softmax"), IMAGES.exp() / IMAGES.exp().sum(1, True)),
        (ops.Activation(function="leaky_relu", slope=0.5), IMAGES),
        (ops.Pad(left=-1, top=1), nn.functional.pad(IMAGES[..., 1:], (0, 0, 1, 0))),
        (ops.AdaptivePool(function="max"), IMAGES.amax((2, 3), keepdim=True)),
        (ops.AdaptivePool(size=(2, 1)), IMAGES.reshape(2, 6, 2, 8).mean(3)[..., None]),
        (ops.Upsample(function="nearest", factor=2), IMAGES.repeat_interleave(2, 2).repeat_interleave(2, 3)),
        (ops.Resize(function="nearest", size=2), IMAGES[..., ::2, ::2]),
    ],
    ids=lambda value: value.kind if isinstance(value, ops.Op) else None,
)  # fmt: skip
def test_values(op: ops.Op, expected: Tensor) -> None:
    assert torch.allclose(built((6, 4, 4), op)(IMAGES), expected, atol=1e-6)


def test_values_of_several_inputs() -> None:
    a, b = torch.rand(2, 6, 4, 4), torch.rand(2, 6, 1, 1)
    assert torch.equal(modules.Sum()(a, a, a), a + a + a)
    assert torch.equal(modules.Product()(a, b), a * b)
    assert torch.equal(modules.Concat()(a, a[:, :1]), a[:, [0, 1, 2, 3, 4, 5, 0]])


def test_average_pool_counts_padding_only_if_asked() -> None:
    ones = torch.ones(1, 1, 2, 2)
    corners = {
        flag: built((1, 2, 2), ops.Pool(function="average", kernel=3, stride=1, padding=1, count_padding=flag))(ones)
        for flag in (True, False)
    }
    assert torch.allclose(corners[True], ones * 4 / 9)
    assert torch.allclose(corners[False], ones)


@pytest.mark.parametrize("mode", ["row", "batch"])
def test_stochastic_depth_while_training(mode: str) -> None:
    torch.manual_seed(0)
    layer = modules.StochasticDepth(0.25, mode)
    ones = torch.ones(50, 2, 3, 3)
    drawn = torch.stack([layer(ones) for _ in range(400)])  # [400, 50, 2, 3, 3]
    images = drawn.flatten(2)
    assert torch.equal(images.amin(2), images.amax(2))  # an image is kept or not as a whole
    values = images[..., 0]
    assert {round(float(value), 4) for value in values.unique()} == {0.0, round(1 / 0.75, 4)}
    draws = values.flatten() if mode == "row" else values[:, 0]
    assert bool((values == values[:, :1]).all()) == (mode == "batch")
    deviation = (0.25 / 0.75 / len(draws)) ** 0.5  # of the mean of values 0 and 4/3
    assert abs(float(draws.mean()) - 1) < 4 * deviation
    assert torch.equal(layer.eval()(ones), ones)
    assert torch.equal(modules.StochasticDepth(0.0, mode)(ones), ones)


def test_stochastic_depth_of_vectors() -> None:
    kept = modules.StochasticDepth(0.5, "row")(torch.ones(100, 7))
    assert torch.equal(kept.amin(1), kept.amax(1))
    assert set(kept.unique().tolist()) == {0.0, 2.0}


def test_dropout_of_channels() -> None:
    on_map = built((20, 3, 3), ops.Dropout(share=0.5, channels=True)).train()(torch.ones(4, 20, 3, 3)).flatten(2)
    assert torch.equal(on_map.amin(2), on_map.amax(2))
    on_vector = built((20, 1, 1), ops.Flatten(), ops.Dropout(share=0.5, channels=True)).train()
    assert set(on_vector(torch.ones(4, 20, 1, 1)).unique().tolist()) == {0.0, 2.0}  # without torch's warning
