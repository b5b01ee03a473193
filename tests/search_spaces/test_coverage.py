"""How much of an image is looked at: closed forms, and the gradients of torch's own layers."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from search_spaces import (
    Approach,
    Architecture,
    Conv,
    Flatten,
    NetworkError,
    Ranges,
    apply_solution,
    count_cost,
    count_coverage,
    count_coverages,
    solve,
)
from search_spaces.build import build
from search_spaces.ops import (
    AdaptivePool,
    Add,
    BatchNorm,
    BatchToSpace,
    Depthwise,
    GroupNorm,
    Linear,
    Op,
    Pad,
    Pool,
    Resize,
    Shortcut,
    SpaceToBatch,
    SpaceToDepth,
    Upsample,
)
from search_spaces.sketch import Sketch
from search_spaces.widths import scale_widths
from search_spaces.zoo import make_network
from search_spaces.zoo.lenet import lenet
from tests.search_spaces.random_ops import sizes


def torch_coverage(network: Architecture) -> float:
    """Share of columns, or rows, with a gradient, where all weights are positive and pools take means."""
    ops: dict[str, Op] = {}
    for node in network.nodes:
        op = node.op
        if isinstance(op, Pool):
            ops[node.name] = Pool(
                function="average", kernel=op.kernel, stride=op.stride, padding=op.padding, ceil=op.ceil
            )
        if isinstance(op, AdaptivePool):
            ops[node.name] = AdaptivePool(size=op.size)
    module = build(network.with_ops(ops)).double().eval()
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
            if layer.bias is not None:
                nn.init.constant_(layer.bias, 0.1)
    image = torch.ones(1, *network.input, dtype=torch.float64, requires_grad=True)
    module(image).sum().backward()
    assert image.grad is not None
    seen = image.grad[0].abs().amax(0) > 1e-14
    return min(int(seen.any(axis).sum()) / seen.shape[axis ^ 1] for axis in (0, 1))


def chain(side: int, *ops: Op, channels: int = 1) -> Architecture:
    sketch = Sketch((channels, side, side))
    for i, op in enumerate(ops):
        sketch.add(f"n{i}", op)
    return sketch.finish()


def conv(kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> Conv:
    return Conv(out_channels=2, kernel=kernel, stride=stride, padding=padding, dilation=dilation)


@pytest.mark.parametrize(
    ("network", "seen"),
    [
        (chain(9, conv(3)), 9 / 9),
        (chain(10, conv(2, stride=3)), 6 / 10),  # columns 0 1, 3 4, 6 7; 9 is left over
        (chain(10, conv(2, stride=4)), 6 / 10),  # 0 1, 4 5, 8 9
        (chain(11, conv(2, stride=3, padding=1)), 7 / 11),  # -1 0, 2 3, 5 6, 8 9, of which -1 is padding
        (chain(9, conv(2, stride=3, dilation=2)), 6 / 9),  # 0 2, 3 5, 6 8
        (chain(9, conv(3, stride=9, dilation=4)), 3 / 9),
        (chain(8, conv(1, stride=2), conv(1, stride=2)), 2 / 8),
        (chain(8, conv(3, stride=2, padding=1), conv(1, stride=2)), 5 / 8),  # -1 0 1, 3 4 5
        (chain(8, Pool(function="max", kernel=1, stride=3)), 3 / 8),
        (chain(6, AdaptivePool(), Flatten(), Linear(out_features=2)), 1.0),
        (chain(6, conv(1, stride=2), Flatten(), Linear(out_features=2)), 3 / 6),
        (chain(6, Conv(out_channels=1, kernel=1, stride=(1, 3))), 2 / 6),  # the columns are fewer than the rows
        (chain(6, Conv(out_channels=1, kernel=1, stride=(3, 1))), 2 / 6),
        (chain(6, Pad(left=-1, right=-1)), 4 / 6),
        (chain(6, GroupNorm(groups=1), conv(1, stride=2)), 1.0),  # the mean is that of all pixels
        (chain(6, Upsample(function="zeros", factor=2), conv(1, stride=2)), 1.0),
        (chain(6, Upsample(function="zeros", factor=2), Pad(left=-1, top=-1), conv(1, stride=4)), 0.0),
    ],
)
def test_closed_forms(network: Architecture, seen: float) -> None:
    assert count_coverage(network) == pytest.approx(seen)


WINDOW = {"kernel": sizes(1, 4), "stride": sizes(1, 4)}
OPS: list[st.SearchStrategy[Op]] = [
    st.builds(Conv, out_channels=st.just(2), padding=sizes(0, 2), dilation=sizes(1, 3), **WINDOW),
    st.builds(Depthwise, padding=sizes(0, 2), dilation=sizes(1, 2), **WINDOW),
    st.builds(Pool, function=st.just("max"), ceil=st.booleans(), **WINDOW),
    st.builds(Pool, function=st.just("average"), kernel=sizes(2, 4), stride=sizes(1, 4), padding=sizes(0, 1)),
    st.builds(AdaptivePool, size=sizes(1, 6)),
    st.builds(
        Pad, left=st.integers(-2, 2), right=st.integers(-2, 2), top=st.integers(-2, 2), bottom=st.integers(-2, 2)
    ),
    st.builds(Resize, function=st.sampled_from(("bilinear", "nearest")), size=sizes(1, 12)),
    st.builds(Upsample, function=st.sampled_from(("bilinear", "nearest", "zeros")), factor=st.integers(1, 3)),
    st.builds(SpaceToDepth, block=st.integers(1, 3)),
    st.builds(BatchNorm),
]


@settings(max_examples=250)
@given(side=st.integers(6, 14), ops=st.lists(st.one_of(OPS), min_size=1, max_size=4))
def test_gradients_of_chains(side: int, ops: list[Op]) -> None:
    try:
        network = chain(side, *ops, channels=2)
    except NetworkError:
        assume(False)
    assert count_coverage(network) == pytest.approx(torch_coverage(network))


@settings(max_examples=60)
@given(
    side=st.integers(8, 13),
    stride=st.integers(1, 3),
    before=st.integers(1, 3),
    after=st.integers(1, 3),
    same=st.booleans(),
)
def test_gradients_of_branches(side: int, stride: int, before: int, after: int, same: bool) -> None:
    """A residual block: what one branch steps over, another may look at."""
    sketch = Sketch((1, side, side))
    stem = sketch.add("stem", Conv(out_channels=2, kernel=1, stride=before))
    relu = sketch.add("norm", BatchNorm())
    block = sketch.add("block", Conv(out_channels=2 if same else 3, kernel=1, stride=stride))
    sketch.add("skip", Shortcut(stride=stride), stem, relu, block)
    sketch.add("sum", Add(), "block", "skip")
    sketch.add("end", Conv(out_channels=1, kernel=1, stride=after))
    network = sketch.finish()
    assert count_coverage(network) == pytest.approx(torch_coverage(network))


def test_what_only_a_shape_is_taken_from_is_not_read() -> None:
    """A shortcut needs its block's shape, not its values: what else the block looks at counts only where it is read."""
    sketch = Sketch((1, 12, 12))
    stem = sketch.add("stem", Conv(out_channels=2, kernel=1))
    block = sketch.add("block", Conv(out_channels=2, kernel=3, padding=1, stride=2), stem)
    sketch.add("skip", Shortcut(stride=2), stem, stem, block)
    sketch.add("end", Conv(out_channels=1, kernel=1, stride=3))
    network = sketch.finish()
    assert count_coverage(network) == pytest.approx(torch_coverage(network)) == pytest.approx(2 / 12)


@pytest.mark.parametrize("block", [1, 2, 3])
def test_gradients_of_replicas(block: int) -> None:
    """Replicas are counted as one, so what only some of them look at may be too much."""
    inner = Conv(out_channels=1, kernel=2, stride=1, padding=1)
    crop = Pad(right=-1, bottom=-1)
    network = chain(6, SpaceToBatch(block=block), inner, crop, BatchToSpace(block=block), conv(2, stride=3))
    assert torch_coverage(network) <= count_coverage(network) <= 1.0


NETWORKS = {
    "lenet": lambda: lenet(channels1=4, channels2=4, resolution=12, hidden=5, classes=3),
    "pooled lenet": lambda: lenet(channels1=4, channels2=4, resolution=14, hidden=5, classes=3, pool=True),
    "vgg11": lambda: scale_widths(make_network("vgg11", resolution=32, classes=3), 0.05),
    "resnet18": lambda: scale_widths(make_network("resnet18:stem=32", resolution=16, classes=3), 0.05),
    "preact_resnet18": lambda: scale_widths(make_network("preact_resnet18", resolution=8, classes=3), 0.05),
    "densenet121": lambda: make_network("densenet121", resolution=32, classes=3),
}
APPROACHES: tuple[Approach, ...] = ("I", "II", "III", "IV")


@pytest.mark.parametrize("approach", APPROACHES)
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_solutions(name: str, approach: Approach) -> None:
    """All at once as one by one, and as torch has it."""
    base = NETWORKS[name]()
    ranges = Ranges(kernel=(3, 9), stride=(1, 4), padding=(0, 3), dilation=(1, 4))
    resolutions = [base.resolution + 5, 2 * base.resolution]
    times = 5 if approach in ("I", "II") else 1.5
    activation = {"activation_elements": (1, int(times * count_cost(base).activation_elements))}
    found = solve(base, approach, resolutions=resolutions, network=activation, ranges=ranges)
    shares = count_coverages(base, found)
    assert len(shares) == len(found) > 0
    lowest, highest = int(shares.argmin()), int(shares.argmax())
    for i in {lowest, highest, *range(0, len(found), len(found) // 10 + 1)}:
        assert shares[i] == count_coverage(apply_solution(base, approach, found.row(i)))
    if name != "densenet121":
        for i in (lowest, highest):
            network = apply_solution(base, approach, found.row(i))
            assert shares[i] == pytest.approx(torch_coverage(network))
    assert name != "lenet" or approach == "I" or shares.min() < 1
