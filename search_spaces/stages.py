"""Stages of a network: the stretches between which its maps become smaller, found on the graph, not by name."""

from search_spaces.architecture import INPUT, Architecture, Node
from search_spaces.cuts import find_cuts
from search_spaces.edits import classifier
from search_spaces.errors import NetworkError
from search_spaces.ops import (
    Activation,
    AdaptivePool,
    Affine,
    BatchNorm,
    Conv,
    Depthwise,
    Dropout,
    Expand,
    GroupNorm,
    LayerNorm,
    LayerScale,
    Linear,
    Op,
    Pool,
    PReLU,
    Shape,
    Shortcut,
    SpaceToDepth,
    is_map,
    pair,
)

_MIXES = Conv | Depthwise | Expand | Linear | Shortcut
_BETWEEN = Activation | Affine | BatchNorm | Dropout | GroupNorm | LayerNorm | LayerScale | PReLU


def find_stages(architecture: Architecture) -> list[int]:
    """Positions in `Architecture.nodes` behind which a stage ends and one map alone goes on; none where there is none.

    A stage ends at the last cut (`find_cuts`) before the sides are reduced: by a strided conv, a pool or a
    space-to-depth. So a norm, an activation or a 1x1 conv in front of that, as in DenseNet's transitions, belongs to
    the stage that it ends. A pool right after a strided conv, as in a ResNet's stem, begins no stage. Every stage has
    weights: what reduces the sides before the first ones belongs to the first stage.

    The last stage ends before the head: a pooling to fixed sides, a flatten, a linear layer or the classifier, where
    the graph can be cut before it, dropout in front of that, and what reduces the sides behind the last weights.
    """
    ends: list[int] = []
    start, end = 0, 0  # of the part at hand; of the stage, if the head begins here
    mixes = False  # whether the stage has weights so far
    before = INPUT
    strided = False  # whether the last layer but norms and activations is a strided conv
    scores = _classifier_of(architecture)
    for stop in find_cuts(architecture):
        nodes = architecture.nodes[start:stop]
        shapes = architecture.shapes[before], architecture.shapes[nodes[-1].name]
        if _is_head(architecture, nodes, shapes) or nodes[-1].name == scores:
            break
        if mixes and _reduces(nodes, shapes) and not (strided and isinstance(nodes[0].op, Pool)):
            ends.append(start)
            mixes = False
        mixes |= any(isinstance(node.op, _MIXES) for node in nodes)
        if len(nodes) > 1 or not isinstance(nodes[0].op, _BETWEEN):
            strided = len(nodes) == 1 and isinstance(nodes[0].op, Conv | Depthwise) and _stride(nodes[0].op) > 1
        start, before = stop, nodes[-1].name
        if not isinstance(nodes[-1].op, Dropout):
            end = stop
    return [*ends, end] if mixes else ends


def _classifier_of(architecture: Architecture) -> str | None:
    try:
        return classifier(architecture).name
    except NetworkError:  # what makes the scores is no conv, so no map
        return None


def _stride(op: Op) -> int:
    if isinstance(op, Conv | Depthwise | Pool | Shortcut):
        return max(pair(op.stride))
    return op.block if isinstance(op, SpaceToDepth) else 1


def _reduces(nodes: tuple[Node, ...], shapes: tuple[Shape, Shape]) -> bool:
    """Whether these nodes make a map smaller, by other than missing padding."""
    (_, *before), (_, *after) = (shape[-3:] for shape in shapes)
    return any(a < b for a, b in zip(after, before, strict=True)) and any(_stride(node.op) > 1 for node in nodes)


def _is_head(architecture: Architecture, nodes: tuple[Node, ...], shapes: tuple[Shape, Shape]) -> bool:
    """Whether what the nodes give is no map, or one whose sides an adaptive pool fixes."""
    if not is_map(shapes[1]):
        return True
    pooled = [
        architecture.shapes[node.name][-2:] == shapes[1][-2:] for node in nodes if isinstance(node.op, AdaptivePool)
    ]
    # within a part, as of a squeeze-excite, only where the sides change
    return any(pooled) and (len(nodes) == 1 or shapes[0][-2:] != shapes[1][-2:])
