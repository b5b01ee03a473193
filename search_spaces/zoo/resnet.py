"""ResNet18, ResNet34 and ResNet50 (He et al. 2016, "Deep residual learning"), as torchvision has them."""

from collections.abc import Callable
from typing import TypeAlias

from search_spaces.architecture import Architecture
from search_spaces.ops import Activation, Add
from search_spaces.sketch import Sketch
from search_spaces.zoo.blocks import add_classifier, add_conv, add_pool, conv
from search_spaces.zoo.stems import Stem, add_stem, stem_sketch

Branch: TypeAlias = Callable[[Sketch, str, int, int], str]  # of a block: sketch, name, width, stride
WIDTHS = (64, 128, 256, 512)


def resnet18(
    *, stem: Stem = 224, resolution: int | None = None, classes: int = 1000, channels: int = 3
) -> Architecture:
    """Eight basic blocks.

    The stem is for images of 224 px (7x7 conv of stride 2, max pool), 64 px (3x3 conv, max pool) or 32 px (3x3 conv);
    the last maps are then of 7, 4 and 4 px.
    """
    return _resnet(stem_sketch(stem, resolution, channels), stem, (2, 2, 2, 2), _basic, classes)


def resnet34(
    *, stem: Stem = 224, resolution: int | None = None, classes: int = 1000, channels: int = 3
) -> Architecture:
    """Sixteen basic blocks; stems as `resnet18`."""
    return _resnet(stem_sketch(stem, resolution, channels), stem, (3, 4, 6, 3), _basic, classes)


def resnet50(
    *, stem: Stem = 224, resolution: int | None = None, classes: int = 1000, channels: int = 3
) -> Architecture:
    """Sixteen bottleneck blocks with the stride in the 3x3 conv; stems as `resnet18`."""
    return _resnet(stem_sketch(stem, resolution, channels), stem, (3, 4, 6, 3), _bottleneck, classes)


def _resnet(sketch: Sketch, stem: Stem, depths: tuple[int, ...], branch: Branch, classes: int) -> Architecture:
    add_stem(sketch, stem)
    for stage, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True), start=1):
        for block in range(depth):
            stride = 2 if stage > 1 and block == 0 else 1
            _add_block(sketch, f"stage{stage}_block{block}", branch, width, stride)
    add_pool(sketch)
    add_classifier(sketch, classes)
    return sketch.finish()


def _add_block(sketch: Sketch, name: str, branch: Branch, width: int, stride: int) -> None:
    source = sketch.last
    end = branch(sketch, name, width, stride)
    skip = source
    if sketch.shape(source) != sketch.shape(end) or stride > 1:
        skip = add_conv(sketch, f"{name}_shortcut", conv(sketch.channels(end), 1, stride), None, source=source)
    sketch.add(f"{name}_add", Add(), end, skip)
    sketch.add(f"{name}_relu", Activation(function="relu"))


def _basic(sketch: Sketch, name: str, width: int, stride: int) -> str:
    add_conv(sketch, f"{name}_conv1", conv(width, 3, stride), "relu")
    return add_conv(sketch, f"{name}_conv2", conv(width, 3), None)


def _bottleneck(sketch: Sketch, name: str, width: int, stride: int) -> str:
    add_conv(sketch, f"{name}_conv1", conv(width, 1), "relu")
    add_conv(sketch, f"{name}_conv2", conv(width, 3, stride), "relu")
    return add_conv(sketch, f"{name}_conv3", conv(4 * width, 1), None)
