"""MobileNetV1 (Howard et al. 2017) and MobileNetV2 (Sandler et al. 2018)."""

from search_spaces.architecture import Architecture
from search_spaces.zoo.blocks import (
    Inverted,
    add_classifier,
    add_conv,
    add_inverted_residual,
    add_pool,
    conv,
    depthwise,
    round_width,
)
from search_spaces.zoo.checks import check_factor
from search_spaces.zoo.stems import Stem, add_mobile_stem, stem_sketch, stem_strides

V1 = (  # width, stride
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip
V2 = (  # expansion, width, blocks, stride of the first
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


def mobilenet_v1(
    *, alpha: float = 1.0, stem: Stem = 224, resolution: int | None = None, classes: int = 1000, channels: int = 3
) -> Architecture:
    """Thirteen pairs of depthwise and 1x1 conv; `alpha` multiplies the widths, rounded to multiples of 8.

    The stem is for images of 224 px (first conv of stride 2), 64 px (of stride 1) or 32 px (the next stride of 2 is 1
    as well); the last maps are then of 7, 4 and 4 px.
    """
    check_factor("alpha", alpha)
    sketch = stem_sketch(stem, resolution, channels)
    add_mobile_stem(sketch, stem, round_width(alpha * 32), "relu")
    strides = stem_strides(stem, (stride for _, stride in V1))
    for block, ((width, _), stride) in enumerate(zip(V1, strides, strict=True)):
        add_conv(sketch, f"block{block}_depthwise", depthwise(3, stride), "relu")
        add_conv(sketch, f"block{block}_pointwise", conv(round_width(alpha * width), 1), "relu")
    add_pool(sketch)
    add_classifier(sketch, classes)
    return sketch.finish()


def mobilenet_v2(
    *, alpha: float = 1.0, stem: Stem = 224, resolution: int | None = None, classes: int = 1000, channels: int = 3
) -> Architecture:
    """Seventeen inverted residuals, as torchvision has them; stems as `mobilenet_v1`.

    `alpha` multiplies the widths, rounded to multiples of 8, but the last conv never has fewer than 1280 channels.
    """
    check_factor("alpha", alpha)
    sketch = stem_sketch(stem, resolution, channels)
    add_mobile_stem(sketch, stem, round_width(alpha * 32), "relu6")
    strides = stem_strides(stem, (stride for *_, stride in V2))
    for stage, ((expansion, width, depth, _), stride) in enumerate(zip(V2, strides, strict=True), start=1):
        for block in range(depth):
            inverted = Inverted(
                expanded=conv(expansion * sketch.channels(), 1) if expansion > 1 else None,
                width=round_width(alpha * width),
                stride=stride if block == 0 else 1,
            )
            add_inverted_residual(sketch, f"stage{stage}_block{block}", inverted)
    add_conv(sketch, "head", conv(round_width(1280 * max(1.0, alpha)), 1), "relu6")
    add_pool(sketch)
    add_classifier(sketch, classes, dropout=0.2)
    return sketch.finish()
