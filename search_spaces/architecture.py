"""A network as data: a graph of named ops in execution order, whose shapes are known."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from search_spaces.errors import NetworkError
from search_spaces.ops import LARGEST, Op, Shape, op_from_json, op_to_json

INPUT = "input"  # the name under which nodes read the image
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def canonical_json(data: object) -> str:
    """One text for equal data: sorted keys, no spaces. Ids are hashes of it."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def content_id(data: object) -> str:
    """First 16 hex digits of the SHA-256 of the data's canonical JSON."""
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One op of a network and the nodes that it reads."""

    name: str
    op: Op
    inputs: tuple[str, ...]


def check_input(shape: Shape) -> None:
    """Raise NetworkError unless an image of this shape (channels, height, width) can be: square, not empty."""
    if len(shape) != 3 or any(type(n) is not int or not 0 < n <= LARGEST for n in shape):
        raise NetworkError(f"input must be three positive integers (channels, height, width), but got {shape}")
    if shape[1] != shape[2]:
        raise NetworkError(f"input must be square, but got {shape[1]} x {shape[2]}")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network: input shape (channels, height, width) and nodes in execution order; the last one answers.

    `exits` names nodes before it that give class scores as well, in execution order; the last node is the last exit.
    Building one propagates every shape, so an impossible network cannot exist: NetworkError names the node.
    """

    input: tuple[int, int, int]
    nodes: tuple[Node, ...]
    exits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_input(self.input)
        if not self.nodes:
            raise NetworkError("a network needs at least one node, but got none")
        _ = self.shapes
        self._check_exits()
        read = {name for node in self.nodes for name in node.inputs}
        unread = {node.name for node in self.nodes[:-1]} - read - set(self.exits)
        if unread:
            raise NetworkError(f"every node but the last must be read, but nothing reads {sorted(unread)[0]!r}")

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Output shape of every node, and of the input."""
        shapes: dict[str, Shape] = {INPUT: self.input}
        for node in self.nodes:
            if not isinstance(node.name, str) or not _NAME.fullmatch(node.name) or node.name in shapes:
                raise NetworkError(f"node names must be letters, digits and _ and differ, but got {node.name!r}")
            self._check_inputs(node, shapes)
            try:
                shapes[node.name] = node.op.shape(*(shapes[name] for name in node.inputs))
            except NetworkError as error:
                raise NetworkError(f"node {node.name!r}: {error}") from error
        return shapes

    @staticmethod
    def _check_inputs(node: Node, earlier: Mapping[str, Shape]) -> None:
        least, most = node.op.inputs
        if not least <= len(node.inputs) <= most or any(name not in earlier for name in node.inputs):
            count = f"{least} to {most} earlier nodes" if most > least else _counted(least)
            raise NetworkError(f"node {node.name!r} must read {count}, but reads {list(node.inputs)}")

    def _check_exits(self) -> None:
        places = {node.name: i for i, node in enumerate(self.nodes[:-1])}
        for name in self.exits:
            if name not in places:
                raise NetworkError(
                    f"exits must be nodes before the last one, which is the last exit anyway, but {name!r} is none"
                )
            if len(self.output) != 1 or self.shapes[name] != self.output:
                raise NetworkError(
                    f"exits must give one score a class as the last node, but {name!r} gives {self.shapes[name]} and "
                    f"the last node {self.output}"
                )
        order = [places[name] for name in self.exits]
        if order != sorted(set(order)):
            raise NetworkError(f"exits must differ and stand in execution order, but are {', '.join(self.exits)}")

    @property
    def resolution(self) -> int:
        """Side of the input in pixels."""
        return self.input[1]

    @property
    def output(self) -> Shape:
        """Shape of the last node."""
        return self.shapes[self.nodes[-1].name]

    @property
    def answers(self) -> tuple[str, ...]:
        """The nodes that give class scores, in execution order: the exits and the last node."""
        return (*self.exits, self.nodes[-1].name)

    @cached_property
    def id(self) -> str:
        """Content id: equal networks have equal ids."""
        return content_id(self.to_json())

    def source_shapes(self, node: Node) -> tuple[Shape, ...]:
        """Shapes of what a node reads."""
        return tuple(self.shapes[name] for name in node.inputs)

    def reads(self, node: Node) -> tuple[str, ...]:
        """The nodes whose values a node needs; of its other inputs it needs the shape alone."""
        return tuple(node.inputs[i] for i in node.op.reads(self.source_shapes(node)))

    def last_reads(self) -> dict[str, int]:
        """For every value that is read, the position of the last node that reads it."""
        return {name: i for i, node in enumerate(self.nodes) for name in self.reads(node)}

    @cached_property
    def steps(self) -> tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]:
        """For every node its name, the nodes whose values it needs, and those of them that nobody needs after it."""
        last = self.last_reads()
        reads = [self.reads(node) for node in self.nodes]
        return tuple(
            (node.name, names, tuple(sorted({name for name in names if last[name] == i})))
            for i, (node, names) in enumerate(zip(self.nodes, reads, strict=True))
        )

    @cached_property
    def unread(self) -> frozenset[str]:
        """The nodes whose values no other needs: answers, which are handed out at once, and what is a shape alone."""
        return frozenset(node.name for node in self.nodes).difference(self.last_reads())

    def node(self, name: str) -> Node:
        """The node of this name; raises NetworkError where there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise NetworkError(f"the network must have a node {name!r}, but has none of that name")

    def with_ops(self, ops: Mapping[str, Op], *, resolution: int | None = None) -> "Architecture":
        """The network with some nodes' ops replaced, and another input side if one is given."""
        nodes = tuple(replace(node, op=ops.get(node.name, node.op)) for node in self.nodes)
        side = self.resolution if resolution is None else resolution
        return Architecture(input=(self.input[0], side, side), nodes=nodes, exits=self.exits)

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` takes back. Exits are left out where there are none, so that ids stay."""
        nodes = [{"name": node.name, "inputs": list(node.inputs), **op_to_json(node.op)} for node in self.nodes]
        exits = {"exits": list(self.exits)} if self.exits else {}
        return {"input": list(self.input), "nodes": nodes, **exits}

    @staticmethod
    def from_json(data: Any) -> "Architecture":
        """The network that `to_json` wrote; raises NetworkError, naming the node, for anything else."""
        try:
            entries = [(dict(entry), entry["name"], tuple(map(str, list(entry["inputs"])))) for entry in data["nodes"]]
            shape, exits = tuple(data["input"]), data.get("exits", [])
            if any(not isinstance(entry["inputs"], list | tuple) for entry in data["nodes"]):
                raise TypeError("inputs must be a list")
        except (AttributeError, TypeError, KeyError, ValueError) as error:
            raise NetworkError(
                "a network must have 'input' and 'nodes', each node a 'name', 'inputs' and 'op'"
            ) from error
        if not isinstance(exits, list | tuple) or any(not isinstance(name, str) for name in exits):
            raise NetworkError(f"exits must be a list of names of nodes, but got {exits!r}")
        nodes = []
        for entry, name, inputs in entries:
            if not isinstance(name, str):
                raise NetworkError(f"node names must be letters, digits and _ and differ, but got {name!r}")
            values = {key: value for key, value in entry.items() if key not in ("name", "inputs")}
            try:
                nodes.append(Node(name=name, op=op_from_json(values), inputs=inputs))
            except NetworkError as error:
                raise NetworkError(f"node {name!r}: {error}") from error
        return Architecture(input=shape, nodes=tuple(nodes), exits=tuple(exits))


def _counted(number: int) -> str:
    return "one earlier node" if number == 1 else f"{number} earlier nodes"
