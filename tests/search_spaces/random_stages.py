"""Random networks of stages for Hypothesis: every map's side divides the image's, and blocks repeat."""

from collections.abc import Sequence

from hypothesis import strategies as st

from search_spaces import Architecture
from search_spaces.ops import Activation, Add, BatchNorm, Conv, Depthwise, Op, Pool, channels_of
from search_spaces.sketch import Sketch
from search_spaces.zoo.blocks import add_classifier, add_pool

BLOCKS = ("residual", "inverted", "chain")


def add_block(sketch: Sketch, kind: str, name: str, kernel: int, expansion: int) -> None:
    """A block that keeps the shape: a residual one with a ReLU behind it, a linear one, or convs without shortcut."""
    source, width = sketch.last, int(channels_of(sketch.shape()))
    _add_conv(sketch, f"{name}_first", Conv(out_channels=expansion * width, kernel=1, bias=False))
    _add_conv(sketch, f"{name}_depthwise", Depthwise(kernel=kernel, padding=kernel // 2, bias=False))
    sketch.add(f"{name}_last", Conv(out_channels=width, kernel=kernel, padding=kernel // 2, bias=False))
    sketch.add(f"{name}_last_norm", BatchNorm())
    if kind != "chain":
        sketch.add(f"{name}_add", Add(), sketch.last, source)
    if kind != "inverted":
        sketch.add(f"{name}_relu", Activation(function="relu"))


def _add_conv(sketch: Sketch, name: str, op: Op) -> None:
    sketch.add(name, op)
    sketch.add(f"{name}_norm", BatchNorm())
    sketch.add(f"{name}_relu", Activation(function="relu"))


def staged(
    stages: Sequence[tuple[str, int, int, int, int]], counts: Sequence[int], *, side: int, pooled: bool = False
) -> Architecture:
    """A stem, then of every stage (kind, width, kernel, expansion, stride) a conv of its stride and so many blocks.

    Only the stages' convs have a bias, so none of them is equal to one inside of a block.
    """
    sketch = Sketch((3, side, side))
    _add_conv(sketch, "stem", Conv(out_channels=stages[0][1], kernel=3, padding=1, bias=False))
    for i, ((kind, width, kernel, expansion, stride), count) in enumerate(zip(stages, counts, strict=True)):
        conv = Conv(out_channels=width, kernel=3, padding=1, stride=1 if pooled else stride)
        _add_conv(sketch, f"stage{i}", conv)
        if pooled and stride > 1:
            sketch.add(f"stage{i}_pool", Pool(function="max", kernel=stride, stride=stride))
        for block in range(count):
            add_block(sketch, kind, f"stage{i}_block{block}", kernel, expansion)
    sketch.add("last_norm", BatchNorm())
    add_pool(sketch)
    add_classifier(sketch, 5)
    return sketch.finish()


STAGES = st.lists(
    st.tuples(
        st.sampled_from(BLOCKS), st.integers(4, 9), st.sampled_from((1, 3, 5)), st.integers(1, 3), st.integers(1, 2)
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda stage: stage[1],  # two equal stages would be a run themselves
)


@st.composite
def staged_networks(draw: st.DrawFn) -> Architecture:
    """A network of one to three stages of two or three blocks, for images of 16 or 24 px."""
    stages = draw(STAGES)
    counts = [draw(st.integers(2, 3)) for _ in stages]
    return staged(stages, counts, side=draw(st.sampled_from((16, 24))), pooled=draw(st.booleans()))
