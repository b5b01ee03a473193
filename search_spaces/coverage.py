"""How much of an image a network looks at: the share of its columns and rows that reach the output.

A window whose stride exceeds its kernel, or that is dilated, steps over pixels; what no window reads cannot matter.
Reading is followed backwards through the graph, along one axis at a time, as all windows are products of two axes.
"""

from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.ops import (
    AdaptivePool,
    BatchToSpace,
    Conv,
    Depthwise,
    Flatten,
    GroupNorm,
    Pad,
    Pool,
    Resize,
    Shape,
    Shortcut,
    SpaceToBatch,
    SpaceToDepth,
    Upsample,
    is_map,
    pair,
)

Mask: TypeAlias = NDArray[np.bool_]
HEIGHT, WIDTH = 0, 1


def count_coverage(architecture: Architecture) -> float:
    """Share of an image's columns that reach the output, or of its rows where these are fewer."""
    shares = [Fraction(int(mask.sum()), len(mask)) for mask in (_input_mask(architecture, axis) for axis in (0, 1))]
    return float(min(shares))


def _input_mask(architecture: Architecture, axis: int) -> Mask:
    return read_masks(architecture, axis)[INPUT]


def read_masks(architecture: Architecture, axis: int, ignore: Collection[str] = ()) -> Mapping[str, Mask]:
    """For every map its positions along an axis that reach an answer [side], but not through nodes to ignore."""
    masks = {name: np.zeros(side_of(shape, axis), bool) for name, shape in architecture.shapes.items()}
    for answer in architecture.answers:
        masks[answer][:] = True
    for node in reversed(architecture.nodes):
        if node.name not in ignore:
            for name in dict.fromkeys(architecture.reads(node)):
                masks[name] |= read_rows(node, masks[node.name][None], len(masks[name]), axis)[0]
    return masks


def side_of(shape: Shape, axis: int) -> int:
    """Positions of a map along an axis; 1 of a vector."""
    return shape[-2 + axis] if is_map(shape) else 1


def read_rows(node: Node, masks: Mask, side: int, axis: int) -> Mask:
    """Positions [T, side] of an input of this side that a node needs for the masked ones [T, M] of its output."""
    match node.op:
        case Conv() | Depthwise() | Pool() as op:
            dilation = 1 if isinstance(op, Pool) else pair(op.dilation)[axis]
            kernel, stride, padding = (pair(size)[axis] for size in (op.kernel, op.stride, op.padding))
            sizes = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
            rows = {name: np.full(len(masks), n) for name, n in sizes.items()}
            return windows_read(masks, np.full(len(masks), side), **rows)
        case SpaceToDepth(block=block) | SpaceToBatch(block=block):
            return np.repeat(masks, block, axis=1)
        case BatchToSpace(block=block):
            return np.asarray(masks.reshape(len(masks), -1, block).any(axis=2))
        case Pad() as op:
            before = (op.top, op.left)[axis]
            return _at(masks, np.arange(side) + before)
        case Shortcut(stride=stride):
            return _at(masks, np.where(np.arange(side) % stride == 0, np.arange(side) // stride, -1))
        case Flatten() | GroupNorm():  # its mean and variance are those of the whole map
            return np.repeat(masks.any(axis=1, keepdims=True), side, axis=1)
    if side == masks.shape[1]:
        return masks
    return _resampled(node, masks, side)


def _at(masks: Mask, positions: NDArray[np.int64]) -> Mask:
    """The masks at positions; false outside."""
    inside = (positions >= 0) & (positions < masks.shape[1])
    return np.asarray(inside & masks[:, np.clip(positions, 0, masks.shape[1] - 1)])


def _resampled(node: Node, masks: Mask, side: int) -> Mask:
    """Positions that an op of other sides reads."""
    size = masks.shape[1]
    places = np.flatnonzero(masks.any(axis=0))
    read = np.zeros((len(masks), side), bool)
    match node.op:
        case AdaptivePool():
            for place in places:  # torch's windows: floor(i N / M) to ceil((i + 1) N / M)
                read[:, place * side // size : -(-(place + 1) * side // size)] |= masks[:, place, None]
        case Upsample(function="zeros", factor=factor):
            read[:] = masks[:, ::factor]
        case Upsample(function="bilinear") | Resize(function="bilinear"):
            middle = np.clip((places + 0.5) * side / size - 0.5, 0, None)
            for neighbour in (np.floor(middle).astype(int), np.minimum(np.ceil(middle).astype(int), side - 1)):
                np.logical_or.at(read.T, neighbour, masks.T[places])
        case Upsample() | Resize():
            np.logical_or.at(read.T, places * side // size, masks.T[places])
        case _:  # a map that is multiplied by one number a channel, and whatever else
            read[:] = masks.any(axis=1, keepdims=True)
    return read


def windows_read(
    masks: Mask,
    sides: NDArray[np.int64],
    *,
    kernel: NDArray[np.int64],
    stride: NDArray[np.int64],
    padding: NDArray[np.int64],
    dilation: NDArray[np.int64],
) -> Mask:
    """Positions [T, largest side] of T inputs that sliding windows need for the masked [T, M] of their outputs.

    Sides, kernels, strides, paddings and dilations are [T].
    """
    read = np.zeros((len(masks), int(sides.max(initial=0))), bool)
    rows, places = np.nonzero(masks)
    first = places * stride[rows] - padding[rows]
    for step in range(int(kernel.max(initial=0))):
        position = first + step * dilation[rows]
        inside = (step < kernel[rows]) & (position >= 0) & (position < sides[rows])
        read[rows[inside], position[inside]] = True
    return read
