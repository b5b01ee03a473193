"""Blocks that a network repeats, found on its graph, and networks that repeat them more or less often.

The graph is cut wherever one value alone goes on; what lies between two cuts is a part: a layer, or all of a residual
block up to its sum. Blocks are one or more parts.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.cuts import find_cuts
from search_spaces.errors import NetworkError
from search_spaces.names import unused_name
from search_spaces.ops import Activation, Add, Conv, Depthwise, Expand, Linear, Op, Shape, Shortcut, StochasticDepth

MOST_NODES = 100_000  # of a network made by repeating


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """`count` equal blocks of `length` nodes each, one behind the other, from a position in `Architecture.nodes` on."""

    start: int
    length: int
    count: int

    def block(self, index: int) -> slice:
        """Positions of one of the blocks' nodes."""
        return slice(self.start + index * self.length, self.start + (index + 1) * self.length)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Nodes from `start` up to `stop`, the shapes before and after them; `key` is equal for what computes the same.

    The key holds the shape before, so of equal parts one behind the other the shapes before and after are one. A part
    with an exit is in no run, as a copy of it would be no exit: its key is its own.
    """

    start: int
    stop: int
    before: Shape
    after: Shape
    key: Hashable
    mixes: bool
    exits: bool
    last: Op


def find_repeats(architecture: Architecture) -> list[Repeat]:
    """The runs of equal blocks that have weights and one shape before and behind them, in execution order.

    Of runs that overlap the one of most parts counts, of the shortest blocks. Blocks are equal up to the names of their
    nodes and the shares of their stochastic depth. A block that stands alone is a run of one if it is residual: if a
    sum ends it, or a sum and activations. Blocks with an exit are in no run.
    """
    parts = _parts(architecture)
    runs = sorted(_runs(parts, 0, len(parts)))
    return [
        Repeat(start=parts[i].start, length=parts[i + period - 1].stop - parts[i].start, count=count)
        for i, period, count in runs
    ]


def with_counts(architecture: Architecture, repeats: Sequence[Repeat], counts: Sequence[int]) -> Architecture:
    """The network in which each run has another number of blocks, at least one: the last ones go, or copies of the last
    one come. Raises NetworkError for more than 100,000 nodes in all.
    """
    added = sum(repeat.length * (count - repeat.count) for repeat, count in zip(repeats, counts, strict=True))
    if len(architecture.nodes) + added > MOST_NODES:
        raise NetworkError(
            f"a network must have at most {MOST_NODES:,} nodes, but would have {len(architecture.nodes) + added:,}; "
            "use a smaller multiplier"
        )
    nodes: list[Node] = []
    used = set(architecture.shapes)
    renamed: dict[str, str] = {}
    position = 0
    for repeat, count in zip(repeats, counts, strict=True):
        kept = repeat.start + min(count, repeat.count) * repeat.length
        nodes += _redirected(architecture.nodes[position:kept], renamed)
        last = architecture.nodes[repeat.block(repeat.count - 1)]
        for _ in range(count - repeat.count):
            nodes += _copied(last, nodes[-1].name, used)
        renamed[last[-1].name] = nodes[-1].name
        position = repeat.block(repeat.count - 1).stop
    nodes += _redirected(architecture.nodes[position:], renamed)
    return Architecture(input=architecture.input, nodes=tuple(nodes), exits=architecture.exits)


def _redirected(nodes: Sequence[Node], renamed: dict[str, str]) -> list[Node]:
    return [replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs)) for node in nodes]


def _copied(block: Sequence[Node], entry: str, used: set[str]) -> list[Node]:
    """A copy of a block that reads `entry`; what it reads that is not its own is its entry."""
    names = {node.name: unused_name(used, node.name) for node in block}
    return [
        Node(name=names[node.name], op=node.op, inputs=tuple(names.get(name, entry) for name in node.inputs))
        for node in block
    ]


def _runs(parts: Sequence[_Part], low: int, high: int) -> list[tuple[int, int, int]]:
    """First part, parts a block and number of blocks of all runs between two parts."""
    found = _largest_run(parts, low, high)
    if found is None:
        return _residual_blocks(parts, low, high)
    i, period, count = found
    return [*_runs(parts, low, i), found, *_runs(parts, i + period * count, high)]


def _largest_run(parts: Sequence[_Part], low: int, high: int) -> tuple[int, int, int] | None:
    """The run of two or more blocks that has most parts; of equal ones that of the shortest blocks.

    Then the first one that begins with weights: behind a run of "conv, norm" stands one of "norm, conv".
    """
    best: tuple[tuple[int, int, bool, int], tuple[int, int, int]] | None = None
    for period in range(1, (high - low) // 2 + 1):
        equal = 0  # parts from i on that are equal to those one period later
        for i in range(high - period - 1, low - 1, -1):
            equal = equal + 1 if parts[i].key == parts[i + period].key else 0
            count = equal // period + 1
            if count == 1 or not any(part.mixes for part in parts[i : i + period]):
                continue
            rank = (count * period, -period, parts[i].mixes, -i)
            if best is None or rank > best[0]:
                best = rank, (i, period, count)
    return best[1] if best else None


def _residual_blocks(parts: Sequence[_Part], low: int, high: int) -> list[tuple[int, int, int]]:
    """Runs of one."""
    found = []
    for i in range(low, high):
        is_block = parts[i].mixes and isinstance(parts[i].last, Add) and not parts[i].exits
        if is_block and parts[i].before == parts[i].after:
            stop = i + 1
            while stop < high and isinstance(parts[stop].last, Activation) and not parts[stop].exits:
                stop += 1
            found.append((i, stop - i, 1))
    return found


def _parts(architecture: Architecture) -> list[_Part]:
    numbers: dict[Hashable, int] = {}  # small keys, which are quick to compare
    parts: list[_Part] = []
    before, start = architecture.shapes[INPUT], 0
    for stop in find_cuts(architecture):
        nodes = architecture.nodes[start:stop]
        exits = any(node.name in architecture.exits for node in nodes)
        key = (before, _steps(nodes), start if exits else None)
        part = _Part(
            start=start,
            stop=stop,
            before=before,
            after=architecture.shapes[nodes[-1].name],
            key=numbers.setdefault(key, len(numbers)),
            mixes=any(isinstance(node.op, Conv | Depthwise | Expand | Linear | Shortcut) for node in nodes),
            exits=exits,
            last=nodes[-1].op,
        )
        parts.append(part)
        before, start = part.after, stop
    return parts


def _steps(nodes: Sequence[Node]) -> Hashable:
    """What nodes do, by their places among them; what stands before them is at -1."""
    places = {node.name: i for i, node in enumerate(nodes)}
    return tuple((_without_share(node.op), tuple(places.get(name, -1) for name in node.inputs)) for node in nodes)


def _without_share(op: Op) -> Op:
    return replace(op, share=0.0) if isinstance(op, StochasticDepth) else op
