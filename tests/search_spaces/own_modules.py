"""Modules as users write them."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth as TheirDepth

from search_spaces.modules import StochasticDepth


class Written(nn.Module):
    """Layers and tensors by name, and the forward pass as a function of the module and the images."""

    def __init__(self, function: Callable[..., Any], **parts: nn.Module | Tensor) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, images: Tensor) -> Any:
        """What the function gives."""
        return self.function(self, images)


def training_settings(module: nn.Module) -> Counter[tuple[Any, ...]]:
    """What evaluation does not show: momentum of norms, shares of what is dropped."""
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    drops = [layer for layer in module.modules() if isinstance(layer, nn.Dropout | nn.Dropout2d)]
    found: Counter[tuple[Any, ...]] = Counter((type(norm), norm.eps, norm.momentum) for norm in norms)
    found.update((type(drop), drop.p) for drop in drops)
    found.update(("depth", layer.p, layer.mode) for layer in module.modules() if isinstance(layer, TheirDepth))
    found.update(("depth", layer.share, layer.mode) for layer in module.modules() if isinstance(layer, StochasticDepth))
    return found


def conv(inputs: int = 3, outputs: int = 8, kernel: int = 3, **settings: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, **{"padding": kernel // 2} | settings)


def pytorch_example(m: Any, x: Tensor) -> Any:
    x = F.max_pool2d(F.relu(m.conv1(x)), 2)
    x = F.relu(F.max_pool2d(m.drop(m.conv2(x)), 2))
    x = x.view(-1, x.size(1) * 16)
    x = F.dropout(F.relu(m.fc1(x)), training=m.training)
    return F.log_softmax(m.fc2(x), dim=1)


def view_to_batch_size(m: Any, x: Tensor) -> Any:
    x = F.relu(m.conv1(x), inplace=True)
    return m.fc(x.view(x.size(0), -1))


def squeeze_excite(m: Any, x: Tensor) -> Any:
    x = m.conv(x)
    b, c, _, _ = x.size()
    y = m.pool(x).view(b, c)
    y = torch.sigmoid(m.fc2(F.relu(m.fc1(y)))).view(b, c, 1, 1)
    return (x * y.expand_as(x)).mean([2, 3])


def squeeze_excite_first(m: Any, x: Tensor) -> Any:
    """The gate stands before the map."""
    x = m.conv(x)
    return torch.mul(torch.sigmoid(m.gate(x.mean((-2, -1), keepdim=True))), x).mean(dim=(2, 3))


def normalised_input(m: Any, x: Tensor) -> Any:
    return m.conv((x - m.mean) / m.std).mean([2, 3])


def normalised_channels(m: Any, x: Tensor) -> Any:
    """As torchvision's Inception does it."""
    channels = [torch.unsqueeze(x[:, i], 1) * (0.2 + i) + (i - 0.5) / 0.5 for i in range(3)]
    return m.conv(torch.cat(channels, 1)).mean([2, 3])


def hard_swish(m: Any, x: Tensor) -> Any:
    x = m.conv(x)
    x = x * F.relu6(x + 3) / 6
    return (2 * x - 0.5).mean([2, 3])


def cross_stage(m: Any, x: Tensor) -> Any:
    first, second = m.conv(x).chunk(2, dim=1)
    return torch.cat([first, m.inner(second)], 1).mean([2, 3])


def shuffled(m: Any, x: Tensor) -> Any:
    """A channel shuffle by hand behind a grouped conv."""
    x = m.conv(x)
    b, c, h, w = x.shape
    x = x.view(b, 4, c // 4, h, w).transpose(1, 2).contiguous().view(b, -1, h, w)
    return m.grouped(x).mean([2, 3])


def shuffled_back(m: Any, x: Tensor) -> Any:
    x = m.conv(x)
    grouped = torch.reshape(x, (x.shape[0], 2, 4, x.shape[2], x.shape[3]))
    return m.grouped(grouped.permute(0, 2, 1, 3, 4).reshape(x.shape)).mean([2, 3])


def regrouped(m: Any, x: Tensor) -> Any:
    """Groups of channels that nobody exchanges, or exchanges twice."""
    x = m.conv(x)
    b, c, h, w = x.size()
    x = x.view(b, 2, 4, h, w).view(b, c, h, w)
    x = x.view(b, 2, 4, h, w).transpose(2, 1).transpose(1, 2).reshape(b, 8, h, w)
    return m.grouped(x).mean([2, 3])


def gated(m: Any, x: Tensor) -> Any:
    a, b = torch.chunk(m.conv(x), 2, 1)
    return (a * b.sigmoid()).mean([2, 3])


def split_by_size(m: Any, x: Tensor) -> Any:
    x = m.conv(x)
    a, b = torch.split(x, 4, dim=1)
    c, d = x[:, :4], x[:, 4:, :, :]
    return (a * d + b * c).mean([2, 3])


def whole_map_pools(m: Any, x: Tensor) -> Any:
    x = m.conv(x)
    a, b = F.avg_pool2d(x, x.size()[2:]), F.max_pool2d(x, kernel_size=x.shape[-1])
    c = F.adaptive_avg_pool2d(x, (1, 1)) + F.adaptive_max_pool2d(x, 1)
    return torch.cat((a, b, c), dim=1).flatten(1)


def learned_factors(m: Any, x: Tensor) -> Any:
    x = m.conv(x)
    x = x + m.gamma * x
    return m.shift + x.mean([2, 3])


def channels_last(m: Any, x: Tensor) -> Any:
    """A ConvNeXt block."""
    x = m.conv(x)
    y = m.depthwise(x).permute(0, 2, 3, 1)
    y = m.second(F.gelu(m.first(m.norm(y)))) * m.gamma
    return (x + y.permute(0, 3, 1, 2)).mean([-2, -1])


def channels_last_gate(m: Any, x: Tensor) -> Any:
    y = m.conv(x).permute(0, 2, 3, 1)
    y = y * torch.sigmoid(m.gate(y.mean((1, 2), keepdim=True)))
    return torch.permute(y, (0, 3, 1, 2)).mean([2, 3])


def gated_vector(m: Any, x: Tensor) -> Any:
    """With a constant made in forward."""
    x = m.conv(x - torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1))
    a, b = m.gate(x.mean([2, 3])).chunk(2, dim=-1)
    return (a * torch.softmax(b, 1)).log_softmax(-1)


def functional_weights(m: Any, x: Tensor) -> Any:
    x = F.conv2d(x, m.kernel, m.bias, stride=2, padding=1)
    return F.linear(F.adaptive_avg_pool2d(x, 1).flatten(1), m.matrix)


def residual(m: Any, x: Tensor) -> Any:
    x = m.stem(x)
    y = m.norm(m.conv(m.relu(x)))
    y += x
    y = m.relu(torch.add(y, m.relu(x)))
    return y.mean(dim=[2, 3], keepdim=True).squeeze(-1).squeeze(-1)


def functions(m: Any, x: Tensor) -> Any:
    """Every activation that is a function or a method."""
    x = F.leaky_relu(F.silu(F.mish(m.conv(x))), 0.2)
    x = F.hardswish(F.hardsigmoid(x)) + F.tanh(x) + torch.tanh(x) * x.tanh() + torch.relu(x).relu()
    x = x + F.sigmoid(x) + F.gelu(x, approximate="tanh") + F.relu6(x)
    return F.softmax(x.mean([2, 3]), dim=-1)


def resampled(m: Any, x: Tensor) -> Any:
    x = F.pad(m.conv(x), (1, 0, 2, -1))
    x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    x = F.interpolate(x, size=(9, 7)) + m.pool(F.interpolate(x, scale_factor=3.0))
    return F.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False).mean([2, 3])


def in_loop(m: Any, x: Tensor) -> Any:
    """One activation between all convs, and values that nobody reads."""
    for layer in m.layers:
        x = m.relu(layer(x))
        x.mean()
    return F.layer_norm(x.mean([2, 3]), (8,), m.scale, m.offset)


# --- changes in place


def changed_by_layer(m: Any, x: Tensor) -> Any:
    """The skip connection carries what the activation left."""
    x = m.conv(x)
    return (m.inner(m.relu(x)) + x).mean([2, 3])


def changed_without_result(m: Any, x: Tensor) -> Any:
    x = m.conv(x)
    F.relu(x, inplace=True)
    x.add_(1)
    return m.inner(x).mean([2, 3])


def changed_image(m: Any, x: Tensor) -> Any:
    y = x
    y -= 0.5
    y /= 0.25
    y *= m.factor
    return m.conv(x).mean([2, 3])


def changed_alias(m: Any, x: Tensor) -> Any:
    x = m.conv(x)
    y = x
    y += m.inner(x)
    return (x * y).mean([2, 3])


def changed_before_parting(m: Any, x: Tensor) -> Any:
    x = m.conv(x)
    parts = x.chunk(2, 1)
    m.relu(x)
    return (parts[0] * parts[1]).mean([2, 3])


def changed_but_never_read(m: Any, x: Tensor) -> Any:
    x = m.conv(x)
    m.relu(x + 1)
    return x.mean([2, 3])


def changed_under_a_view(m: Any, x: Tensor) -> Any:
    x = m.conv(x)
    flat = x.flatten(1)
    m.relu(x)
    return flat


def changed_through_a_view(m: Any, x: Tensor) -> Any:
    x = m.conv(x)
    m.relu(x.chunk(2, 1)[0])
    return x.mean([2, 3])


def changing(function: Callable[..., Any]) -> Written:
    """Its module."""
    layers = {"conv": conv(), "inner": conv(8, 8), "relu": nn.ReLU(inplace=True)}
    return Written(function, **layers, factor=torch.rand(3, 1, 1))


ANY_SIDE: dict[str, Callable[[], nn.Module]] = {  # at every resolution
    "squeeze_excite": lambda: Written(
        squeeze_excite, conv=conv(), pool=nn.AdaptiveAvgPool2d(1), fc1=nn.Linear(8, 2), fc2=nn.Linear(2, 8)
    ),
    "squeeze_excite_first": lambda: Written(squeeze_excite_first, conv=conv(), gate=conv(8, 8, 1)),
    "normalised_input": lambda: Written(
        normalised_input, conv=conv(), mean=torch.rand(1, 3, 1, 1), std=torch.rand(3, 1, 1) + 0.5
    ),
    "normalised_channels": lambda: Written(normalised_channels, conv=conv()),
    "hard_swish": lambda: Written(hard_swish, conv=conv()),
    "cross_stage": lambda: Written(cross_stage, conv=conv(), inner=conv(4, 6)),
    "shuffled": lambda: Written(shuffled, conv=conv(), grouped=conv(8, 8, groups=2)),
    "shuffled_back": lambda: Written(shuffled_back, conv=conv(), grouped=conv(8, 8, groups=2)),
    "regrouped": lambda: Written(regrouped, conv=conv(), grouped=conv(8, 8, groups=2)),
    "gated": lambda: Written(gated, conv=conv()),
    "split_by_size": lambda: Written(split_by_size, conv=conv()),
    "whole_map_pools": lambda: Written(whole_map_pools, conv=conv()),
    "learned_factors": lambda: Written(
        learned_factors, conv=conv(), gamma=nn.Parameter(torch.rand(8, 1, 1)), shift=torch.rand(8)
    ),
    "channels_last": lambda: Written(
        channels_last, conv=conv(), depthwise=conv(8, 8, 7, groups=8), norm=nn.LayerNorm(8), first=nn.Linear(8, 32),
        second=nn.Linear(32, 8), gamma=nn.Parameter(torch.rand(8)),
    ),
    "channels_last_gate": lambda: Written(channels_last_gate, conv=conv(), gate=nn.Linear(8, 8)),
    "gated_vector": lambda: Written(gated_vector, conv=conv(), gate=nn.Linear(8, 6)),
    "functional_weights": lambda: Written(
        functional_weights, kernel=nn.Parameter(torch.rand(5, 3, 3, 2)), bias=nn.Parameter(torch.rand(5)),
        matrix=nn.Parameter(torch.rand(4, 5)),
    ),
    "residual": lambda: Written(
        residual, stem=conv(), norm=nn.BatchNorm2d(8), conv=conv(8, bias=False), relu=nn.ReLU(inplace=True)
    ),
    "functions": lambda: Written(functions, conv=conv()),
    "resampled": lambda: Written(resampled, conv=conv(), pool=nn.AdaptiveMaxPool2d((9, 7))),
    "in_loop": lambda: Written(
        in_loop, conv=conv(), layers=nn.ModuleList([conv(), conv(8)]), relu=nn.ReLU(),
        scale=nn.Parameter(torch.rand(8)), offset=nn.Parameter(torch.rand(8)),
    ),
    **{
        function.__name__: partial(changing, function)
        for function in (
            changed_by_layer, changed_without_result, changed_image, changed_alias, changed_before_parting,
            changed_but_never_read,
        )
    },
    "sequential": lambda: nn.Sequential(
        conv(padding="same"), nn.Sequential(nn.BatchNorm2d(8), nn.ReLU6()), nn.Identity(), nn.AdaptiveAvgPool2d((2, 3)),
        nn.Flatten(), nn.Linear(48, 4, bias=False), nn.BatchNorm1d(4), nn.Dropout(),
    ),
}  # fmt: skip
ONE_SIDE: dict[str, Callable[[], nn.Module]] = {  # at 16 px
    "pytorch_example": lambda: Written(
        pytorch_example, conv1=conv(3, 4), drop=nn.Dropout2d(), conv2=conv(4, 6), fc1=nn.Linear(96, 9),
        fc2=nn.Linear(9, 5),
    ),
    "view_to_batch_size": lambda: Written(view_to_batch_size, conv1=conv(), fc=nn.Linear(8 * 256, 3)),
    "flattened": lambda: nn.Sequential(conv(), nn.MaxPool2d(3, 2), nn.Flatten(start_dim=1), nn.Linear(392, 3)),
}  # fmt: skip
