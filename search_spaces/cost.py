"""What a network costs, exactly, and the upper bounds that it must keep."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod

from search_spaces.architecture import INPUT, Architecture
from search_spaces.errors import BudgetError
from search_spaces.ops import Shape

COSTS = ("params", "macs", "activation_elements")  # what is counted, and a budget can bound before anything is built
MACS_WORST = "macs_worst"  # of a network with several exits: multiply-adds where all of it runs
LATENCY_WORST = "latency_worst_ms"  # of such a network: the same
LATENCY = "latency_ms"  # what is measured, and a budget can bound


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Counts for one image, all exact.

    `activation_elements` is the largest sum of one layer's inputs and outputs; `peak_activation_elements` the most
    that is alive at once when the nodes run in their order; `flops` are multiply-adds and bias additions (Borji eq. 5).
    """

    params: int
    macs: int
    activation_elements: int
    flops: int
    peak_activation_elements: int

    def to_json(self) -> dict[str, int]:
        """Plain data."""
        return asdict(self)

    def bounded(self) -> dict[str, int]:
        """The counts that a budget can bound, by the names of `COSTS`."""
        return {name: getattr(self, name) for name in COSTS}


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """One node's share; params, MACs and FLOPs add up to the network's."""

    name: str
    kind: str
    shape: Shape
    params: int
    macs: int
    flops: int
    activation_elements: int

    def to_json(self) -> dict[str, object]:
        """Plain data."""
        return asdict(self) | {"shape": list(self.shape)}


def layer_costs(architecture: Architecture) -> list[LayerCost]:
    """Exact cost of every node, in execution order."""
    layers = []
    for node in architecture.nodes:
        sources, out = architecture.source_shapes(node), architecture.shapes[node.name]
        layers.append(
            LayerCost(
                name=node.name,
                kind=node.op.kind,
                shape=out,
                params=node.op.params(sources, out),
                macs=node.op.macs(sources, out),
                flops=node.op.flops(sources, out),
                activation_elements=node.op.activation(sources, out),
            )
        )
    return layers


def count_cost(architecture: Architecture) -> Cost:
    """Exact cost of a network at its resolution."""
    layers = layer_costs(architecture)
    return Cost(
        params=sum(layer.params for layer in layers),
        macs=sum(layer.macs for layer in layers),
        activation_elements=max(layer.activation_elements for layer in layers),
        flops=sum(layer.flops for layer in layers),
        peak_activation_elements=count_peak(architecture),
    )


def count_peak(architecture: Architecture) -> int:
    """Most elements alive at once when the nodes run in their order.

    A value lives from the node that writes it to the last one that reads it. A layer that works in place takes over
    its first input where that is read for the last time, and needs memory of its own where it is not.
    """
    last_read = architecture.last_reads()
    alive = {INPUT: prod(architecture.input)}
    peak = 0
    for i, node in enumerate(architecture.nodes):
        first = architecture.reads(node)[0]
        takes_over = last_read[first] == i and node.op.takes_over(architecture.source_shapes(node))
        written = prod(architecture.shapes[node.name])
        peak = max(peak, sum(alive.values()) + (0 if takes_over else written))
        alive[node.name] = written
        alive = {name: elements for name, elements in alive.items() if last_read.get(name, i) > i}
    return peak


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Upper bounds on any of `COSTS` and `LATENCY`; what is not named is unbounded."""

    bounds: Mapping[str, float]

    def slack(self, costs: Mapping[str, float]) -> dict[str, float]:
        """Cost minus bound for every bound; a network is feasible when all are at most 0. Milliseconds to 6 digits."""
        return {name: round(costs[name] - bound, 6) for name, bound in self.bounds.items()}

    def keeps(self, costs: Mapping[str, float]) -> bool:
        """Whether no bound is exceeded."""
        return all(slack <= 0 for slack in self.slack(costs).values())


def check_bounds(bounds: Mapping[str, float]) -> None:
    """Raise BudgetError unless these are positive numbers by the names of `COSTS`."""
    for name, bound in bounds.items():
        if name not in COSTS:
            raise BudgetError(f"a budget must bound {', '.join(COSTS)}, but names {name!r}")
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not 0 < bound < float("inf"):
            raise BudgetError(f"{name} must be a positive number, but the bound is {bound!r}")
