"""Random small networks for Hypothesis: graphs of all kinds of layers, with sums, products, concats and parts."""

from typing import Any

from hypothesis import strategies as st

from search_spaces import INPUT, Architecture, NetworkError
from search_spaces.ops import (
    OPS,
    Activation,
    AdaptivePool,
    Add,
    Affine,
    BatchNorm,
    ChannelShuffle,
    Chunk,
    Concat,
    Conv,
    Depthwise,
    Dropout,
    Expand,
    Flatten,
    GroupNorm,
    LayerNorm,
    LayerScale,
    Linear,
    Multiply,
    Op,
    Pool,
    PReLU,
    Select,
    Shortcut,
    SpaceToDepth,
    StochasticDepth,
    Upsample,
    is_map,
)
from search_spaces.sketch import Sketch

SMALL = st.integers(1, 4)
WIDTHS = st.integers(1, 12)
ANYWHERE: list[st.SearchStrategy[Op]] = [
    st.builds(Activation, function=st.sampled_from(("relu", "softmax"))),
    st.just(Affine(factors=(2.0,), offsets=(1.0,))),
    st.builds(BatchNorm, affine=st.booleans()),
    st.just(Dropout(share=0.5)),
    st.builds(GroupNorm, groups=SMALL),
    st.builds(LayerNorm),
    st.builds(LayerScale),
    st.builds(PReLU, per_channel=st.booleans()),
    st.builds(Select, indices=st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple)),
    st.builds(StochasticDepth, share=st.just(0.5)),
]
ON_VECTORS = st.one_of(st.builds(Linear, out_features=WIDTHS, bias=st.booleans()), *ANYWHERE)
ON_MAPS = st.one_of(
    *ANYWHERE,
    st.builds(AdaptivePool, size=st.integers(1, 3)),
    st.builds(ChannelShuffle, groups=SMALL),
    st.builds(Conv, out_channels=WIDTHS, kernel=st.sampled_from((1, 3)), groups=SMALL, bias=st.booleans()),
    st.builds(Conv, out_channels=WIDTHS, kernel=st.just(3), padding=st.just(1), stride=st.integers(1, 2)),
    st.builds(Depthwise, kernel=st.just(3), padding=st.just(1), multiplier=st.integers(1, 2), bias=st.booleans()),
    st.builds(Expand, factor=SMALL, bias=st.booleans()),
    st.just(Flatten()),
    st.builds(Pool, function=st.just("max"), kernel=st.just(3), stride=st.just(2), padding=st.just(1)),
    st.builds(SpaceToDepth, block=st.just(2)),
    st.builds(Upsample, function=st.just("nearest"), factor=st.just(2)),
)


@st.composite
def networks(draw: st.DrawFn, most: int = 12) -> Architecture:
    """Up to `most` steps of a layer or a block; at the end all that nobody reads is pooled into a linear layer."""
    side = draw(st.integers(4, 9))
    sketch = Sketch((draw(SMALL), side, side))
    values = [INPUT, *(sketch.add(f"stem{i}", Conv(out_channels=draw(WIDTHS), kernel=3), INPUT) for i in range(3))]
    for i in range(draw(st.integers(1, most))):
        source = draw(st.sampled_from(values[-4:]))
        step = draw(st.sampled_from((_layer, _layer, _layer, _sum, _gate, _concat, _parts, _shortcut)))
        try:
            values.append(step(draw, sketch, f"n{i}", source))
        except NetworkError:
            continue  # a layer that this value does not allow
    return _finished(sketch)


def _layer(draw: st.DrawFn, sketch: Sketch, name: str, source: str) -> str:
    return sketch.add(name, draw(ON_MAPS if is_map(sketch.shape(source)) else ON_VECTORS), source)


def _sum(draw: st.DrawFn, sketch: Sketch, name: str, source: str) -> str:
    """With another value of this shape, or with a conv or linear layer of the source."""
    equal = [other for other in sketch._shapes if sketch.shape(other) == sketch.shape(source)]
    other = draw(st.sampled_from(equal))
    if other == source:
        other = sketch.add(f"{name}_branch", _same_width(sketch, source), source)
    return sketch.add(name, Add(), *draw(st.permutations((source, other))))


def _same_width(sketch: Sketch, source: str) -> Op:
    width = sketch.channels(source)
    return Conv(out_channels=width, kernel=1) if is_map(sketch.shape(source)) else Linear(out_features=width)


def _gate(draw: st.DrawFn, sketch: Sketch, name: str, source: str) -> str:
    """A squeeze-excite."""
    width = sketch.channels(source)
    sketch.add(f"{name}_pool", AdaptivePool(), source)
    sketch.add(f"{name}_reduce", Conv(out_channels=draw(SMALL), kernel=1))
    gate = sketch.add(f"{name}_restore", Conv(out_channels=width, kernel=1))
    return sketch.add(name, Multiply(), source, gate)


def _concat(draw: st.DrawFn, sketch: Sketch, name: str, source: str) -> str:
    fitting = [other for other in sketch._shapes if sketch.shape(other)[1:] == sketch.shape(source)[1:]]
    others = draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=3))
    return sketch.add(name, Concat(), source, *others)


def _parts(draw: st.DrawFn, sketch: Sketch, name: str, source: str) -> str:
    """Equal parts, multiplied or in another order."""
    parts = draw(st.integers(2, 3))
    taken = [sketch.add(f"{name}_{i}", Chunk(parts=parts, index=i), source) for i in range(parts)]
    if parts == 2 and draw(st.booleans()):
        return sketch.add(name, Multiply(), *taken)
    return sketch.add(name, Concat(), *draw(st.permutations(taken)))


def _shortcut(draw: st.DrawFn, sketch: Sketch, name: str, source: str) -> str:
    stride = draw(st.integers(1, 2))
    width = draw(st.sampled_from((sketch.channels(source), 6)))
    activated = sketch.add(f"{name}_relu", Activation(function="relu"), source)
    block = sketch.add(f"{name}_conv", Conv(out_channels=width, kernel=3, padding=1, stride=stride), activated)
    skip = sketch.add(f"{name}_skip", Shortcut(stride=stride, norm=draw(st.booleans())), source, activated, block)
    return sketch.add(name, Add(), block, skip)


def _finished(sketch: Sketch) -> Architecture:
    read = {source for node in sketch._nodes for source in node.inputs}
    ends = [node.name for node in sketch._nodes if node.name not in read] or [INPUT]
    for i, end in enumerate(ends):
        if is_map(sketch.shape(end)):
            sketch.add(f"end{i}_pool", AdaptivePool(), end)
            ends[i] = sketch.add(f"end{i}", Flatten())
    sketch.add("concat", Concat(), *ends)
    sketch.add("classifier", Linear(out_features=3))
    return sketch.finish()


def kinds_of(network: Architecture) -> set[str]:
    """The kinds of layers in a network."""
    assert all(node.op.kind in OPS for node in network.nodes)
    return {node.op.kind for node in network.nodes}


def costs_of(cost: Any) -> list[int]:
    """What a budget bounds, in the order of the columns of batch costs."""
    return list(cost.bounded().values())
