"""What a network is, what it costs, and which ones exist.

Torch is imported by `build`, `fuse`, `fused_layers`, `magnitude`, `modules`, `routing`, `shrink`, `taylor`, `trace` and
`torchvision_networks` alone, which are therefore imported by their own names.
"""

from search_spaces.architecture import INPUT, Architecture, Node, canonical_json, content_id
from search_spaces.compensation import (
    APPROACHES,
    COUNTS,
    Approach,
    Ranges,
    Solutions,
    apply_solution,
    base_row,
    count_coverages,
    count_edited_layers,
    pooled_side,
    solve,
)
from search_spaces.cost import (
    COSTS,
    LATENCY,
    LATENCY_WORST,
    MACS_WORST,
    Budget,
    Cost,
    LayerCost,
    count_cost,
    layer_costs,
)
from search_spaces.coverage import count_coverage
from search_spaces.errors import BudgetError, FitError, NasError, NetworkError, one_line
from search_spaces.ops import Activation, Conv, Dropout, Flatten, Linear, Pool
from search_spaces.spread import choose_spread
from search_spaces.windows import relative_miss, window
from search_spaces.zoo.lenet import LeNet

__all__ = [
    "APPROACHES",
    "COSTS",
    "COUNTS",
    "INPUT",
    "LATENCY",
    "LATENCY_WORST",
    "MACS_WORST",
    "Activation",
    "Approach",
    "Architecture",
    "Budget",
    "BudgetError",
    "Conv",
    "Cost",
    "Dropout",
    "FitError",
    "Flatten",
    "LayerCost",
    "LeNet",
    "Linear",
    "NasError",
    "NetworkError",
    "Node",
    "Pool",
    "Ranges",
    "Solutions",
    "apply_solution",
    "base_row",
    "canonical_json",
    "choose_spread",
    "content_id",
    "count_cost",
    "count_coverage",
    "count_coverages",
    "count_edited_layers",
    "layer_costs",
    "one_line",
    "pooled_side",
    "relative_miss",
    "solve",
    "window",
]
