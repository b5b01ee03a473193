"""Layers as frozen values: each knows its output shape, parameters, MACs and activation memory.

Counts are exact integers; the formulas themselves stand in `search_spaces.formulas`.
"""

from dataclasses import fields

from search_spaces.errors import NetworkError
from search_spaces.ops.base import LARGEST, Op, Shape, Size, area_of, channels_of, is_map, pair
from search_spaces.ops.channels import ChannelShuffle, Chunk, Concat, Flatten, Select, Unflatten
from search_spaces.ops.convs import Conv, Depthwise, Expand, Linear, Shortcut
from search_spaces.ops.elementwise import (
    FUNCTIONS,
    Activation,
    Add,
    Affine,
    BatchNorm,
    Dropout,
    GroupNorm,
    LayerNorm,
    LayerScale,
    Multiply,
    PReLU,
    StochasticDepth,
)
from search_spaces.ops.spatial import (
    AdaptivePool,
    BatchToSpace,
    MeanReplicas,
    Pad,
    Pool,
    Resize,
    SpaceToBatch,
    SpaceToDepth,
    Upsample,
)

__all__ = [
    "FUNCTIONS",
    "LARGEST",
    "OPS",
    "Activation",
    "AdaptivePool",
    "Add",
    "Affine",
    "BatchNorm",
    "BatchToSpace",
    "ChannelShuffle",
    "Chunk",
    "Concat",
    "Conv",
    "Depthwise",
    "Dropout",
    "Expand",
    "Flatten",
    "GroupNorm",
    "LayerNorm",
    "LayerScale",
    "Linear",
    "MeanReplicas",
    "Multiply",
    "Op",
    "PReLU",
    "Pad",
    "Pool",
    "Resize",
    "Select",
    "Shape",
    "Shortcut",
    "Size",
    "SpaceToBatch",
    "SpaceToDepth",
    "StochasticDepth",
    "Unflatten",
    "Upsample",
    "area_of",
    "channels_of",
    "is_map",
    "op_from_json",
    "op_to_json",
    "pair",
]

OPS: dict[str, type[Op]] = {
    op.kind: op
    for op in (
        Activation, AdaptivePool, Add, Affine, BatchNorm, BatchToSpace, ChannelShuffle, Chunk, Concat, Conv, Depthwise,
        Dropout, Expand, Flatten, GroupNorm, LayerNorm, LayerScale, Linear, MeanReplicas, Multiply, PReLU, Pad, Pool,
        Resize, Select, Shortcut, SpaceToBatch, SpaceToDepth, StochasticDepth, Unflatten, Upsample,
    )
}  # fmt: skip


def op_to_json(op: Op) -> dict[str, object]:
    """The op as plain data: its kind and its fields, without optional ones at their default."""
    values: dict[str, object] = {"op": op.kind}
    for field in fields(op):
        value = getattr(op, field.name)
        if not field.metadata.get("optional") or value != field.default:
            values[field.name] = list(value) if isinstance(value, tuple) else value
    return values


def op_from_json(data: dict[str, object]) -> Op:
    """The op that `op_to_json` wrote; raises NetworkError for an unknown kind or field."""
    values = dict(data)
    kind = values.pop("op", None)
    if not isinstance(kind, str) or kind not in OPS:
        raise NetworkError(f"op must be one of {', '.join(sorted(OPS))}, but got {kind!r}")
    known = [field.name for field in fields(OPS[kind])]
    try:
        return OPS[kind](**values)
    except TypeError as error:
        raise NetworkError(
            f"{kind}: fields must be {', '.join(known) or 'none'}, but got {', '.join(values)}"
        ) from error
