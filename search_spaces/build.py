"""From a network as data to a torch module. Its parameters are named after the nodes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from torch import Tensor, nn

from search_spaces import modules, ops
from search_spaces.architecture import INPUT, Architecture
from search_spaces.cost import count_cost
from search_spaces.errors import NetworkError
from search_spaces.exits import in_segments, segments

Step: TypeAlias = tuple[str, tuple[str, ...], tuple[str, ...]]  # as in `Architecture.steps`
Layer: TypeAlias = Callable[[str, list[Tensor]], Tensor]  # a node's value by its name and the values that it reads


class Network(nn.Module):
    """A built architecture: images [N, C, H, W] of its resolution to class scores [N, classes]."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        add_layers(self, architecture, lambda op, place: MODULES[type(op)](op, place))

    def forward(self, images: Tensor) -> Tensor:
        """Class scores [N, classes] of images [N, C, H, W]: the last exit's."""
        return run_nodes(self.architecture, images, self._run_layer)

    def exits(self, images: Tensor) -> list[Tensor]:
        """Class scores [N, classes] of every exit, the last node's last, of images [N, C, H, W]."""
        return run_exits(self.architecture, images, self._run_layer)

    def run_segment(self, number: int, values: dict[str, Tensor]) -> Tensor:
        """Class scores [N, classes] of one exit, by what it needs and earlier ones have not computed.

        `values` are what later segments read, by name: the images [N, C, H, W] as `input` before segment 0. They are
        changed to what the segments after this one read, so that they must run in order: after the last none is left.
        """
        (scores,) = run_steps(self.architecture, self._segments[number], values, self._run_layer)
        return scores

    def left_by(self, number: int) -> tuple[str, ...]:
        """Names of the values that segments after this one read, as `run_segment` leaves them."""
        needed = {name for steps in self._segments[number + 1 :] for _, reads, _ in steps for name in reads}
        made = [INPUT, *(name for steps in self._segments[: number + 1] for name, _, _ in steps)]
        return tuple(name for name in made if name in needed)

    @cached_property
    def _segments(self) -> list[tuple[Step, ...]]:
        """The steps of every segment; a value is freed after the last segment that reads it."""
        left = iter(in_segments(self.architecture).steps)
        return [tuple(next(left) for _ in segment) for segment in segments(self.architecture)]

    def _run_layer(self, name: str, read: list[Tensor]) -> Tensor:
        values: Tensor = self.get_submodule(name)(*read)
        return values


def build(architecture: Architecture) -> Network:
    """A freshly initialised module; its parameter count equals the cost model's."""
    network = Network(architecture)
    built = sum(parameter.numel() for parameter in network.parameters())
    counted = count_cost(architecture).params
    assert built == counted, f"built {built} parameters, counted {counted}"
    return network


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a module must know of where it stands: channels in and out, replicas, whether it sees maps."""

    channels: int
    width: int
    replicas: int
    is_map: bool
    projects: bool

    @staticmethod
    def of(op: ops.Op, sources: tuple[ops.Shape, ...], out: ops.Shape) -> "Place":
        """Of a layer that reads these shapes and gives `out`."""
        lead = sources[0][:-3] if ops.is_map(sources[0]) else sources[0][:-1]
        return Place(
            channels=ops.channels_of(sources[0]),
            width=ops.channels_of(out),
            replicas=lead[0] if lead else 1,
            is_map=ops.is_map(out),
            projects=isinstance(op, ops.Shortcut) and bool(op.projects(sources)),
        )


def add_layers(network: nn.Module, architecture: Architecture, make: Callable[[ops.Op, Place], nn.Module]) -> None:
    """Give a network a layer for each node, named after it; raises NetworkError for a name that torch uses itself."""
    for node in architecture.nodes:
        if hasattr(network, node.name):
            raise NetworkError(f"node {node.name!r}: torch modules use this name themselves; choose another")
        place = Place.of(node.op, architecture.source_shapes(node), architecture.shapes[node.name])
        network.add_module(node.name, make(node.op, place))


def run_nodes(architecture: Architecture, images: Tensor, layer: Layer) -> Tensor:
    """The last node's value, where `layer` gives that of a node by its name and the values that it reads."""
    return run_exits(architecture, images, layer)[-1]


def run_exits(architecture: Architecture, images: Tensor, layer: Layer) -> list[Tensor]:
    """The values of all nodes that answer: the exits and the last node."""
    return run_steps(architecture, architecture.steps, {INPUT: images}, layer)


def run_steps(
    architecture: Architecture, steps: Iterable[Step], values: dict[str, Tensor], layer: Layer
) -> list[Tensor]:
    """The values of those nodes among the steps that answer. `values` become those that later steps read."""
    answers, scores = architecture.answers, []
    for name, reads, unread in steps:
        read = [values[source] for source in reads]
        for source in unread:  # free what nobody reads again: memory is the cost model's peak
            del values[source]
        value = layer(name, read)
        if name in answers:
            scores.append(value)
        if name not in architecture.unread:
            values[name] = value
    return scores


def _conv(op: ops.Conv | ops.Depthwise, place: Place) -> nn.Module:
    groups = op.groups if isinstance(op, ops.Conv) else place.channels
    return nn.Conv2d(
        place.channels,
        place.width,
        op.kernel,
        stride=op.stride,
        padding=op.padding,
        dilation=op.dilation,
        groups=groups,
        bias=op.bias,
    )


def _batch_norm(op: ops.BatchNorm, place: Place) -> nn.Module:
    kind = nn.BatchNorm2d if place.is_map else nn.BatchNorm1d
    return kind(place.channels, eps=op.epsilon, momentum=op.momentum, affine=op.affine)


def _shortcut(op: ops.Shortcut, place: Place) -> nn.Module:
    if not place.projects:
        return nn.Identity()
    conv = nn.Conv2d(place.channels, place.width, 1, stride=op.stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(place.width)) if op.norm else conv


def _pool(op: ops.Pool, _: Place) -> nn.Module:
    if op.function == "max":
        return nn.MaxPool2d(op.kernel, op.stride, op.padding, ceil_mode=op.ceil)
    return nn.AvgPool2d(op.kernel, op.stride, op.padding, op.ceil, op.count_padding)


def _adaptive_pool(op: ops.AdaptivePool, _: Place) -> nn.Module:
    return nn.AdaptiveMaxPool2d(op.size) if op.function == "max" else nn.AdaptiveAvgPool2d(op.size)


def _upsample(op: ops.Upsample, _: Place) -> nn.Module:
    if op.function == "zeros":
        return modules.UpsampleZeros(op.factor)
    return modules.Resample(op.function, factor=op.factor)


FUNCTIONS: dict[str, Callable[[ops.Activation], nn.Module]] = {
    "relu": lambda op: nn.ReLU(),
    "relu6": lambda op: nn.ReLU6(),
    "leaky_relu": lambda op: nn.LeakyReLU(op.slope),
    "elu": lambda op: nn.ELU(),
    "silu": lambda op: nn.SiLU(),
    "mish": lambda op: nn.Mish(),
    "gelu": lambda op: nn.GELU(),
    "gelu_tanh": lambda op: nn.GELU(approximate="tanh"),
    "hardswish": lambda op: nn.Hardswish(),
    "hardsigmoid": lambda op: nn.Hardsigmoid(),
    "hardtanh": lambda op: nn.Hardtanh(),
    "sigmoid": lambda op: nn.Sigmoid(),
    "tanh": lambda op: nn.Tanh(),
    "softplus": lambda op: nn.Softplus(),
    "softmax": lambda op: nn.Softmax(dim=1),
    "log_softmax": lambda op: nn.LogSoftmax(dim=1),
}

MODULES: dict[type[ops.Op], Callable[[Any, Place], nn.Module]] = {
    ops.Activation: lambda op, place: FUNCTIONS[op.function](op),
    ops.AdaptivePool: _adaptive_pool,
    ops.Add: lambda op, place: modules.Sum(),
    ops.Affine: lambda op, place: modules.Affine(op.factors, op.offsets),
    ops.BatchNorm: _batch_norm,
    ops.BatchToSpace: lambda op, place: modules.BatchToSpace(op.block),
    ops.ChannelShuffle: lambda op, place: nn.ChannelShuffle(op.groups),
    ops.Chunk: lambda op, place: modules.Chunk(op.parts, op.index),
    ops.Concat: lambda op, place: modules.Concat(),
    ops.Conv: _conv,
    ops.Depthwise: _conv,
    ops.Dropout: lambda op, place: (nn.Dropout2d if op.channels and place.is_map else nn.Dropout)(op.share),
    ops.Expand: lambda op, place: nn.Conv2d(place.channels, place.width, 1, bias=op.bias),
    ops.Flatten: lambda op, place: nn.Flatten(),
    ops.GroupNorm: lambda op, place: nn.GroupNorm(op.groups, place.channels, eps=op.epsilon, affine=op.affine),
    ops.LayerNorm: lambda op, place: modules.ChannelNorm(place.channels, eps=op.epsilon, elementwise_affine=op.affine),
    ops.LayerScale: lambda op, place: modules.LayerScale(place.channels, op.initial),
    ops.Linear: lambda op, place: nn.Linear(place.channels, place.width, bias=op.bias),
    ops.MeanReplicas: lambda op, place: modules.MeanReplicas(place.replicas),
    ops.Multiply: lambda op, place: modules.Product(),
    ops.PReLU: lambda op, place: nn.PReLU(place.channels if op.per_channel else 1),
    ops.Pad: lambda op, place: nn.ZeroPad2d((op.left, op.right, op.top, op.bottom)),
    ops.Pool: _pool,
    ops.Resize: lambda op, place: modules.Resample(op.function, size=ops.pair(op.size)),
    ops.Select: lambda op, place: modules.Select(op.indices),
    ops.Shortcut: _shortcut,
    ops.SpaceToBatch: lambda op, place: modules.SpaceToBatch(op.block),
    ops.SpaceToDepth: lambda op, place: nn.PixelUnshuffle(op.block),
    ops.StochasticDepth: lambda op, place: modules.StochasticDepth(op.share, op.mode),
    ops.Unflatten: lambda op, place: nn.Unflatten(1, (place.channels, 1, 1)),
    ops.Upsample: _upsample,
}
