"""A network layer by layer, for people: what each layer does, its shape, its share of the cost, and what it reads."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from search_spaces import INPUT, Architecture, Node, layer_costs
from search_spaces.ops import Op, Shape

# what is shown in the row of the layer that it follows
_FOLLOWERS = frozenset(
    ("activation", "prelu", "dropout", "stochastic_depth", "batch_norm", "group_norm", "layer_norm", "layer_scale")
)
_UNSAID = frozenset(("out_channels", "out_features", "epsilon", "momentum", "affine", "slope", "function"))


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """A layer with what follows it elementwise. `reads` are places of earlier rows, -1 of the image.

    `follows` says whether it reads the row above; other ways are `lanes`: numbers of those that begin here, that pass
    by, and that end here. `answers` is the number of the exit that it is, from 1, or 0.
    """

    name: str
    label: str
    then: str
    shape: tuple[int, ...]
    params: int
    macs: int
    reads: tuple[int, ...]
    follows: bool
    begin: tuple[int, ...]
    pass_by: tuple[int, ...]
    end: tuple[int, ...]
    answers: int

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the drawing."""
        kept = ("name", "label", "then", "params", "macs", "answers")
        return {name: getattr(self, name) for name in kept} | {"shape": list(self.shape), "reads": list(self.reads)}


def layer_rows(architecture: Architecture) -> list[LayerRow]:
    """The rows of a network, in execution order."""
    groups = _groups(architecture)
    place = {node.name: i for i, group in enumerate(groups) for node in group} | {INPUT: -1}
    reads = [tuple(dict.fromkeys(place[name] for name in group[0].inputs)) for group in groups]
    lanes = _lanes(reads)
    costs = {layer.name: layer for layer in layer_costs(architecture)}
    answers = {place[name]: number for number, name in enumerate(architecture.answers, start=1)}
    return [
        LayerRow(
            name=group[0].name,
            label=_label(group[0].op),
            then=", ".join(_follower(node.op) for node in group[1:]),
            shape=tuple(architecture.shapes[group[-1].name]),
            params=sum(costs[node.name].params for node in group),
            macs=sum(costs[node.name].macs for node in group),
            reads=reads[i],
            follows=i - 1 in reads[i],
            begin=tuple(lane for (start, _), lane in lanes.items() if start == i),
            pass_by=tuple(lane for (start, end), lane in lanes.items() if start < i < end),
            end=tuple(lane for (_, end), lane in lanes.items() if end == i),
            answers=answers.get(i, 0),
        )
        for i, group in enumerate(groups)
    ]


def _groups(architecture: Architecture) -> list[list[Node]]:
    """Each layer with what follows it and nothing else reads in between."""
    readers = Counter(name for node in architecture.nodes for name in node.inputs)
    groups: list[list[Node]] = []
    of_end: dict[str, list[Node]] = {}  # by the name of a group's last node
    for node in architecture.nodes:
        before = of_end.get(node.inputs[0]) if node.op.kind in _FOLLOWERS and len(node.inputs) == 1 else None
        if before is not None and readers[node.inputs[0]] == 1 and node.inputs[0] not in architecture.exits:
            del of_end[node.inputs[0]]
            before.append(node)
            of_end[node.name] = before
        else:
            groups.append([node])
            of_end[node.name] = groups[-1]
    return groups


def _lanes(reads: Sequence[Sequence[int]]) -> dict[tuple[int, int], int]:
    """Ways that do not lead to the row below, by where they begin and end: the first lane that is free all along."""
    ways = sorted((start, end) for end, starts in enumerate(reads) for start in starts if end - start > 1)
    lanes: dict[tuple[int, int], int] = {}
    free_from: list[int] = []  # by lane, the row at which its last way ends
    for start, end in ways:
        lane = next((i for i, row in enumerate(free_from) if row <= start), len(free_from))
        free_from[lane:] = [end] if lane == len(free_from) else [end, *free_from[lane + 1 :]]
        lanes[start, end] = lane
    return lanes


def _label(op: Op) -> str:
    """Its kind, kernel, and what is not as usual."""
    values = {field.name: getattr(op, field.name) for field in fields(op) if field.name not in _UNSAID}
    words = [op.kind.replace("_", " ")]
    if "function" in {field.name for field in fields(op)}:
        words.insert(0, str(op.function))  # type: ignore[attr-defined]
    kernel = values.pop("kernel", None)
    if kernel is not None:
        words.append(_size(kernel))
    usual: dict[str, tuple[int, ...]] = {"stride": (1,), "dilation": (1,), "groups": (1,), "multiplier": (1,)}
    usual["padding"] = (0, kernel // 2) if isinstance(kernel, int) else (0,)
    said = [
        f"{name.replace('_', ' ')} {value}"
        for name, value in values.items()
        if not isinstance(value, bool) and value not in usual.get(name, ())
    ]
    return ", ".join([" ".join(words), *said])


def _size(size: int | tuple[int, int]) -> str:
    height, width = (size, size) if isinstance(size, int) else size
    return f"{height}×{width}"


def _follower(op: Op) -> str:
    function = getattr(op, "function", None)
    return str(function) if function is not None else op.kind.replace("_", " ")


def said_shape(shape: Shape | Mapping[int, int]) -> str:
    """Channels, height and width."""
    return " × ".join(f"{side:,}" for side in shape)
