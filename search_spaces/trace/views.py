"""Views: how permuted, reshaped and indexed tensors are understood. Most add no layer at once."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

from search_spaces import ops
from search_spaces.errors import NetworkError
from search_spaces.ops import is_map
from search_spaces.trace.layers import flatten
from search_spaces.trace.values import (
    BATCH,
    CHANNELS_LAST,
    EXPANDED,
    PLAIN,
    SQUEEZED,
    Grouped,
    OneChannel,
    Parts,
    Reading,
    Value,
    Weight,
)


def size(reading: Reading, value: Value, dim: int | None = None) -> Any:
    """What `Tensor.size` gives."""
    sizes = reading.sizes(value)
    return sizes if dim is None else sizes[dim]


def _numbers(given: tuple[Any, ...]) -> list[Any]:
    """The sizes or dims of a call, given one by one or as one sequence."""
    first = given[0] if given else ()
    return list(first) if len(given) == 1 and isinstance(first, tuple | list) else list(given)


def reshape(reading: Reading, value: Value | Weight, *shape: Any) -> Value | Weight:
    """A view that flattens, that groups channels or undoes it, that turns a vector into a map of one pixel, or none."""
    target = _numbers(shape)
    if isinstance(value, Weight):
        return replace(value, tensor=value.tensor.reshape(target))
    if isinstance(value.layout, Grouped):
        return _ungroup(reading, value, value.layout, target)
    source = reading.shape(reading.plain(value))
    rest = _completed(target[1:], prod(source))
    if target and target[0] not in (BATCH, -1):
        raise NetworkError(f"a view must keep the batch, but is to {target}")
    if rest == [prod(source)]:
        return flatten(reading, value)
    if rest == list(source):
        return value
    if not is_map(source) and rest == [*source, 1, 1]:
        return reading.add(ops.Unflatten(), value)
    if is_map(source) and len(rest) == 4 and rest[0] * rest[1] == source[0] and rest[2:] == list(source[1:]):
        return replace(value, layout=Grouped(groups=rest[0]))
    raise NetworkError(f"a view must flatten, group channels or make a vector a map, but is {source} to {target[1:]}")


def _completed(target: Sequence[Any], elements: int) -> list[Any]:
    """The target without -1."""
    known = [size for size in target if size != -1]
    if any(size is BATCH for size in known):
        raise NetworkError("the batch must stay the first dimension")
    if len(known) == len(target):
        return list(target)
    return [elements // prod(known) if size == -1 else size for size in target]


def _ungroup(reading: Reading, value: Value, layout: Grouped, target: list[Any]) -> Value:
    plain = replace(value, layout=PLAIN)
    source = reading.shape(plain)
    if _completed(target[1:], prod(source)) != list(source):
        raise NetworkError(f"grouped channels must become {source} again, but become {target[1:]}")
    return reading.add(ops.ChannelShuffle(groups=layout.groups), plain) if layout.transposed else plain


def transpose(reading: Reading, value: Value, first: int, second: int) -> Value:
    """Of grouped channels: the first half of a channel shuffle."""
    if isinstance(value.layout, Grouped) and {first, second} == {1, 2}:
        return replace(value, layout=replace(value.layout, transposed=not value.layout.transposed))
    raise NetworkError(f"transpose must exchange the two axes of grouped channels, but exchanges {first} and {second}")


def permute(reading: Reading, value: Value, *dims: Any) -> Value:
    """Channels to the end or back, or grouped channels transposed."""
    order = [dim % 5 if isinstance(value.layout, Grouped) else dim % 4 for dim in _numbers(dims)]
    if isinstance(value.layout, Grouped) and order == [0, 2, 1, 3, 4]:
        return transpose(reading, value, 1, 2)
    if value.layout == PLAIN and order == [0, 2, 3, 1]:
        return replace(value, layout=CHANNELS_LAST)
    if value.layout == CHANNELS_LAST and order == [0, 3, 1, 2]:
        return replace(value, layout=PLAIN)
    raise NetworkError(f"permute must move the channels to the end or back, but is {order} of layout {value.layout}")


def squeeze(reading: Reading, value: Value, dim: int | None = None) -> Value:
    """A map of one pixel becomes a vector, at once or one axis after the other."""
    if not is_map(reading.shape(value)) or tuple(reading.shape(value)[1:]) != (1, 1):
        raise NetworkError(f"squeeze needs a map of one pixel, but gets {reading.shape(value)}")
    if dim is None or value.layout == SQUEEZED:
        return flatten(reading, replace(value, layout=PLAIN))
    if dim in (2, 3, -1, -2) and value.is_plain:
        return replace(value, layout=SQUEEZED)
    raise NetworkError(f"squeeze must remove height and width, but removes dim={dim}")


def expand_as(reading: Reading, value: Value, other: Value) -> Value:
    """One factor a channel, seen as a whole map: only a product may read it."""
    if reading.shape(value) == reading.shape(other):
        return value
    if reading.shape(reading.plain(value)) != (*reading.shape(other)[:1], 1, 1):
        raise NetworkError(f"expand_as must be of one factor a channel, but is of {reading.shape(value)}")
    return replace(value, layout=EXPANDED)


def unsqueeze(reading: Reading, value: Value, dim: int) -> Value:
    """Gives a single channel its axis back."""
    if isinstance(value.layout, OneChannel) and not value.layout.kept and dim == 1:
        return replace(value, layout=replace(value.layout, kept=True))
    raise NetworkError(f"unsqueeze must give a single channel its axis back (dim=1), but is at dim={dim}")


def chunk(reading: Reading, value: Value, chunks: int, dim: int = 0) -> Parts:
    """Equal parts of the channels."""
    return _parts(reading, value, chunks, dim)


def split(reading: Reading, value: Value, sizes: Any, dim: int = 0) -> Parts:
    """Parts of the channels, of one size."""
    listed = list(sizes) if isinstance(sizes, tuple | list) else [sizes]
    if len(set(listed)) > 1 or reading.channels(value) % listed[0]:
        raise NetworkError(f"split must make equal parts, but {reading.channels(value)} channels become {sizes}")
    return _parts(reading, value, reading.channels(value) // int(listed[0]), dim)


def _parts(reading: Reading, value: Value, count: int, dim: int) -> Parts:
    channels = (1, -3) if is_map(reading.shape(reading.plain(value))) else (1, -1)
    if dim not in channels or reading.channels(value) % count:
        raise NetworkError(
            f"equal parts must be of the channels (dim=1), but {count} parts of {reading.shape(value)} are at dim={dim}"
        )
    return Parts(value=value, count=count)


def getitem(reading: Reading, value: Any, index: Any) -> Any:
    """An entry of a size or a list, a part of the channels, or one channel."""
    if isinstance(value, Parts):
        return reading.part(value, ops.Chunk(parts=value.count, index=range(value.count)[index]))
    if not isinstance(value, Value):
        return value[index]
    whole = slice(None)
    axes = 4 if is_map(reading.shape(value)) else 2
    wanted = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in wanted:
        place = wanted.index(Ellipsis)
        wanted[place : place + 1] = [whole] * (axes - len(wanted) + 1)
    while len(wanted) > 2 and wanted[-1] == whole:
        wanted.pop()
    if len(wanted) == 2 and wanted[0] == whole and isinstance(wanted[1], int):
        return replace(reading.plain(value), layout=OneChannel(index=wanted[1]))
    if len(wanted) == 2 and wanted[0] == whole and isinstance(wanted[1], slice):
        return _slice(reading, reading.plain(value), wanted[1])
    raise NetworkError(f"an index must take channels, but is {index}")


def _slice(reading: Reading, value: Value, wanted: slice) -> Value:
    channels = reading.channels(value)
    start, stop, step = wanted.indices(channels)
    count = stop - start
    if step != 1 or count < 1 or channels % count or start % count:
        raise NetworkError(f"a slice must be one of equal parts of the channels, but {wanted} of {channels} is not")
    parts = channels // count
    return reading.part(Parts(value=value, count=parts), ops.Chunk(parts=parts, index=start // count))
