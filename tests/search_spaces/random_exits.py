"""Random networks with exits for Hypothesis, and a small one by hand."""

from hypothesis import strategies as st

from search_spaces import INPUT, Activation, Architecture, Conv, Flatten, Linear, Node
from search_spaces.ops import AdaptivePool, Add, BatchNorm, Depthwise, Op, channels_of, is_map
from search_spaces.sketch import Sketch
from tests.search_spaces.random_networks import networks


@st.composite
def networks_with_exits(draw: st.DrawFn, most: int = 8) -> Architecture:
    """A random network with up to two heads beside it, anywhere behind what they read; its scores may be an exit, too.

    Heads stand among the other nodes in any order, so that segments do not follow each other.
    """
    base = draw(networks(most))
    nodes, exits = list(base.nodes), list[str]()
    for i in range(draw(st.integers(0, 2))):
        source = draw(st.sampled_from([node.name for node in nodes[:-1]]))
        names = [node.name for node in nodes]
        place = draw(st.integers(names.index(source) + 1, len(nodes) - 1))
        ops: dict[str, Op] = {f"head{i}_pool": AdaptivePool(), f"head{i}_flatten": Flatten()}
        chain = (ops if is_map(_shapes(base, nodes)[source]) else {}) | {f"head{i}": Linear(out_features=3)}
        for name, op in chain.items():
            nodes.insert(place, Node(name=name, op=op, inputs=(source,)))
            source, place = name, place + 1
        exits.append(source)
    if draw(st.booleans()):
        exits.append("classifier")
        others = draw(st.lists(st.sampled_from(exits), min_size=1, max_size=3))
        nodes.append(Node(name="mean", op=Add(), inputs=("classifier", *others)))
    order = [node.name for node in nodes]
    return Architecture(input=base.input, nodes=tuple(nodes), exits=tuple(sorted(exits, key=order.index)))


def _shapes(base: Architecture, nodes: list[Node]) -> dict[str, tuple[int, ...]]:
    """Of what has been drawn so far, of which some is not read yet."""
    shapes: dict[str, tuple[int, ...]] = {INPUT: base.input}
    for node in nodes:
        shapes[node.name] = node.op.shape(*(shapes[name] for name in node.inputs))
    return shapes


def early(side: int = 16, channels: int = 3) -> Architecture:
    """A residual block, an exit beside it, a strided conv, a depthwise one; 5 classes."""
    sketch = Sketch((channels, side, side))
    sketch.add("stem", Conv(out_channels=8, kernel=4, stride=2, padding=1, bias=False))
    sketch.add("stem_norm", BatchNorm())
    trunk = sketch.add("stem_relu", Activation(function="relu"))
    sketch.add("block", Conv(out_channels=8, kernel=3, padding=1))
    trunk = sketch.add("block_add", Add(), "block", trunk)
    sketch.add("early_pool", AdaptivePool())
    sketch.add("early_flatten", Flatten())
    early_exit = sketch.add("early", Linear(out_features=5))
    sketch.add("down", Conv(out_channels=int(channels_of(sketch.shape(trunk))) * 2, kernel=3, stride=2), trunk)
    sketch.add("depthwise", Depthwise(kernel=3, padding=1))
    sketch.add("late_pool", AdaptivePool())
    sketch.add("late_flatten", Flatten())
    sketch.add("late", Linear(out_features=5))
    return sketch.finish(exits=(early_exit,))
