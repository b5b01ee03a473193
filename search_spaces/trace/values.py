"""What stands for tensors, sizes and weights while a module's forward pass is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import nn

from search_spaces.architecture import INPUT
from search_spaces.errors import NetworkError
from search_spaces.ops import Chunk, Flatten, LayerScale, Op, Shape, Unflatten, channels_of, is_map
from search_spaces.sketch import Sketch

RESERVED = {*dir(nn.Module()), INPUT, "architecture"}
LONGEST_NAME = 64


class _Batch:
    """The number of images, which stays unknown."""

    def __repr__(self) -> str:
        return "the batch size"


BATCH = _Batch()


class Side(int):
    """A side of a map, or a number computed from one: it changes with the resolution."""


@dataclass(frozen=True, kw_only=True)
class Grouped:
    """Channels seen as [groups, n]; transposed, as [n, groups]."""

    groups: int
    transposed: bool = False


@dataclass(frozen=True, kw_only=True)
class OneChannel:
    """One channel, times a factor, plus an offset; `kept` where the channel axis is still there."""

    index: int
    factor: float = 1.0
    offset: float = 0.0
    kept: bool = False


Layout: TypeAlias = str | Grouped | OneChannel
PLAIN, CHANNELS_LAST, SQUEEZED, EXPANDED = "plain", "channels last", "squeezed", "expanded"


@dataclass(frozen=True, kw_only=True)
class Value:
    """The output of a layer, as the module sees it: in torch's own layout, or permuted or parted on the way."""

    name: str
    layout: Layout = PLAIN

    @property
    def is_plain(self) -> bool:
        """Whether it stands in torch's own layout."""
        return self.layout == PLAIN


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A tensor of the module itself: a parameter (learned) or a buffer."""

    path: str
    tensor: torch.Tensor
    learned: bool

    @staticmethod
    def of(module: nn.Module, path: str) -> "Weight":
        """The parameter or buffer at a path."""
        found: Any = module
        for part in path.split("."):
            found = getattr(found, part)
        if not isinstance(found, torch.Tensor):
            raise NetworkError(f"{path} must be a tensor, but is {type(found).__name__}")
        return Weight(path=path, tensor=found, learned=isinstance(found, nn.Parameter))


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A value cut into equal parts of its channels, not yet taken."""

    value: Value
    count: int


class Reading:
    """The network read so far, and where its weights lie. `path` is the module that is being read."""

    def __init__(self, module: nn.Module, input_shape: tuple[int, int, int]) -> None:
        self.module = module
        self.sketch = Sketch(input_shape)
        self.weights: dict[str, str] = {}
        self.path = self._label = ""
        self._names: set[str] = set()
        self._used: dict[int, str] = {}
        self._parts: dict[tuple[str, Op], Value] = {}
        self._views: dict[str, str] = {}

    def layer(self, handler: Callable[..., Value], layer: nn.Module, path: str, args: tuple[Any, ...]) -> Value:
        """What a layer of the module makes of a value."""
        self.path, self._label = path, path
        if len(args) != 1 or not isinstance(args[0], Value):
            raise NetworkError(f"{type(layer).__name__} must be called with one tensor")
        value: Value = self._attempt(lambda: handler(self, layer, args[0]), type(layer).__name__)
        return value

    def call(
        self, handler: Callable[..., Any], name: str, path: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """What a function or method makes of its arguments."""
        self.path, self._label = path, f"{path}.{name}" if path else name
        return self._attempt(lambda: handler(self, *args, **kwargs), name)

    def _attempt(self, handle: Callable[[], Any], name: str) -> Any:
        try:
            return handle()
        except NetworkError:
            raise
        except Exception as error:  # arguments that torch takes, or would refuse itself, and no handler knows
            raise NetworkError(
                f"{name} must be called in a way that a network as data can hold, but: {type(error).__name__}: {error}"
            ) from error

    def memory(self, name: str) -> str:
        """The layer in whose memory a value lies: in torch, flattened values and parts are views."""
        return self._views.get(name, name)

    def shape(self, value: Value) -> Shape:
        """(channels, height, width) or (features,), without replicas."""
        return self.sketch.shape(value.name)

    def channels(self, value: Value) -> int:
        """Channels or features."""
        return int(channels_of(self.shape(value)))

    def expect(self, value: Value, channels: int) -> None:
        """Raise NetworkError where a layer was made for another number of channels or features."""
        got = self.channels(value)
        if got != channels:
            raise NetworkError(
                f"the layer was made for {channels} channels or features, but gets {got} from images "
                f"{self.sketch.shape(INPUT)}; give the channels and the resolution that the module was made for"
            )

    def sizes(self, value: Value) -> tuple[Any, ...]:
        """What the module sees as the value's size."""
        shape = self.shape(value)
        if not is_map(shape):
            return (BATCH, *shape)
        channels, height, width = shape[0], Side(shape[1]), Side(shape[2])
        match value.layout:
            case "plain":
                return (BATCH, channels, height, width)
            case "channels last":
                return (BATCH, height, width, channels)
        raise NetworkError("sizes must be asked of maps and vectors in their usual layout")

    def plain(self, value: Any) -> Value:
        """The value itself; raises NetworkError where it is no tensor in torch's own layout."""
        if not isinstance(value, Value) or not value.is_plain:
            what = f"a tensor in layout {value.layout}" if isinstance(value, Value) else repr(value)[:60]
            raise NetworkError(f"{self._label} needs a tensor in its usual layout, but gets {what}")
        return value

    def add(self, op: Op, *values: Value, weights: Mapping[str, str] | None = None) -> Value:
        """Add a layer that reads plain values; `weights` maps its own names to the module's paths."""
        return self._added(op, [self.plain(value) for value in values], weights)

    def add_elementwise(self, op: Op, *values: Value, weights: Mapping[str, str] | None = None) -> Value:
        """Add a layer that does not care for the layout, which it keeps."""
        if any(value.layout != values[0].layout for value in values) or values[0].layout not in (PLAIN, CHANNELS_LAST):
            raise NetworkError(f"{self._label} needs tensors in one layout, but gets {[v.layout for v in values]}")
        return replace(self._added(op, values, weights), layout=values[0].layout)

    def add_module(self, op: Op, layer: nn.Module, value: Value, *, elementwise: bool = False) -> Value:
        """Add a layer whose weights have the names of the module's."""
        weights = {name: f"{self.path}.{name}" for name in layer.state_dict()}
        return (self.add_elementwise if elementwise else self.add)(op, value, weights=weights)

    def part(self, parts: Parts, op: Op) -> Value:
        """One part of a value, made once."""
        key = (parts.value.name, op)
        if key not in self._parts:
            self._parts[key] = self.add(op, parts.value)
        return self._parts[key]

    def scale(self, value: Value, weight: Weight) -> Value:
        """A learned factor a channel."""
        if not self.is_per_channel(value, weight):
            raise NetworkError(
                f"{weight.path} must hold one factor a channel, but has shape {tuple(weight.tensor.shape)}"
            )
        return self.add_elementwise(LayerScale(), value, weights={"weight": weight.path})

    def is_per_channel(self, value: Value, weight: Weight) -> bool:
        """Whether a tensor of the module stands along the channel axis of a value."""
        shape = tuple(weight.tensor.shape)
        spatial = 2 if is_map(self.shape(value)) and value.layout == PLAIN else 0
        wanted = (self.channels(value), *(1,) * spatial)
        return shape[-len(wanted) :] == wanted and all(size == 1 for size in shape[: -len(wanted)])

    def unused(self) -> dict[str, int]:
        """Parameters that no layer took, with their sizes."""
        return {
            name: parameter.numel()
            for name, parameter in self.module.named_parameters()
            if id(parameter) not in self._used
        }

    def _added(self, op: Op, values: Any, weights: Mapping[str, str] | None) -> Value:
        name = self._new_name()
        for own, path in (weights or {}).items():
            tensor = Weight.of(self.module, path).tensor
            if isinstance(tensor, nn.Parameter):
                if id(tensor) in self._used:
                    raise NetworkError(
                        f"weights must be used once, but {path} is also used at {self._used[id(tensor)]}"
                    )
                self._used[id(tensor)] = self._label
            self.weights[f"{name}.{own}"] = path
        if isinstance(op, Flatten | Unflatten | Chunk):
            self._views[name] = self.memory(values[0].name)
        return Value(name=self.sketch.add(name, op, *(value.name for value in values)))

    def _new_name(self) -> str:
        base = "".join(c if c.isascii() and c.isalnum() else "_" for c in self._label).strip("_") or "layer"
        base = f"n{base}" if base[0].isdigit() else base
        base = base[-LONGEST_NAME + 4 :].lstrip("_0123456789") if len(base) > LONGEST_NAME - 4 else base
        name, number = base, 1
        while name in self._names or name in RESERVED:
            number += 1
            name = f"{base}_{number}"
        self._names.add(name)
        return name
