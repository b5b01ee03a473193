"""A network with several exits as segments, one an exit: what it computes beyond all earlier exits.

Run one after the other, segments compute nothing twice: a later one reads what earlier ones have left.
"""

from dataclasses import dataclass

from search_spaces.architecture import Architecture, Node
from search_spaces.cost import layer_costs


@dataclass(frozen=True, kw_only=True)
class ExitCost:
    """What an exit costs beyond all earlier ones, exactly; the sums over all exits are the whole network's.

    `reused` names the values of earlier segments that this one reads, in execution order.
    """

    name: str
    macs: int
    params: int
    reused: tuple[str, ...]


def segments(architecture: Architecture) -> tuple[tuple[Node, ...], ...]:
    """For every exit, the last node included, the nodes that it needs and no earlier exit does, in execution order.

    A node that is needed for its shape alone (as a `Shortcut` reads) belongs to a segment, too, so every node is in
    exactly one. A network without exits is one segment.
    """
    owners: dict[str, int] = {}
    for number, answer in reversed(list(enumerate(architecture.answers))):
        needed = {answer}  # earlier exits, whose turn comes later, take over what they need
        for node in reversed(architecture.nodes):
            if node.name in needed:
                owners[node.name] = number
                needed.update(node.inputs)
    return tuple(
        tuple(node for node in architecture.nodes if owners[node.name] == number)
        for number in range(len(architecture.answers))
    )


def in_segments(architecture: Architecture) -> Architecture:
    """The same network with its nodes in the order of its segments."""
    nodes = tuple(node for segment in segments(architecture) for node in segment)
    return Architecture(input=architecture.input, nodes=nodes, exits=architecture.exits)


def exit_costs(architecture: Architecture) -> tuple[ExitCost, ...]:
    """What every exit adds, in execution order: MACs and params of its segment, and what it reuses."""
    layers = {layer.name: layer for layer in layer_costs(architecture)}
    costs, earlier = [], set[str]()
    for answer, segment in zip(architecture.answers, segments(architecture), strict=True):
        own = {node.name for node in segment}
        read = {name for node in segment for name in architecture.reads(node)} & earlier
        costs.append(
            ExitCost(
                name=answer,
                macs=sum(layers[name].macs for name in own),
                params=sum(layers[name].params for name in own),
                reused=tuple(node.name for node in architecture.nodes if node.name in read),
            )
        )
        earlier |= own
    return tuple(costs)


def up_to_exit(architecture: Architecture, number: int) -> Architecture:
    """The network that ends at an exit, counted from 0, with those before it; the whole one for the last."""
    nodes = tuple(node for segment in segments(architecture)[: number + 1] for node in segment)
    return Architecture(input=architecture.input, nodes=nodes, exits=architecture.exits[:number])
