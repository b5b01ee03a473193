"""MobileNetV3 large and small (Howard et al. 2019, tables 1 and 2), as torchvision has them."""

from dataclasses import dataclass
from typing import TypeAlias

from search_spaces.architecture import Architecture
from search_spaces.ops import Activation, BatchNorm, Linear
from search_spaces.ops.elementwise import Function
from search_spaces.sketch import Sketch
from search_spaces.zoo.blocks import (
    Inverted,
    add_classifier,
    add_conv,
    add_inverted_residual,
    add_pool,
    conv,
    round_width,
)
from search_spaces.zoo.checks import check_factor
from search_spaces.zoo.stems import Stem, add_mobile_stem, stem_sketch, stem_strides

Row: TypeAlias = tuple[
    int, int, int, bool, Function, int
]  # kernel, expanded, width, squeeze-excite, activation, stride
NORM = BatchNorm(epsilon=1e-3, momentum=0.01)
LARGE: tuple[Row, ...] = (
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hardswish", 2),
    (3, 200, 80, False, "hardswish", 1),
    (3, 184, 80, False, "hardswish", 1),
    (3, 184, 80, False, "hardswish", 1),
    (3, 480, 112, True, "hardswish", 1),
    (3, 672, 112, True, "hardswish", 1),
    (5, 672, 160, True, "hardswish", 2),
    (5, 960, 160, True, "hardswish", 1),
    (5, 960, 160, True, "hardswish", 1),
)
SMALL: tuple[Row, ...] = (
    (3, 16, 16, True, "relu", 2),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hardswish", 2),
    (5, 240, 40, True, "hardswish", 1),
    (5, 240, 40, True, "hardswish", 1),
    (5, 120, 48, True, "hardswish", 1),
    (5, 144, 48, True, "hardswish", 1),
    (5, 288, 96, True, "hardswish", 2),
    (5, 576, 96, True, "hardswish", 1),
    (5, 576, 96, True, "hardswish", 1),
)


def mobilenet_v3_large(
    *, alpha: float = 1.0, stem: Stem = 224, resolution: int | None = None, classes: int = 1000, channels: int = 3
) -> Architecture:
    """Fifteen blocks and a hidden layer of 1280; `alpha` multiplies the widths, rounded to multiples of 8.

    The stem is for images of 224 px (first conv of stride 2), 64 px (of stride 1) or 32 px (the next stride of 2 is 1
    as well); the last maps are then of 7, 4 and 4 px.
    """
    check_factor("alpha", alpha)
    plan = _Plan(rows=LARGE, hidden=1280, alpha=alpha, stem=stem)
    return plan.architecture(stem_sketch(stem, resolution, channels), classes)


def mobilenet_v3_small(
    *, alpha: float = 1.0, stem: Stem = 224, resolution: int | None = None, classes: int = 1000, channels: int = 3
) -> Architecture:
    """Eleven blocks and a hidden layer of 1024; `alpha` and stems as `mobilenet_v3_large`."""
    check_factor("alpha", alpha)
    plan = _Plan(rows=SMALL, hidden=1024, alpha=alpha, stem=stem)
    return plan.architecture(stem_sketch(stem, resolution, channels), classes)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    rows: tuple[Row, ...]
    hidden: int
    alpha: float
    stem: Stem

    def architecture(self, sketch: Sketch, classes: int) -> Architecture:
        add_mobile_stem(sketch, self.stem, self.width(16), "hardswish", NORM)
        strides = stem_strides(self.stem, (stride for *_, stride in self.rows))
        for block, (row, stride) in enumerate(zip(self.rows, strides, strict=True)):
            add_inverted_residual(sketch, f"block{block}", self.inverted(row, stride, sketch.channels()))
        add_conv(sketch, "head", conv(6 * sketch.channels(), 1), "hardswish", norm=NORM)
        add_pool(sketch)
        sketch.add("hidden", Linear(out_features=self.width(self.hidden)))
        sketch.add("hidden_hardswish", Activation(function="hardswish"))
        add_classifier(sketch, classes, dropout=0.2)
        return sketch.finish()

    def inverted(self, row: Row, stride: int, channels: int) -> Inverted:
        kernel, expanded, width, squeezes, function, _ = row
        middle = self.width(expanded)
        return Inverted(
            expanded=None if middle == channels else conv(middle, 1),
            width=self.width(width),
            kernel=kernel,
            stride=stride,
            squeezed=round_width(middle // 4) if squeezes else None,
            function=function,
            norm=NORM,
        )

    def width(self, width: int) -> int:
        return round_width(self.alpha * width)
