"""ConvCut: a 1x1 conv in place of every identity shortcut (Lee and Lee 2020, section 6.4)."""

from collections.abc import Iterator

from search_spaces.architecture import Architecture, Node
from search_spaces.errors import NetworkError
from search_spaces.names import unused_name
from search_spaces.ops import Add, BatchNorm, Conv, Shortcut, channels_of, is_map


def with_conv_shortcuts(architecture: Architecture) -> Architecture:
    """The network with a conv in every shortcut: of its own kind, or with batch norm where the network has any.

    A shortcut is what a sum adds to something that is computed from it. Raises NetworkError where there is none that
    is the identity.
    """
    skips = {(node.name, skip) for node in architecture.nodes for skip in _skips(architecture, node)}
    shortcuts = {node.name for node in architecture.nodes if isinstance(node.op, Shortcut)}
    if not skips and all(_projects(architecture, name) for name in shortcuts):
        raise NetworkError(
            "a 1x1 conv can only take the place of an identity shortcut, but the network has none; leave convcut out"
        )
    normed = any(isinstance(node.op, BatchNorm) for node in architecture.nodes)
    nodes: list[Node] = []
    used = set(architecture.shapes)
    places: dict[str, str] = {}  # of shortcuts, the last of the nodes that take their place
    for node in architecture.nodes:
        inputs = tuple(places.get(name, name) for name in node.inputs)
        if isinstance(node.op, Shortcut):
            channels = channels_of(architecture.shapes[node.name])
            conv = Conv(out_channels=channels, kernel=1, stride=node.op.stride, bias=False)
            nodes += _projection(node.name, conv, inputs[1], used, normed=node.op.norm)
            places[node.name] = nodes[-1].name
            continue
        for i, skip in enumerate(node.inputs):
            if (node.name, skip) in skips:
                conv = Conv(out_channels=channels_of(architecture.shapes[skip]), kernel=1, bias=not normed)
                name = unused_name(used, f"{node.name}_shortcut")
                nodes += _projection(name, conv, inputs[i], used, normed=normed)
                inputs = (*inputs[:i], nodes[-1].name, *inputs[i + 1 :])
        nodes.append(Node(name=node.name, op=node.op, inputs=inputs))
    return Architecture(input=architecture.input, nodes=tuple(nodes), exits=architecture.exits)


def _projection(name: str, conv: Conv, source: str, used: set[str], *, normed: bool) -> Iterator[Node]:
    yield Node(name=name, op=conv, inputs=(source,))
    if normed:
        yield Node(name=unused_name(used, f"{name}_norm"), op=BatchNorm(), inputs=(name,))


def _projects(architecture: Architecture, name: str) -> bool:
    node = next(node for node in architecture.nodes if node.name == name)
    assert isinstance(node.op, Shortcut)
    return bool(node.op.projects(architecture.source_shapes(node)))


def _skips(architecture: Architecture, node: Node) -> list[str]:
    """Of the maps that a sum adds those from which another one of them is computed."""
    if not isinstance(node.op, Add) or not is_map(architecture.shapes[node.name]):
        return []
    kinds = {one.name: one.op for one in architecture.nodes}
    above = {name: _ancestors(architecture, name) for name in node.inputs}
    return [
        name
        for name in node.inputs
        if not isinstance(kinds.get(name), Shortcut) and any(name in above[other] for other in node.inputs)
    ]


def _ancestors(architecture: Architecture, name: str) -> set[str]:
    """All nodes that a node is computed from; what a Shortcut reads of its block is a shape alone."""
    inputs = {node.name: architecture.reads(node) for node in architecture.nodes}
    found: set[str] = set()
    waiting = list(inputs.get(name, ()))
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += inputs.get(one, ())
    return found
