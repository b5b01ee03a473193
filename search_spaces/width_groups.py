"""Width groups: which channels of a network must change together.

Every conv and linear layer begins a run of channels of its own. Sums and products tie the runs that they align,
depthwise convs and flattening carry them on, a concat puts them one after the other, and where a sum cuts through
a run, the run is split. What is left are groups of which each has one width; the image and the classes are fixed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd, lcm, prod

from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.ops import (
    Add,
    Affine,
    ChannelShuffle,
    Chunk,
    Concat,
    Conv,
    Depthwise,
    Expand,
    Flatten,
    GroupNorm,
    Linear,
    Multiply,
    Select,
    Shortcut,
    SpaceToDepth,
    channels_of,
)


@dataclass(frozen=True)
class Run:
    """Channels that follow each other: `repeat` for each of a group's; of no group (-1), a fixed number."""

    group: int
    repeat: int


FIXED = -1
# kinds whose output has the channels of their first input; `search_spaces.kept` and `removal` build on this, too
KEEP_CHANNELS = {
    "activation", "adaptive_pool", "add", "affine", "batch_norm", "batch_to_space", "dropout", "flatten", "group_norm",
    "layer_norm", "layer_scale", "mean_replicas", "multiply", "pad", "pool", "prelu", "resize", "space_to_batch",
    "stochastic_depth", "unflatten", "upsample",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class WidthGroup:
    """One free width: the layers that make its channels, and what it must be a multiple of (its own width is)."""

    name: str
    width: int
    layers: tuple[str, ...]
    divisor: int


@dataclass(frozen=True, kw_only=True)
class WidthGroups:
    """The groups of a network in execution order, and the runs that make up every node's channels."""

    groups: tuple[WidthGroup, ...]
    runs: Mapping[str, tuple[Run, ...]]

    @property
    def widths(self) -> tuple[int, ...]:
        """The network's own widths."""
        return tuple(group.width for group in self.groups)


class _Runs:
    """Runs of channels while they are tied and split: a union-find whose sets can be cut in two."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.parents: list[int] = []
        self.halves: dict[int, tuple[int, int]] = {}
        self.fixed: set[int] = set()

    def new(self, size: int, *, fixed: bool = False) -> int:
        self.sizes.append(size)
        self.parents.append(len(self.parents))
        if fixed:
            self.fixed.add(len(self.parents) - 1)
        return len(self.parents) - 1

    def find(self, run: int) -> int:
        while self.parents[run] != run:
            run = self.parents[run] = self.parents[self.parents[run]]
        return run

    def leaves(self, run: int) -> Iterator[int]:
        """The sets that a run consists of now, in order."""
        left = [run]
        while left:
            root = self.find(left.pop())
            if root in self.halves:
                left.extend(reversed(self.halves[root]))
            else:
                yield root

    def resolve(self, runs: Sequence[Run]) -> list[Run]:
        return [Run(leaf, run.repeat) for run in runs for leaf in self.leaves(run.group)]

    def split(self, run: int, size: int) -> None:
        root = self.find(run)
        fixed = root in self.fixed
        self.halves[root] = (self.new(size, fixed=fixed), self.new(self.sizes[root] - size, fixed=fixed))

    def freeze(self, runs: Sequence[Run]) -> None:
        self.fixed.update(run.group for run in self.resolve(runs))

    def tie(self, first: Sequence[Run], second: Sequence[Run]) -> None:
        """Make two rows of channels change together, channel by channel."""
        one, other = list(first), list(second)
        while one and other:
            one[:1], other[:1] = self.resolve(one[:1]), self.resolve(other[:1])
            if one[0].repeat != other[0].repeat:  # as many channels, but for another number of groups' channels
                self.freeze(one)
                self.freeze(other)
                return
            a, b = one[0].group, other[0].group
            if self.sizes[a] == self.sizes[b]:
                self._unite(a, b)
                del one[0], other[0]
            elif self.sizes[a] > self.sizes[b]:
                self.split(a, self.sizes[b])
            else:
                self.split(b, self.sizes[a])

    def _unite(self, one: int, other: int) -> None:
        if one != other:
            first, second = min(one, other), max(one, other)
            self.parents[second] = first
            if second in self.fixed:
                self.fixed.add(first)

    def parts(self, runs: Sequence[Run], count: int) -> list[list[Run]]:
        """Equal parts, tied to each other, as they must stay equal."""
        whole = self.resolve(runs)
        size = sum(self.sizes[run.group] * run.repeat for run in whole) // count
        parts = []
        for _ in range(count):
            part, left = [], size
            while left:
                channels = self.sizes[whole[0].group] * whole[0].repeat
                if channels <= left:
                    part.append(whole.pop(0))
                    left -= channels
                elif left % whole[0].repeat:  # the cut is between the channels of one
                    self.freeze(runs)
                    fixed = self.new(size, fixed=True)
                    return [[Run(fixed, 1)]] * count
                else:
                    self.split(whole[0].group, left // whole[0].repeat)
                    whole[:1] = self.resolve(whole[:1])
            parts.append(part)
        for part in parts[1:]:
            self.tie(parts[0], part)
        return parts


def find_width_groups(architecture: Architecture) -> WidthGroups:
    """The width groups of a network."""
    runs = _Runs()
    rows: dict[str, list[Run]] = {INPUT: [Run(runs.new(architecture.input[0], fixed=True), 1)]}
    for node in architecture.nodes:
        rows[node.name] = _row(architecture, node, runs, rows)
    for answer in architecture.answers:
        runs.freeze(rows[answer])
    divisors = _divisors(architecture, runs, rows)
    makers: dict[int, list[str]] = {}
    for node in architecture.nodes:
        if isinstance(node.op, Conv | Linear):
            for run in runs.resolve(rows[node.name]):
                if run.group not in runs.fixed and node.name not in makers.setdefault(run.group, []):
                    makers[run.group].append(node.name)
    numbers = {root: i for i, root in enumerate(makers)}

    def numbered(row: Sequence[Run]) -> tuple[Run, ...]:
        return tuple(
            Run(numbers[run.group], run.repeat)
            if run.group in numbers
            else Run(FIXED, runs.sizes[run.group] * run.repeat)
            for run in runs.resolve(row)
        )

    groups: list[WidthGroup] = []
    for root, layers in makers.items():
        name = _unused_name(layers[0], {group.name for group in groups})
        divisor = divisors.get(root, 1)
        groups.append(WidthGroup(name=name, width=runs.sizes[root], layers=tuple(layers), divisor=divisor))
    return WidthGroups(groups=tuple(groups), runs={name: numbered(row) for name, row in rows.items()})


def _divisors(architecture: Architecture, runs: _Runs, rows: Mapping[str, Sequence[Run]]) -> dict[int, int]:
    """What each set's width must be a multiple of. A set that is none today, as only a sum is, becomes fixed."""
    divisors: dict[int, int] = {}
    for node in architecture.nodes:
        for divisor, name in _parted(node):
            times: dict[int, int] = {}
            for run in runs.resolve(rows[name]):
                times[run.group] = times.get(run.group, 0) + run.repeat
            for group, repeat in times.items():
                divisors[group] = lcm(divisors.get(group, 1), divisor // gcd(divisor, repeat))
    runs.fixed.update(group for group, divisor in divisors.items() if runs.sizes[group] % divisor)
    return divisors


def _parted(node: Node) -> list[tuple[int, str]]:
    """How many equal parts a node makes of whose channels."""
    match node.op:
        case Conv(groups=groups):
            return [(groups, node.inputs[0]), (groups, node.name)]
        case GroupNorm(groups=parts) | ChannelShuffle(groups=parts) | Chunk(parts=parts):
            return [(parts, node.inputs[0])]
    return []


def _unused_name(name: str, used: set[str]) -> str:
    number = 1
    while (unused := name if number == 1 else f"{name}.{number}") in used:
        number += 1
    return unused


def _row(architecture: Architecture, node: Node, runs: _Runs, rows: Mapping[str, list[Run]]) -> list[Run]:  # noqa: C901, PLR0911
    """Runs of the channels of a node's output, after tying what it ties."""
    sources = [rows[name] for name in node.inputs]
    shapes = architecture.source_shapes(node)
    channels = channels_of(architecture.shapes[node.name])
    match node.op:
        case Conv() | Linear():
            return [Run(runs.new(channels), 1)]
        case Depthwise(multiplier=times) | Expand(factor=times):
            return _repeated(sources[0], times)
        case SpaceToDepth(block=block):
            return _repeated(sources[0], block**2)
        case Flatten() if len(shapes[0]) >= 3:
            return _repeated(sources[0], prod(shapes[0][-2:]))
        case Concat():
            return [run for source in sources for run in source]
        case Add() | Multiply():
            for other in sources[1:]:
                runs.tie(sources[0], other)
        case Shortcut():
            runs.tie(sources[0], sources[1])
            return sources[2]
        case Chunk(parts=parts, index=index):
            return runs.parts(sources[0], parts)[index]
        case ChannelShuffle(groups=groups):
            return [run for part in runs.parts(sources[0], groups) for run in part]
        case Affine(factors=factors, offsets=offsets) if max(len(factors), len(offsets)) > 1:
            runs.freeze(sources[0])
        case Select():
            runs.freeze(sources[0])
            return [Run(runs.new(channels, fixed=True), 1)]
    assert node.op.kind in KEEP_CHANNELS, f"nothing says which channels {node.op.kind} makes"
    return sources[0]


def _repeated(row: Sequence[Run], times: int) -> list[Run]:
    return [Run(run.group, run.repeat * times) for run in row]
