"""Groups of layers that several networks of the zoo share. Each reads the last layer of the sketch."""

from dataclasses import dataclass

from search_spaces.ops import (
    Activation,
    AdaptivePool,
    Add,
    BatchNorm,
    Conv,
    Depthwise,
    Dropout,
    Expand,
    Flatten,
    Linear,
    Multiply,
)
from search_spaces.ops.elementwise import Function
from search_spaces.sketch import Sketch

NORM = BatchNorm()


def round_width(width: float) -> int:
    """The nearest multiple of 8, at least 8 and never more than 10 % below (MobileNetV2's rounding)."""
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * width else nearest + 8


def conv(width: int, kernel: int, stride: int = 1) -> Conv:
    """A conv without bias; at stride 1 it keeps the sides."""
    return Conv(out_channels=width, kernel=kernel, stride=stride, padding=kernel // 2, bias=False)


def depthwise(kernel: int, stride: int = 1) -> Depthwise:
    """A depthwise conv without bias; at stride 1 it keeps the sides."""
    return Depthwise(kernel=kernel, stride=stride, padding=kernel // 2, bias=False)


def add_conv(
    sketch: Sketch,
    name: str,
    op: Conv | Depthwise | Expand,
    function: Function | None,
    *,
    norm: BatchNorm = NORM,
    source: str | None = None,
) -> str:
    """A conv (of the last layer if no source is named), batch normalisation and, if one is named, the activation."""
    sketch.add(name, op, source or sketch.last)
    sketch.add(f"{name}_norm", norm)
    return sketch.add(f"{name}_{function}", Activation(function=function)) if function else sketch.last


def add_norm(sketch: Sketch, name: str) -> str:
    """Batch normalisation and ReLU, where they stand before a conv."""
    sketch.add(name, BatchNorm())
    return sketch.add(f"{name}_relu", Activation(function="relu"))


def add_squeeze_excite(sketch: Sketch, name: str, squeezed: int) -> str:
    """Channels weighted by what all positions see: pool, two 1x1 convs with bias, hard sigmoid, product."""
    source = sketch.last
    sketch.add(f"{name}_pool", AdaptivePool())
    sketch.add(f"{name}_reduce", Conv(out_channels=squeezed, kernel=1))
    sketch.add(f"{name}_relu", Activation(function="relu"))
    sketch.add(f"{name}_restore", Conv(out_channels=sketch.channels(source), kernel=1))
    gate = sketch.add(f"{name}_hardsigmoid", Activation(function="hardsigmoid"))
    return sketch.add(f"{name}_multiply", Multiply(), source, gate)


@dataclass(frozen=True, kw_only=True)
class Inverted:
    """An inverted residual's branch: 1x1 to `expanded` (None: none), depthwise, squeeze-excite, 1x1 to `width`."""

    expanded: Conv | Expand | None
    width: int
    kernel: int = 3
    stride: int = 1
    squeezed: int | None = None
    function: Function = "relu6"
    norm: BatchNorm = NORM


def add_inverted(sketch: Sketch, name: str, block: Inverted) -> str:
    """The branch of an inverted residual (MobileNetV2, MobileNetV3): its last layer is linear."""
    if block.expanded:
        add_conv(sketch, f"{name}_expand", block.expanded, block.function, norm=block.norm)
    add_conv(sketch, f"{name}_depthwise", depthwise(block.kernel, block.stride), block.function, norm=block.norm)
    if block.squeezed:
        add_squeeze_excite(sketch, f"{name}_squeeze", block.squeezed)
    return add_conv(sketch, f"{name}_project", conv(block.width, 1), None, norm=block.norm)


def add_inverted_residual(sketch: Sketch, name: str, block: Inverted) -> str:
    """The branch, and the block's input added where that has the same shape."""
    source = sketch.last
    branch = add_inverted(sketch, name, block)
    if sketch.shape(source) == sketch.shape(branch) and block.stride == 1:
        return sketch.add(f"{name}_add", Add(), branch, source)
    return branch


def add_pool(sketch: Sketch) -> str:
    """The mean over all positions, as a vector."""
    sketch.add("pool", AdaptivePool())
    return sketch.add("flatten", Flatten())


def add_classifier(sketch: Sketch, classes: int, *, dropout: float = 0.0) -> str:
    """Dropout, if any, and the linear layer that gives the scores."""
    if dropout:
        sketch.add("dropout", Dropout(share=dropout))
    return sketch.add("classifier", Linear(out_features=classes))
