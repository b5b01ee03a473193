"""Layers of several networks side by side.

M members, N images (times their replicas), C channels or F features of one member, O channels or features out of it.
Maps are [N, M C, H, W], vectors [N, M F].
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces import ops
from search_spaces.build import MODULES, Place
from search_spaces.errors import NetworkError


def fused_layer(op: ops.Op, place: Place, members: int) -> nn.Module:
    """The module of M layers of this kind; `place` is one member's. One alone is `build`'s, but for noise."""
    if members == 1 and not isinstance(op, ops.Dropout | ops.StochasticDepth):
        return MODULES[type(op)](op, place)
    return FUSED[type(op)](op, place, members)


class Noise(nn.Module):
    """Sets elements, channels, images or the batch to zero while training, with probability `share`."""

    def __init__(self, share: float, unit: Literal["element", "channel", "row", "batch"], *, members: int) -> None:
        super().__init__()
        self.share, self.unit, self.members = share, unit, members

    def forward(self, values: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """[N, M C, ...], same shape; what stays is divided by 1 - share."""
        if not self.training or self.share == 0:
            return values
        if len(generators) != self.members:
            raise NetworkError(
                f"layers that draw noise need a generator for each of {self.members} members, but there are "
                f"{len(generators)}; set `generators` or call eval()"
            )
        kept = torch.cat([self._draw(values, generator) for generator in generators], dim=1)
        return values * kept.to(values.dtype).div_(1 - self.share)

    def _draw(self, values: Tensor, generator: torch.Generator) -> Tensor:
        """What one member keeps, [N or 1, C, ...]: drawn in its own shape, so that neither M nor strides matter."""
        count, channels, *sides = values.shape
        own, ones = channels // self.members, [1] * len(sides)
        shape = {
            "element": (count, own, *sides),
            "channel": (count, own, *ones),
            "row": (count, 1, *ones),
            "batch": (1, 1, *ones),
        }[self.unit]
        drawn = torch.empty(shape, dtype=torch.bool, device=generator.device)
        kept = drawn.bernoulli_(1 - self.share, generator=generator).to(values.device)
        return kept.expand(-1, own, *[-1] * len(sides))


class _Apart(nn.Module):
    """A layer without weights that mixes channels, on each member's channels."""

    def __init__(self, layer: nn.Module, members: int) -> None:
        super().__init__()
        self.layer, self.members = layer, members

    def forward(self, values: Tensor) -> Tensor:
        """[N, M C, ...] to [N, M O, ...]."""
        return torch.cat([self.layer(part) for part in values.chunk(self.members, dim=1)], dim=1)


class _Concats(nn.Module):
    """Each member's channels of several tensors, one after the other."""

    def __init__(self, members: int) -> None:
        super().__init__()
        self.members = members

    def forward(self, *tensors: Tensor) -> Tensor:
        """[N, M C_i, ...] to [N, M sum C_i, ...]."""
        parts = zip(*(values.chunk(self.members, dim=1) for values in tensors), strict=True)
        return torch.cat([part for own in parts for part in own], dim=1)


class _Linears(nn.Linear):
    """Linear layers: weight [M O, F], bias [M O]."""

    def __init__(self, features: int, width: int, *, bias: bool, members: int) -> None:
        super().__init__(features, members * width, bias=bias)
        self.members = members

    def forward(self, values: Tensor) -> Tensor:
        """[N, M F] to [N, M O]."""
        read = values.unflatten(1, (self.members, -1)).transpose(0, 1)
        weight = self.weight.unflatten(0, (self.members, -1)).transpose(1, 2)
        if self.bias is None:
            out = torch.bmm(read, weight)
        else:
            out = torch.baddbmm(self.bias.unflatten(0, (self.members, 1, -1)), read, weight)
        return out.transpose(0, 1).flatten(1)


class _ChannelNorms(nn.LayerNorm):
    """Layer normalisation over each member's channels of each position: weight and bias [M C]."""

    def __init__(self, channels: int, *, epsilon: float, affine: bool, members: int) -> None:
        super().__init__(members * channels, eps=epsilon, elementwise_affine=affine)
        self.members = members

    def forward(self, values: Tensor) -> Tensor:
        """[N, M C, H, W] or [N, M C], same shape."""
        rows = values.movedim(1, -1).unflatten(-1, (self.members, -1))
        normed = F.layer_norm(rows, rows.shape[-1:], eps=self.eps)
        if self.elementwise_affine:
            weight, bias = (tensor.unflatten(0, (self.members, -1)) for tensor in (self.weight, self.bias))
            normed = torch.addcmul(bias, normed, weight)
        return normed.flatten(-2).movedim(-1, 1)


class _SharedPReLUs(nn.PReLU):
    """PReLU with one slope a member: weight [M]."""

    def forward(self, values: Tensor) -> Tensor:
        """[N, M C, ...], same shape."""
        return F.prelu(values, self.weight.repeat_interleave(values.shape[1] // len(self.weight)))


def _beside(op: ops.Op, place: Place, members: int) -> nn.Module:
    """`build`'s module for M times the channels: right for what treats channels alike or each by itself."""
    wide = replace(place, channels=members * place.channels, width=members * place.width)
    return MODULES[type(op)](op, wide)


def _apart(op: ops.Op, place: Place, members: int) -> nn.Module:
    return _Apart(MODULES[type(op)](op, place), members)


def _activation(op: ops.Activation, place: Place, members: int) -> nn.Module:
    return (_apart if op.function in ("softmax", "log_softmax") else _beside)(op, place, members)


def _affine(op: ops.Affine, place: Place, members: int) -> nn.Module:
    factors, offsets = (
        values * members if len(values) == place.channels else values for values in (op.factors, op.offsets)
    )
    return _beside(replace(op, factors=factors, offsets=offsets), place, members)


def _conv(op: ops.Conv, place: Place, members: int) -> nn.Module:
    return _beside(replace(op, out_channels=members * place.width, groups=members * op.groups), place, members)


def _expand(op: ops.Expand, place: Place, members: int) -> nn.Module:
    return _conv(ops.Conv(out_channels=place.width, kernel=1, bias=op.bias), place, members)


def _shortcut(op: ops.Shortcut, place: Place, members: int) -> nn.Module:
    if not place.projects:
        return nn.Identity()
    conv = _conv(ops.Conv(out_channels=place.width, kernel=1, stride=op.stride, bias=False), place, members)
    return nn.Sequential(conv, nn.BatchNorm2d(members * place.width)) if op.norm else conv


def _dropout(op: ops.Dropout, place: Place, members: int) -> nn.Module:
    return Noise(op.share, "channel" if op.channels and place.is_map else "element", members=members)


def _layer_norm(op: ops.LayerNorm, place: Place, members: int) -> nn.Module:
    return _ChannelNorms(place.channels, epsilon=op.epsilon, affine=op.affine, members=members)


def _prelu(op: ops.PReLU, place: Place, members: int) -> nn.Module:
    return _beside(op, place, members) if op.per_channel else _SharedPReLUs(members)


def _select(op: ops.Select, place: Place, members: int) -> nn.Module:
    starts = range(0, members * place.channels, place.channels)
    indices = tuple(i if i < 0 else start + i for start in starts for i in op.indices)
    return _beside(ops.Select(indices=indices), place, members)


FUSED: dict[type[ops.Op], Callable[[Any, Place, int], nn.Module]] = {
    ops.Activation: _activation,
    ops.AdaptivePool: _beside,
    ops.Add: _beside,
    ops.Affine: _affine,
    ops.BatchNorm: _beside,
    ops.BatchToSpace: _beside,
    ops.ChannelShuffle: _apart,
    ops.Chunk: _apart,
    ops.Concat: lambda op, place, members: _Concats(members),
    ops.Conv: _conv,
    ops.Depthwise: _beside,
    ops.Dropout: _dropout,
    ops.Expand: _expand,
    ops.Flatten: _beside,
    ops.GroupNorm: lambda op, place, members: _beside(replace(op, groups=members * op.groups), place, members),
    ops.LayerNorm: _layer_norm,
    ops.LayerScale: _beside,
    ops.Linear: lambda op, place, members: _Linears(place.channels, place.width, bias=op.bias, members=members),
    ops.MeanReplicas: _beside,
    ops.Multiply: _beside,
    ops.PReLU: _prelu,
    ops.Pad: _beside,
    ops.Pool: _beside,
    ops.Resize: _beside,
    ops.Select: _select,
    ops.Shortcut: _shortcut,
    ops.SpaceToBatch: _beside,
    ops.SpaceToDepth: _beside,
    ops.StochasticDepth: lambda op, place, members: Noise(op.share, op.mode, members=members),
    ops.Unflatten: _beside,
    ops.Upsample: _beside,
}
