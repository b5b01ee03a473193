"""Receptive fields against closed forms, and against the gradients of torch."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from search_spaces import INPUT, Architecture, Conv, NetworkError, count_coverage, coverage, receptive_field
from search_spaces.architecture import Node
from search_spaces.build import build
from search_spaces.coverage import Mask
from search_spaces.edits import dilate, with_resolution
from search_spaces.feeding import dilated, feed
from search_spaces.ops import (
    Activation,
    AdaptivePool,
    BatchToSpace,
    Depthwise,
    GroupNorm,
    Multiply,
    Op,
    Pad,
    Pool,
    Resize,
    Shortcut,
    SpaceToBatch,
    SpaceToDepth,
    Upsample,
)
from search_spaces.receptive_field import ReceptiveField, receptive_fields
from search_spaces.sketch import Sketch
from search_spaces.widths import scale_widths
from search_spaces.zoo import make_network
from tests.search_spaces.random_networks import networks
from tests.search_spaces.random_ops import sizes


def chain(side: int, *ops: Op, channels: int = 2) -> Architecture:
    sketch = Sketch((channels, side, side))
    for i, op in enumerate(ops):
        sketch.add(f"n{i}", op)
    return sketch.finish()


def smooth(network: Architecture) -> Architecture:
    """The network with the same reach whose gradients are zero nowhere: means for maxima, soft activations."""
    ops: dict[str, Op] = {}
    for node in network.nodes:
        if isinstance(node.op, Activation):
            ops[node.name] = Activation(function="softplus")
        if isinstance(node.op, Pool):
            values = {name: getattr(node.op, name) for name in ("kernel", "stride", "padding", "ceil")}
            ops[node.name] = Pool(function="average", **values)
        if isinstance(node.op, AdaptivePool):
            ops[node.name] = AdaptivePool(size=node.op.size)
    return network.with_ops(ops)


def torch_fields(network: Architecture, *, gates: bool = True) -> dict[str, tuple[range, range]]:
    """Rows and columns of the pixels with a gradient, of the middle position of every node; weights are random."""
    network = smooth(network)
    module = build(network).double().eval()
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.uniform_(norm.running_var, 0.5, 2)  # type: ignore[arg-type]
    values: dict[str, Tensor] = {}
    cut = {node.inputs[1] for node in network.nodes if isinstance(node.op, Multiply)} if not gates else set()
    for node in network.nodes:

        def keep(_: nn.Module, __: object, out: Tensor, name: str = node.name) -> Tensor | None:
            values[name] = out
            return out.detach() if name in cut else None

        module.get_submodule(node.name).register_forward_hook(keep)
    image = torch.rand(1, *network.input, dtype=torch.float64, requires_grad=True)
    module(image)
    return {name: _pixels(value, image) for name, value in values.items()}


def _pixels(value: Tensor, image: Tensor) -> tuple[range, range]:
    unit = value[..., value.shape[-2] // 2, value.shape[-1] // 2] if value.dim() == 4 else value
    (gradient,) = torch.autograd.grad((unit * torch.rand_like(unit)).sum(), image, retain_graph=True, allow_unused=True)
    if gradient is None:
        return range(0), range(0)
    seen = gradient[0].abs().amax(0) != 0
    return _extent(seen.any(1)), _extent(seen.any(0))


def _extent(seen: Tensor) -> range:
    places = seen.nonzero().flatten().tolist()
    return range(places[0], places[-1] + 1) if places else range(0)


def ours(network: Architecture, *, gates: bool = True) -> dict[str, tuple[range, range]]:
    return {field.name: (field.rows, field.columns) for field in receptive_fields(network, gates=gates)}


def narrow(text: str, resolution: int) -> Architecture:
    return scale_widths(make_network(text, resolution=resolution, classes=3), 0.05)


NETWORKS = {
    "lenet": lambda: make_network("lenet:channels1=2,channels2=3,hidden=4,pool=true", resolution=15, classes=3),
    "isometric": lambda: narrow("isometric:depth=3,internal=7", 28),
    "isometric, resized": lambda: narrow("isometric:depth=2,internal=7", 31),
    "mobilenet_v3_large": lambda: narrow("mobilenet_v3_large", 64),
    "vgg11": lambda: narrow("vgg11", 64),
    "resnet18": lambda: narrow("resnet18", 65),
    "preact_resnet18": lambda: narrow("preact_resnet18", 32),
    "densenet121": lambda: scale_widths(make_network("densenet121", resolution=32, classes=3), 0.01),
    "dilated mobilenet_v3_small": lambda: dilated(narrow("mobilenet_v3_small", 64)),
    "dilated resnet18": lambda: dilate(narrow("resnet18:stem=32", 32), {"stage1_block0_conv1": 2, "stem": 3}),
    "skipped mobilenet_v2": lambda: feed(narrow("mobilenet_v2", 64), "skip-stride", 4),
    "upsampled mobilenet_v1": lambda: feed(narrow("mobilenet_v1", 64), "upsample", 2),
    "folded resnet18": lambda: feed(narrow("resnet18", 64), "space-to-depth", 2),
}


@pytest.mark.parametrize("gates", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients(name: str, gates: bool) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]()
    assert ours(network, gates=gates) == torch_fields(network, gates=gates)


OPS: list[st.SearchStrategy[Op]] = [
    st.builds(Conv, out_channels=st.just(2), kernel=sizes(1, 4), stride=sizes(1, 3), padding=sizes(0, 2)),
    st.builds(Depthwise, kernel=sizes(1, 3), stride=sizes(1, 2), padding=sizes(0, 2), dilation=sizes(1, 2)),
    st.builds(Pool, function=st.just("average"), kernel=sizes(2, 4), stride=sizes(1, 4), padding=sizes(0, 1)),
    st.builds(AdaptivePool, size=sizes(1, 6)),
    st.builds(Pad, left=st.integers(-2, 3), right=st.integers(-2, 2), top=st.integers(-2, 3), bottom=st.integers(0, 1)),
    st.builds(Resize, function=st.sampled_from(("bilinear", "nearest")), size=sizes(1, 12)),
    st.builds(Upsample, function=st.sampled_from(("bilinear", "nearest", "zeros")), factor=st.integers(1, 3)),
    st.builds(SpaceToDepth, block=st.integers(1, 3)),
    st.just(GroupNorm(groups=1)),
]


@settings(max_examples=150)
@given(side=st.integers(6, 14), ops=st.lists(st.one_of(OPS), min_size=1, max_size=4))
def test_gradients_of_chains(side: int, ops: list[Op]) -> None:
    try:
        network = chain(side, *ops)
    except NetworkError:
        assume(False)
    assume(not _is_normed_over_one_number(network))
    torch.manual_seed(0)
    assert ours(network) == torch_fields(network)


def _is_normed_over_one_number(network: Architecture) -> bool:
    """Whether a norm gets so few numbers that its gradient is zero."""
    shapes = (network.source_shapes(node)[0] for node in network.nodes if isinstance(node.op, GroupNorm))
    return any(shape[-1] * shape[-2] < 4 for shape in shapes)


@settings(max_examples=60)
@given(network=networks(8))
def test_fields_of_any_network(network: Architecture) -> None:
    """Monotone: a node reads all that the nodes it reads do, as far as these ranges tell; none leaves the image."""
    fields = {field.name: field for field in receptive_fields(network)}
    assert list(fields) == [node.name for node in network.nodes]
    last = fields[network.nodes[-1].name]
    for field in fields.values():
        assert field.rows.start >= 0
        assert field.rows.stop <= network.resolution
        assert field.depth <= last.depth
    assert last.side / network.resolution >= count_coverage(network)  # the last node has one position here


@pytest.mark.parametrize("gates", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_units_that_share_a_row_read_the_same(name: str, gates: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal rows are made one never, or as often as there is no room for a unit."""
    network = NETWORKS[name]()
    found = []
    for room in (len(network.nodes) + 1, 1, 7):
        monkeypatch.setattr(receptive_field, "ROOM", room)
        found.append(ours(network, gates=gates))
    assert found[0] == found[1] == found[2]


def test_deep_networks_need_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 3,852 units few still read different pixels."""
    rows: list[int] = []

    def read_rows(node: Node, mask: Mask, side: int, axis: int) -> Mask:
        rows.append(len(mask))
        return coverage.read_rows(node, mask, side, axis)

    monkeypatch.setattr(receptive_field, "read_rows", read_rows)
    fields = receptive_fields(make_network("isometric:depth=256,internal=7", resolution=28), gates=False)
    assert [field.side for field in fields if field.kind == "depthwise"] == [12, 20, 28, *[28] * 253]
    assert max(rows) < 3 * receptive_field.ROOM


# --- closed forms


def sides(network: Architecture, kinds: tuple[str, ...], *, gates: bool = False) -> list[int]:
    return [field.side for field in receptive_fields(network, gates=gates) if field.kind in kinds]


def test_convs_one_after_the_other() -> None:
    """1 + sum of (kernel - 1) times the strides before."""
    layers = [Conv(out_channels=2, kernel=k, stride=s, padding=k // 2) for k, s in ((3, 2), (5, 1), (3, 2), (3, 1))]
    assert sides(chain(64, *layers), ("conv",)) == [3, 3 + 4 * 2, 11 + 2 * 2, 15 + 2 * 4]
    field = receptive_fields(chain(9, Conv(out_channels=2, kernel=(1, 3), padding=(0, 1))))[0]
    assert field == ReceptiveField(name="n0", kind="conv", depth=1, rows=range(4, 5), columns=range(3, 6))
    assert field.side == 3


def test_the_border_clips() -> None:
    wide = chain(9, Conv(out_channels=2, kernel=5, padding=2), Conv(out_channels=2, kernel=7, padding=3))
    assert sides(wide, ("conv",)) == [5, 9]
    assert sides(with_resolution(wide, 20), ("conv",)) == [5, 11]


def test_figure_8() -> None:
    """At the first block an isometric unit sees 48 of 224 px, MobileNetV3's 7; the dilated network sees more."""
    isometric = make_network("isometric")
    assert sides(isometric, ("depthwise",)) == [min(16 * (3 + 2 * i), 224) for i in range(16)]
    network = make_network("mobilenet_v3_large", resolution=2048)
    baseline, wide = sides(network, ("depthwise",)), sides(dilated(network), ("depthwise",))
    assert baseline[:5] == [7, 11, 19, 35, 67]
    assert wide[:5] == [3 + 2 * 4, 11 + 2 * 4, 19 + 4 * 4, 35 + 4 * 4, 51 + 8 * 8]
    half = sides(make_network("mobilenet_v3_large", resolution=1024), ("depthwise",))
    assert half == baseline  # in pixels of an image of which each covers twice as much
    assert all(b < w <= 2 * b for b, w in zip(baseline, wide, strict=True))


def test_behind_a_gate_all_is_seen() -> None:
    network = make_network("mobilenet_v3_small")
    with_gates = {field.name: field.side for field in receptive_fields(network)}
    without = {field.name: field for field in receptive_fields(network, gates=False)}
    assert with_gates["block0_squeeze_multiply"] == 224
    assert (without["block0_squeeze_multiply"].side, without["block0_squeeze_multiply"].depth) == (7, 2)
    assert without["block0_squeeze_reduce"].side == 224  # the gate's own layers see all


def test_nothing_is_read() -> None:
    network = chain(4, Upsample(function="zeros", factor=2), Pad(left=-1, top=-1, right=2, bottom=2))
    field = receptive_fields(network)[1]
    assert (field.rows, field.columns, field.side) == (range(0), range(0), 0)


def test_replicas_count_as_one() -> None:
    conv = Conv(out_channels=2, kernel=3, padding=1)
    network = chain(12, SpaceToBatch(block=2), conv, BatchToSpace(block=2))
    assert [field.side for field in receptive_fields(network)] == [2, 6, 6]  # from the first to the last pixel of any


def test_a_shortcut_without_conv_is_no_depth() -> None:
    sketch = Sketch((2, 8, 8))
    sketch.add("block", Conv(out_channels=2, kernel=3, padding=1))
    sketch.add("skip", Shortcut(), INPUT, INPUT, "block")
    sketch.add("wide", Conv(out_channels=4, kernel=3, padding=1), "skip")
    sketch.add("skip2", Shortcut(), "skip", "skip", "wide")
    sketch.add("last", Conv(out_channels=1, kernel=1), "skip2")
    depths = {field.name: field.depth for field in receptive_fields(sketch.finish())}
    assert depths == {"block": 1, "skip": 0, "wide": 1, "skip2": 1, "last": 2}
