"""What a network costs, exactly, and the upper bounds that it must keep."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from search_spaces.architecture import Architecture

COSTS = ("params", "macs", "activation_elements")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Counts for one image: parameters, multiply-adds, and the largest sum of one layer's inputs and outputs."""

    params: int
    macs: int
    activation_elements: int

    def to_json(self) -> dict[str, int]:
        """Plain data."""
        return asdict(self)


def count_cost(architecture: Architecture) -> Cost:
    """Exact cost of a network at its resolution."""
    layers = [(node.op, architecture.source_shape(node)) for node in architecture.nodes]
    return Cost(
        params=sum(op.params(source) for op, source in layers),
        macs=sum(op.macs(source) for op, source in layers),
        activation_elements=max(op.activation(source) for op, source in layers),
    )


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Upper bounds, by the names of `Cost`; what is not named is unbounded."""

    bounds: Mapping[str, int]

    def slack(self, cost: Cost) -> dict[str, int]:
        """Cost minus bound for every bound; a network is feasible when all are at most 0."""
        return {name: getattr(cost, name) - bound for name, bound in self.bounds.items()}
