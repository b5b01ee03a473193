"""Borji's four approaches: every network that looks at a higher resolution at the same cost (section 3 of the paper).

- I: an average pool before the linear layers, and fewer units in the hidden one (`average`).
- II: a dilated first conv (`convs`).
- III: a larger kernel in the first conv, and a pool behind it (`convs`).
- IV: a larger kernel in the first conv, and another second conv (`convs`).

All values are enumerated as arrays but the width that makes up for the cost, which follows in closed form.
"""

from collections.abc import Mapping, Sequence

from search_spaces.architecture import Architecture
from search_spaces.compensation.apply import apply_solution, base_row
from search_spaces.compensation.average import layer_counts_average, pooled_side, solve_average
from search_spaces.compensation.convs import layer_counts, solve_convs
from search_spaces.compensation.coverage import count_coverages
from search_spaces.compensation.solutions import APPROACHES, COUNTS, Approach, Conditions, Ranges, Solutions
from search_spaces.windows import Windows

__all__ = [
    "APPROACHES",
    "COUNTS",
    "Approach",
    "Ranges",
    "Solutions",
    "apply_solution",
    "base_row",
    "count_coverages",
    "count_edited_layers",
    "pooled_side",
    "solve",
]


def solve(
    base: Architecture,
    approach: Approach,
    *,
    resolutions: Sequence[int],
    network: Windows | None = None,
    layer: Windows | None = None,
    ranges: Ranges | None = None,
) -> Solutions:
    """All networks that an approach makes of a base at these resolutions, with all costs within their windows.

    Windows map names of `COUNTS` to inclusive bounds (low, high); equality is (c, c). Those of `network` are on the
    whole network, those of `layer` on the layers that the approach edits, as the paper's equations count them (biases
    left out; FLOPs with the pool's): `count_edited_layers` has the base's. The set is complete: it holds exactly the
    networks that brute force over `ranges` and every width of 1 or more gives. Raises NetworkError where the base is
    not what the approach needs or the ranges are too wide, BudgetError where too many networks fit to be held.
    """
    conditions = Conditions(network=network or {}, layer=layer or {})
    if approach == "I":
        return solve_average(base, resolutions, conditions)
    return solve_convs(base, approach, resolutions, conditions, ranges or Ranges())


def count_edited_layers(base: Architecture, approach: Approach) -> Mapping[str, int]:
    """What the layers that an approach edits cost in the base, by the names of `COUNTS`, as the paper counts them."""
    return layer_counts_average(base) if approach == "I" else layer_counts(base, approach)
