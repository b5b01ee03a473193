"""Shapes of a network whose widths are not numbers: polynomials, or arrays of many candidates' widths."""

from collections.abc import Mapping, Sequence

from search_spaces.formulas import Integers
from search_spaces.ops import Shape, is_map
from search_spaces.width_groups import FIXED, WidthGroups


def symbolic_shapes(
    shapes: Mapping[str, Shape], groups: WidthGroups, widths: Sequence[Integers]
) -> Mapping[str, Shape]:
    """A network's shapes, with channels as a sum of these widths, one a group; sides are as they were."""
    return {name: _symbolic(groups, name, shape, widths) for name, shape in shapes.items()}


def _symbolic(groups: WidthGroups, name: str, shape: Shape, widths: Sequence[Integers]) -> Shape:
    channels: Integers = 0
    for run in groups.runs[name]:
        channels = channels + run.repeat * (1 if run.group == FIXED else widths[run.group])
    return (*shape[:-3], channels, *shape[-2:]) if is_map(shape) else (*shape[:-1], channels)
