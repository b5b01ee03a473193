"""How networks made for 224 px begin, and how they begin for smaller images without a change of widths.

Stride of a whole network: 32 with the stem for 224 px, 16 for 64 px, 8 for 32 px, so that the last maps are of 7, 4 and
4 px.
"""

from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

from search_spaces.ops import BatchNorm, Pool
from search_spaces.ops.elementwise import Function
from search_spaces.sketch import Sketch
from search_spaces.zoo.blocks import NORM, add_conv, conv
from search_spaces.zoo.checks import check_choice

Stem: TypeAlias = Literal[224, 64, 32]  # side of the images that it is made for


def stem_sketch(stem: Stem, resolution: int | None, channels: int) -> Sketch:
    """An empty network for images of this side, or of the stem's own; raises NetworkError for an unknown stem."""
    check_choice("stem", stem, get_args(Stem))
    side = stem if resolution is None else resolution
    return Sketch((channels, side, side))


def add_stem(sketch: Sketch, stem: Stem) -> str:
    """Stem of ResNet and DenseNet, 64 channels.

    224 px: 7x7 conv of stride 2, max pool of stride 2. 64 px: 3x3 conv of stride 1, max pool. 32 px: 3x3 conv alone.
    """
    add_conv(sketch, "stem", conv(64, 7, 2) if stem == 224 else conv(64, 3), "relu")
    if stem == 32:
        return sketch.last
    return sketch.add("stem_pool", Pool(function="max", kernel=3, stride=2, padding=1))


def add_mobile_stem(sketch: Sketch, stem: Stem, width: int, function: Function, norm: BatchNorm = NORM) -> str:
    """Stem of a MobileNet: 3x3 conv, of stride 2 for 224 px and of stride 1 for smaller images."""
    return add_conv(sketch, "stem", conv(width, 3, 2 if stem == 224 else 1), function, norm=norm)


def stem_strides(stem: Stem, strides: Iterable[int]) -> list[int]:
    """The strides of a MobileNet's blocks: for 32 px the first that is above 1 becomes 1."""
    kept = list(strides)
    if stem == 32:
        kept[next(i for i, stride in enumerate(kept) if stride > 1)] = 1
    return kept
