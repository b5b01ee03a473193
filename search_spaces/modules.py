"""Layers that torch.nn lacks. Replicas of an image (after a space-to-batch) stand in the batch, image by image.

N images, R replicas, C channels, H and W sides, B block.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Sum(nn.Module):
    """Sum of two or more tensors of one shape."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        """[N, C, H, W] each."""
        for other in others:
            first = first + other
        return first


class Product(nn.Module):
    """Product of two tensors; the second may hold one factor a channel."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """[N, C, H, W] times [N, C, H, W] or [N, C, 1, 1]."""
        return first * second


class Concat(nn.Module):
    """Channels one after the other."""

    def forward(self, *tensors: Tensor) -> Tensor:
        """[N, C_i, ...] to [N, sum C_i, ...]."""
        return torch.cat(tensors, dim=1)


class Chunk(nn.Module):
    """One of equal parts of the channels."""

    def __init__(self, parts: int, index: int) -> None:
        super().__init__()
        self.parts, self.index = parts, index

    def forward(self, values: Tensor) -> Tensor:
        """[N, C, ...] to [N, C / parts, ...]."""
        return values.chunk(self.parts, dim=1)[self.index]


class Select(nn.Module):
    """The channels at fixed indices; zeros where the index is -1."""

    indices: Tensor
    zeros: Tensor

    def __init__(self, indices: tuple[int, ...]) -> None:
        super().__init__()
        given = torch.tensor(indices)
        self.register_buffer("indices", given.clamp(min=0), persistent=False)
        self.register_buffer("zeros", given < 0, persistent=False)
        self.has_zeros = min(indices) < 0

    def forward(self, values: Tensor) -> Tensor:
        """[N, C, ...] to [N, len(indices), ...]."""
        chosen = values.index_select(1, self.indices)
        if not self.has_zeros:
            return chosen
        return chosen.masked_fill(self.zeros.reshape(-1, *(1,) * (values.dim() - 2)), 0)


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each position."""

    def forward(self, values: Tensor) -> Tensor:
        """[N, C, H, W] or [N, C], same shape."""
        if values.dim() == 2:
            return super().forward(values)
        return super().forward(values.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class LayerScale(nn.Module):
    """A learned factor a channel."""

    def __init__(self, channels: int, initial: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), initial))

    def forward(self, values: Tensor) -> Tensor:
        """[N, C, H, W] or [N, C], same shape."""
        return values * (self.weight if values.dim() == 2 else self.weight[:, None, None])


class Affine(nn.Module):
    """Fixed factors and offsets of the channels."""

    factors: Tensor
    offsets: Tensor

    def __init__(self, factors: tuple[float, ...], offsets: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("factors", torch.tensor(factors), persistent=False)
        self.register_buffer("offsets", torch.tensor(offsets), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """[N, C, H, W] or [N, C], same shape."""
        channels = (-1, 1, 1) if values.dim() == 4 else (-1,)
        return values * self.factors.reshape(channels) + self.offsets.reshape(channels)


class StochasticDepth(nn.Module):
    """Zero for some images (row) or for the whole batch, while training."""

    def __init__(self, share: float, mode: str) -> None:
        super().__init__()
        self.share, self.mode = share, mode

    def forward(self, values: Tensor) -> Tensor:
        """[N, C, H, W], same shape; what stays is divided by 1 - share."""
        if not self.training or self.share == 0:
            return values
        drawn = torch.empty(len(values) if self.mode == "row" else 1, device=values.device, dtype=values.dtype)
        kept = drawn.bernoulli_(1 - self.share) / (1 - self.share)
        return values * kept.reshape(-1, *(1,) * (values.dim() - 1))


class Resample(nn.Module):
    """Bilinear or nearest interpolation by a factor or to a size."""

    def __init__(self, function: str, *, factor: int | None = None, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.function, self.factor, self.size = function, factor, size

    def forward(self, values: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, H', W']."""
        corners = None if self.function == "nearest" else False
        return F.interpolate(values, self.size, self.factor, self.function, align_corners=corners)


class UpsampleZeros(nn.Module):
    """Every pixel becomes the first of a block of zeros."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, factor H, factor W]."""
        count, channels, height, width = values.shape
        spread = values.new_zeros(count, channels, height, self.factor, width, self.factor)
        spread[:, :, :, 0, :, 0] = values
        return spread.flatten(4).flatten(2, 3)


class SpaceToBatch(nn.Module):
    """Pixels at the same place of every block become an image of their own."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, values: Tensor) -> Tensor:
        """[N, C, H, W] to [N B^2, C, H / B, W / B]."""
        channels, height, width = values.shape[1:]
        b = self.block
        blocks = values.reshape(-1, channels, height // b, b, width // b, b)
        return blocks.permute(0, 3, 5, 1, 2, 4).reshape(-1, channels, height // b, width // b)


class BatchToSpace(nn.Module):
    """The inverse of SpaceToBatch."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, values: Tensor) -> Tensor:
        """[N B^2, C, H, W] to [N, C, H B, W B]."""
        channels, height, width = values.shape[1:]
        b = self.block
        blocks = values.reshape(-1, b, b, channels, height, width)
        return blocks.permute(0, 3, 4, 1, 5, 2).reshape(-1, channels, height * b, width * b)


class MeanReplicas(nn.Module):
    """Mean over the replicas of each image."""

    def __init__(self, replicas: int) -> None:
        super().__init__()
        self.replicas = replicas

    def forward(self, values: Tensor) -> Tensor:
        """[N R, ...] to [N, ...]."""
        return values.reshape(-1, self.replicas, *values.shape[1:]).mean(1)
