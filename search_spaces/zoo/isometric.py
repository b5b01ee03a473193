"""Isometric networks (Sandler et al. 2019, "Non-discriminative data or weak model?", table 2)."""

from dataclasses import dataclass

from search_spaces.architecture import Architecture
from search_spaces.formulas import Integers
from search_spaces.ops import Activation, Linear, Resize, SpaceToDepth
from search_spaces.sketch import Sketch
from search_spaces.zoo.blocks import Inverted, add_classifier, add_conv, add_inverted_residual, add_pool, conv
from search_spaces.zoo.checks import check_count, check_factor

HIDDEN = 1280  # features of the hidden linear layer, which the multiplier leaves alone


@dataclass(frozen=True, kw_only=True)
class IsometricWidths:
    """Channels of all convs: blocks in and out, expanded and squeezed inside of them, and the last conv."""

    bottleneck: int
    expanded: int
    squeezed: int
    head: int


def isometric_widths(multiplier: float) -> IsometricWidths:
    """The widths at a multiplier, rounded to integers, the squeezed one down; raises NetworkError for no multiplier."""
    check_factor("multiplier", multiplier)
    bottleneck, expanded, head = (max(1, round(width * multiplier)) for width in (64, 384, 768))
    return IsometricWidths(bottleneck=bottleneck, expanded=expanded, squeezed=max(1, expanded // 4), head=head)


def fold_block(resolution: Integers, internal: Integers) -> Integers:
    """Block of the space-to-depth that brings an image to `internal` px, after a resize if need be. Elementwise."""
    return -(-resolution // internal)


def isometric(
    *,
    depth: int = 16,
    multiplier: float = 1.0,
    internal: int = 14,
    resolution: int = 224,
    classes: int = 1000,
    channels: int = 3,
) -> Architecture:
    """`depth` MobileNetV3 blocks with squeeze-excite, all at `internal` px; `multiplier` scales all convs.

    An image whose side is no multiple of `internal` is first resized up to the next one (bilinear); space-to-depth then
    brings it to `internal` px. So an image smaller than `internal` px is only upsampled. The first conv has batch
    normalisation and hard swish, as MobileNetV3's. Widths are rounded to integers, the squeezed one down.
    """
    check_count("depth", depth, most=1024)
    check_count("internal", internal, most=4096)
    widths = isometric_widths(multiplier)
    sketch = Sketch((channels, resolution, resolution))
    _add_fold(sketch, resolution, internal)
    add_conv(sketch, "stem", conv(widths.bottleneck, 1), "hardswish")
    block = Inverted(
        expanded=conv(widths.expanded, 1), width=widths.bottleneck, squeezed=widths.squeezed, function="hardswish"
    )
    for i in range(depth):
        add_inverted_residual(sketch, f"block{i}", block)
    add_conv(sketch, "head", conv(widths.head, 1), "hardswish")
    add_pool(sketch)
    sketch.add("hidden", Linear(out_features=HIDDEN))
    sketch.add("hidden_hardswish", Activation(function="hardswish"))
    add_classifier(sketch, classes)
    return sketch.finish()


def _add_fold(sketch: Sketch, resolution: int, internal: int) -> None:
    check_count("resolution", resolution, most=2**24)
    block = fold_block(resolution, internal)
    if block * internal != resolution:
        sketch.add("resize", Resize(function="bilinear", size=block * internal))
    if block > 1:
        sketch.add("space_to_depth", SpaceToDepth(block=block))
