"""Ways to feed an image into a network (Sandler et al. 2019, figure 1), and the dilated network of their section 7.2.

They tell the resolution of the image from that of the maps inside: three of the four keep the maps.
"""

from dataclasses import replace
from typing import Literal, TypeAlias, get_args

from search_spaces.architecture import Architecture
from search_spaces.edits import check_divides, dilate, feed_by_space_to_depth, feed_through, rescaled, skip_strides
from search_spaces.errors import NetworkError
from search_spaces.ops import Depthwise, Op, Size, Upsample, pair

Way: TypeAlias = Literal["skip-stride", "upsample", "upsample-zeros", "space-to-depth", "resolution"]
WAYS: tuple[Way, ...] = get_args(Way)
WIDE = 5  # kernel of the layers of stride 2 in the dilated network
RATE = 2  # dilation of the others


def feed(architecture: Architecture, way: Way, factor: int) -> Architecture:
    """The network fed in one of five ways, which all but the last keep its maps behind the early strides.

    - "skip-stride": images `factor` times smaller; early strides become 1 (figure 1a).
    - "upsample", "upsample-zeros": images `factor` times smaller, brought to the network's resolution, bilinear or with
      zeros between the pixels (figure 1b).
    - "space-to-depth": images of its own resolution, folded `factor` times, with early strides skipped (figure 1c). A
      first conv C x C is then one of kernel and stride `factor` times as large.
    - "resolution": images `factor` times smaller, and all maps with them (figure 1d).

    Raises NetworkError for an unknown way, for a factor that does not divide the resolution, and where no early strides
    multiply to the factor; for "resolution" where a resize keeps the maps from following the image.
    """
    if way not in WAYS:
        raise NetworkError(f"the way must be one of {', '.join(WAYS)}, but got {way!r}")
    check_divides(factor, architecture.resolution)
    side = architecture.resolution // factor
    match way:
        case "skip-stride":
            return skip_strides(architecture, factor)
        case "upsample":
            return feed_through(architecture, Upsample(function="bilinear", factor=factor), side)
        case "upsample-zeros":
            return feed_through(architecture, Upsample(function="zeros", factor=factor), side)
        case "space-to-depth":
            return feed_by_space_to_depth(skip_strides(architecture, factor), factor)
        case "resolution":
            return rescaled(architecture, side)


def dilated(architecture: Architecture) -> Architecture:
    """The network whose depthwise convs see as much as at half the resolution; all sides stay.

    Those of stride 1 are dilated by 2, and those of a larger stride become at least 5 x 5 instead (section 7.2). Raises
    NetworkError where there is none, and, naming the node, for an even kernel.
    """
    depthwise = {node.name: node.op for node in architecture.nodes if isinstance(node.op, Depthwise)}
    slow = {name: RATE for name, op in depthwise.items() if pair(op.stride) == (1, 1) and pair(op.kernel) != (1, 1)}
    strided: dict[str, Op] = {name: _widened(name, op) for name, op in depthwise.items() if pair(op.stride) != (1, 1)}
    if not slow and not strided:
        raise NetworkError("a dilated network needs depthwise convs, but this one has none with more than one pixel")
    return dilate(architecture.with_ops(strided), slow)


def _widened(name: str, op: Depthwise) -> Depthwise:
    """The conv with a kernel of at least 5 x 5 and the padding that keeps its side."""
    (kernels, paddings), dilations = (pair(op.kernel), pair(op.padding)), pair(op.dilation)
    if any(kernel < WIDE and kernel % 2 == 0 for kernel in kernels):
        raise NetworkError(f"node {name!r}: a kernel must be odd to become {WIDE} x {WIDE}, but is {op.kernel}")
    added = [max(0, WIDE - kernel) // 2 for kernel in kernels]
    kernel: Size = (kernels[0] + 2 * added[0], kernels[1] + 2 * added[1])
    padding: Size = (paddings[0] + added[0] * dilations[0], paddings[1] + added[1] * dilations[1])
    return replace(op, kernel=kernel, padding=padding)
