"""Kept channels of every kind of layer by hand, moves of channels against torch, and the checks of what is given."""

from typing import Any

import numpy as np
import pytest
import torch

from search_spaces import INPUT, Architecture, NetworkError, ops
from search_spaces.build import build
from search_spaces.kept import kept_channels, moved_channels
from search_spaces.ops import OPS, op_from_json, op_to_json
from search_spaces.sketch import Sketch
from search_spaces.zoo import make_network

MOVES: list[tuple[ops.ChannelShuffle | ops.Chunk | ops.Select, list[int]]] = [
    (ops.ChannelShuffle(groups=2), [0, 3, 1, 4, 2, 5]),
    (ops.ChannelShuffle(groups=3), [0, 2, 4, 1, 3, 5]),
    (ops.Chunk(parts=2, index=1), [3, 4, 5]),
    (ops.Chunk(parts=3, index=0), [0, 1]),
    (ops.Select(indices=(5, 0, 0, -1)), [5, 0, 0, -1]),
]


def pattern(text: str) -> list[bool]:
    """Flags from a text of 1 and 0."""
    return [letter == "1" for letter in text]


def flags_of(architecture: Architecture, keep: dict[str, str]) -> dict[str, str]:
    kept = kept_channels(architecture, {name: pattern(text) for name, text in keep.items()})
    return {name: "".join("01"[int(flag)] for flag in flags) for name, flags in kept.items()}


def branches(op: ops.Op, *, widths: tuple[int, int] = (4, 4), both: bool = True) -> Architecture:
    """Two convs `a` and `b` of the image, then the layer `x` of one or both of them."""
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=widths[0], kernel=1))
    if both:
        sketch.add("b", ops.Conv(out_channels=widths[1], kernel=1), INPUT)
    sketch.add("x", op, *(("a", "b") if both else ("a",)))
    if ops.is_map(sketch.shape()):
        sketch.add("flatten", ops.Flatten())
    sketch.add("classifier", ops.Linear(out_features=3))
    return sketch.finish()


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (ops.Activation(function="sigmoid"), "1001"),
        (ops.AdaptivePool(), "1001"),
        (ops.BatchNorm(), "1001"),
        (ops.Conv(out_channels=3, kernel=1), "111"),
        (ops.Depthwise(kernel=1, multiplier=3), "111000000111"),
        (ops.Expand(factor=2), "11111111"),
        (ops.Flatten(), "1" * 16 + "0" * 32 + "1" * 16),
        (ops.SpaceToBatch(block=2), "1001"),
        (ops.SpaceToDepth(block=2), "1111" + "0000" * 2 + "1111"),
        (ops.Upsample(function="zeros", factor=2), "1001"),
    ],
)
def test_layers_of_one_source(op: ops.Op, expected: str) -> None:
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=4, kernel=1))
    sketch.add("x", op)
    if isinstance(op, ops.SpaceToBatch):
        sketch.add("mean", ops.MeanReplicas())
    if ops.is_map(sketch.shape()):
        sketch.add("flatten", ops.Flatten())
    sketch.add("classifier", ops.Linear(out_features=3))
    kept = flags_of(sketch.finish(), {"a": "1001"})
    assert (kept[INPUT], kept["a"], kept["x"], kept["classifier"]) == ("11", "1001", expected, "111")


def test_concat_keeps_each() -> None:
    kept = flags_of(branches(ops.Concat(), widths=(4, 2)), {"a": "1001", "b": "01"})
    assert kept["x"] == "100101"


@pytest.mark.parametrize(("op", "expected"), [(ops.Add(), "1111"), (ops.Multiply(), "1001")])
def test_sums_keep_any_and_products_both(op: ops.Op, expected: str) -> None:
    assert flags_of(branches(op), {"a": "1001"})["x"] == "1001"  # one group: a sum ties what it adds
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=4, kernel=1))
    sketch.add("expand", ops.Expand(factor=1), "a")  # of the same group, but it keeps all
    sketch.add("x", op, "a", "expand")
    sketch.add("conv", ops.Conv(out_channels=3, kernel=1))
    kept = flags_of(sketch.finish(), {"a": "1001"})
    assert (kept["expand"], kept["x"]) == ("1111", expected)


def test_a_shortcut_keeps_what_its_block_keeps() -> None:
    network = make_network("preact_resnet18:widths=" + "-".join(["4"] * 16 + ["5"]))
    keep = {
        "stem": "1000",
        "stage1_block0_conv2": "0111",
        "stage1_block1_conv2": "0011",
        "stage4_block1_conv2": "10101",
    }
    kept = flags_of(network, keep)
    assert kept["stage1_block0_shortcut"] == kept["stage1_block0_add"] == "0111"  # the identity
    assert kept["stage1_block1_shortcut"] == kept["stage1_block1_add"] == kept["stage2_block0_norm1_relu"] == "0011"
    assert kept["stage4_block1_shortcut"] == kept["last_norm"] == kept["flatten"] == "10101"  # a conv
    assert kept["stage1_block0_conv1"] == "1111"


def test_parts_of_a_layer_keep_the_same_channels() -> None:
    network = branches(ops.Chunk(parts=2, index=1), both=False)
    assert {name: flags_of(network, {"a": "01"})[name] for name in ("a", "x")} == {"a": "0101", "x": "01"}


@pytest.mark.parametrize(("op", "order"), MOVES)
def test_moves_are_torchs(op: ops.ChannelShuffle | ops.Chunk | ops.Select, order: list[int]) -> None:
    assert moved_channels(op, 6).tolist() == order
    sketch = Sketch((6, 1, 1))
    sketch.add("move", op)
    images = torch.arange(1.0, 7).reshape(1, 6, 1, 1).requires_grad_()
    moved = build(sketch.finish())(images)
    assert moved.flatten().tolist() == [index + 1 for index in order]  # -1 is a zero
    moved.sum().backward()
    assert images.grad is not None
    assert images.grad.flatten().tolist() == [order.count(index) for index in range(6)]


def test_select_of_a_vector_and_of_what_is_not_finite() -> None:
    sketch = Sketch((2, 1, 1))
    sketch.add("flatten", ops.Flatten())
    sketch.add("select", ops.Select(indices=(-1, 1)))
    module = build(sketch.finish())
    assert module(torch.tensor([[[[torch.inf]], [[3.0]]]])).tolist() == [[0, 3]]
    assert not module.state_dict()  # the indices are the op's


def test_select_keeps_its_zeros() -> None:
    op = ops.Select(indices=(3, -1))
    assert op.shape((4, 2, 2)) == (2, 2, 2)
    assert op.shape((4,)) == (2,)
    assert op_from_json(op_to_json(op)) == op
    assert OPS["select"] is ops.Select
    sketch = Sketch((2, 4, 4))
    sketch.add("a", ops.Conv(out_channels=4, kernel=1))
    sketch.add("select", op)
    sketch.add("conv", ops.Conv(out_channels=3, kernel=1))
    kept = flags_of(sketch.finish(), {})
    assert kept["select"] == "11"
    with pytest.raises(NetworkError, match="keep must name width groups"):  # fixed, as Select names its channels
        flags_of(sketch.finish(), {"a": "1001"})


@pytest.mark.parametrize("indices", [(), (-2,), (0.0,), (True,), 3])
def test_select_checks_itself(indices: Any) -> None:
    with pytest.raises(NetworkError, match=r"select: indices must be integers of at least -1 \(zeros\), but got"):
        ops.Select(indices=indices)


def test_select_beyond_the_channels() -> None:
    with pytest.raises(NetworkError, match="select: indices must be below the 4 channels, but got 4"):
        ops.Select(indices=(-1, 4)).shape((4, 2, 2))


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({"c": [True] * 4}, r"keep must name width groups \(a, b\), but got 'c'$"),
        ({"classifier": [True] * 3}, "but got 'classifier'"),
        ({"a": [True] * 3}, r"keep of 'a' must be 4 booleans, one a channel, but has shape \(3,\); give true for"),
        ({"a": True}, r"but has shape \(\);"),
        ({"a": np.ones((4, 1), bool)}, r"but has shape \(4, 1\);"),
        ({"a": [[True], [True, False]]}, "but got lists of several lengths; give one list of true and false"),
        ({"b": [1, 0, 1, 1]}, "keep of 'b' must be 4 booleans, one a channel, but got int64; give true and false"),
        ({"b": [0.5] * 4}, "but got float64"),
        ({"b": [False] * 4}, "at least one channel of 'b' must stay, but all 4 are removed; keep one"),
    ],
)
def test_wrong_flags(keep: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message) as caught:
        kept_channels(branches(ops.Concat()), keep)
    assert "\n" not in str(caught.value)


def test_wrong_name_gets_a_hint() -> None:
    with pytest.raises(NetworkError, match="but got 'stage1_blok0_conv1'; did you mean 'stage1_block0_conv1'"):
        kept_channels(make_network("resnet18"), {"stage1_blok0_conv1": [True]})


def test_flags_are_not_changed() -> None:
    flags = np.array([True, False, True, True])
    kept = kept_channels(branches(ops.Concat()), {"a": flags})
    kept["a"][:] = False
    assert flags.tolist() == [True, False, True, True]
