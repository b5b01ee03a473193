"""Random layers of every kind with the shapes that they read, for Hypothesis."""

from collections.abc import Callable

from hypothesis import strategies as st

from search_spaces.ops import (
    FUNCTIONS,
    Activation,
    AdaptivePool,
    Add,
    Affine,
    BatchNorm,
    BatchToSpace,
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
    MeanReplicas,
    Multiply,
    Op,
    Pad,
    Pool,
    PReLU,
    Resize,
    Select,
    Shape,
    Shortcut,
    SpaceToBatch,
    SpaceToDepth,
    StochasticDepth,
    Unflatten,
    Upsample,
    channels_of,
    pair,
)

Case = tuple[Op, tuple[Shape, ...]]  # a layer and the shapes of what it reads
Cases = st.SearchStrategy[Case]

NUMBER = st.integers(1, 6)
SIDE = st.integers(1, 11)
FLAG = st.booleans()
SHARE = st.sampled_from((0.0, 0.3))
EPSILON = st.sampled_from((1e-5, 1e-3))
REPLICAS = st.sampled_from(((), (4,)))  # as after a space-to-batch


def maps(*, channels: st.SearchStrategy[int] = NUMBER, side: st.SearchStrategy[int] = SIDE) -> st.SearchStrategy[Shape]:
    """(channels, height, width), some with replicas."""
    return st.builds(lambda lead, *shape: (*lead, *shape), REPLICAS, channels, side, side)


def vectors() -> st.SearchStrategy[Shape]:
    """(features,), some with replicas."""
    return st.builds(lambda lead, features: (*lead, features), REPLICAS, NUMBER)


def sizes(low: int, high: int) -> st.SearchStrategy[int | tuple[int, int]]:
    """One number or two."""
    number = st.integers(low, high)
    return st.one_of(number, st.tuples(number, number))


ANY = st.one_of(maps(), vectors())


def one(op: st.SearchStrategy[Op], shape: st.SearchStrategy[Shape] = ANY) -> Cases:
    """A layer that reads one value."""
    return st.tuples(op, st.tuples(shape))


def given_channels(make: Callable[[int], st.SearchStrategy[Op]]) -> Cases:
    """A layer whose fields depend on the channels that it reads."""
    return ANY.flatmap(lambda shape: one(make(channels_of(shape)), st.just(shape)))


def multiple(make: Callable[[int], st.SearchStrategy[Op]], *, on_vectors: bool = True) -> Cases:
    """A layer made of a number that must divide the channels."""

    def cases(parts: int) -> Cases:
        channels = NUMBER.map(lambda each: each * parts)
        on_maps = maps(channels=channels)
        return one(make(parts), st.one_of(on_maps, st.tuples(channels)) if on_vectors else on_maps)

    return st.integers(1, 3).flatmap(cases)


def blocks(op: type[SpaceToBatch] | type[SpaceToDepth]) -> Cases:
    """A layer that cuts the map into blocks."""
    return st.integers(1, 3).flatmap(
        lambda block: one(st.just(op(block=block)), maps(side=st.integers(1, 4).map(lambda n: n * block)))
    )


@st.composite
def convs(draw: st.DrawFn) -> Case:
    """Kernels that do not fit come too: torch must refuse the same ones."""
    groups = draw(st.integers(1, 3))
    op = Conv(
        out_channels=groups * draw(NUMBER), groups=groups, bias=draw(FLAG), kernel=draw(sizes(1, 5)),
        stride=draw(sizes(1, 3)), padding=draw(sizes(0, 3)), dilation=draw(sizes(1, 3)),
    )  # fmt: skip
    return op, (draw(maps(channels=NUMBER.map(lambda each: each * groups))),)


@st.composite
def pools(draw: st.DrawFn) -> Case:
    """With every padding that torch allows."""
    kernel = draw(sizes(1, 4))
    padding = draw(st.tuples(*(st.integers(0, side // 2) for side in pair(kernel))))
    op = Pool(
        function=draw(st.sampled_from(("max", "average"))), kernel=kernel, stride=draw(sizes(1, 4)), padding=padding,
        ceil=draw(FLAG), count_padding=draw(FLAG),
    )  # fmt: skip
    return op, (draw(maps()),)


@st.composite
def shortcuts(draw: st.DrawFn) -> Case:
    """The identity, a conv for another width, a conv for a stride."""
    stride = draw(st.integers(1, 3))
    *lead, channels, height, width = draw(maps())
    block = (*lead, draw(st.sampled_from((channels, channels + 1))), -(-height // stride), -(-width // stride))
    skip = (*lead, channels, height, width)
    return Shortcut(stride=stride, norm=draw(FLAG)), (skip, skip, block)


def affines(channels: int) -> st.SearchStrategy[Op]:
    """One number for all channels, or one each."""
    numbers = st.sampled_from((1, channels)).flatmap(
        lambda n: st.tuples(*[st.floats(-2, 2, allow_subnormal=False)] * n)
    )
    return st.builds(Affine, factors=numbers, offsets=numbers)


def concats(shape: Shape) -> Cases:
    """Of values that differ in their channels alone."""
    axis = -3 if len(shape) >= 3 else -1
    other = NUMBER.map(lambda n: tuple(n if i - len(shape) == axis else side for i, side in enumerate(shape)))
    return st.tuples(st.just(Concat()), st.lists(other, min_size=1, max_size=3).map(tuple))


CASES: dict[str, Cases] = {
    "activation": one(st.builds(Activation, function=st.sampled_from(FUNCTIONS), slope=st.floats(0, 1))),
    "adaptive_pool": one(
        st.builds(AdaptivePool, function=st.sampled_from(("max", "average")), size=sizes(1, 7)), maps()
    ),
    "add": ANY.flatmap(
        lambda shape: st.tuples(st.just(Add()), st.integers(2, 4).map(lambda n: (shape,) * n))
    ),
    "affine": given_channels(affines),
    "batch_norm": one(st.builds(BatchNorm, affine=FLAG, epsilon=EPSILON, momentum=st.floats(0, 1))),
    "batch_to_space": st.tuples(st.integers(1, 2), st.integers(1, 2), NUMBER, SIDE, SIDE).map(
        lambda n: (BatchToSpace(block=n[0]), ((n[0] ** 2 * n[1], *n[2:]),))
    ),
    "channel_shuffle": multiple(lambda parts: st.just(ChannelShuffle(groups=parts)), on_vectors=False),
    "chunk": multiple(lambda parts: st.builds(Chunk, parts=st.just(parts), index=st.integers(0, parts - 1))),
    "concat": ANY.flatmap(concats),
    "conv": convs(),
    "depthwise": one(
        st.builds(
            Depthwise, kernel=sizes(1, 5), stride=sizes(1, 3), padding=sizes(0, 3), dilation=sizes(1, 3),
            multiplier=st.integers(1, 3), bias=FLAG,
        ),
        maps(),
    ),
    "dropout": one(st.builds(Dropout, share=SHARE, channels=FLAG)),
    "expand": one(st.builds(Expand, factor=NUMBER, bias=FLAG), maps()),
    "flatten": one(st.just(Flatten())),
    "group_norm": multiple(lambda parts: st.builds(GroupNorm, groups=st.just(parts), affine=FLAG, epsilon=EPSILON)),
    "layer_norm": one(st.builds(LayerNorm, affine=FLAG, epsilon=EPSILON)),
    "layer_scale": one(st.builds(LayerScale, initial=SHARE)),
    "linear": one(st.builds(Linear, out_features=NUMBER, bias=FLAG), vectors()),
    "mean_replicas": one(
        st.just(MeanReplicas()), ANY.map(lambda shape: shape if len(shape) in (2, 4) else (2, *shape))
    ),
    "multiply": ANY.flatmap(
        lambda shape: st.tuples(
            st.just(Multiply()), st.sampled_from([(shape, shape), (shape, (*shape[:-2], 1, 1))][: len(shape) // 3 + 1])
        )
    ),
    "pad": one(
        st.builds(Pad, **{side: st.integers(-2, 3) for side in ("left", "right", "top", "bottom")}),
        maps(side=st.integers(5, 9)),
    ),
    "pool": pools(),
    "prelu": one(st.builds(PReLU, per_channel=FLAG)),
    "resize": one(st.builds(Resize, function=st.sampled_from(("bilinear", "nearest")), size=sizes(1, 12)), maps()),
    "select": given_channels(
        lambda channels: st.builds(
            Select, indices=st.lists(st.integers(-1, channels - 1), min_size=1, max_size=8).map(tuple)
        )
    ),
    "shortcut": shortcuts(),
    "space_to_batch": blocks(SpaceToBatch),
    "space_to_depth": blocks(SpaceToDepth),
    "stochastic_depth": one(st.builds(StochasticDepth, share=SHARE, mode=st.sampled_from(("row", "batch")))),
    "unflatten": one(st.just(Unflatten()), vectors()),
    "upsample": one(
        st.builds(Upsample, function=st.sampled_from(("bilinear", "nearest", "zeros")), factor=st.integers(1, 4)),
        maps(),
    ),
}  # fmt: skip
