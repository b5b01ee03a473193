"""Where a network's graph can be cut: one value alone goes on."""

from search_spaces.architecture import INPUT, Architecture


def find_cuts(architecture: Architecture) -> list[int]:
    """Positions in `Architecture.nodes` behind which only the value of the node just before them is read.

    The last one is the number of nodes.
    """
    last = {name: i for i, node in enumerate(architecture.nodes) for name in node.inputs}
    cuts, furthest = [], last[INPUT]  # the last reader of any value but the newest
    for i, node in enumerate(architecture.nodes):
        if furthest <= i:
            cuts.append(i + 1)
        furthest = max(furthest, last.get(node.name, i))
    return cuts
