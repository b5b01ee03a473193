"""A spec made concrete: the base network, what it costs, and the budget in numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.spec import Spec
from nas.spec_errors import SpecError
from search_spaces import COSTS, Architecture, Budget, Conv, Cost, LeNet, NetworkError, count_cost
from trials import SOURCES, Job
from trials.fields import parse_number

BASE_METHOD = "base"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A network that a method proposes: where it comes from, what was chosen in it, what it costs."""

    method: str
    choice: Mapping[str, int]
    architecture: Architecture
    cost: Cost

    @property
    def id(self) -> str:
        """The architecture's content id."""
        return self.architecture.id

    def to_stored(self) -> dict[str, Any]:
        """Plain data that `from_stored` takes back."""
        return {"method": self.method, "choice": dict(self.choice), "architecture": self.architecture.to_json()}

    @staticmethod
    def from_stored(data: dict[str, Any]) -> "Candidate":
        """The candidate of a stored search."""
        architecture = Architecture.from_json(data["architecture"])
        return Candidate(
            method=data["method"], choice=data["choice"], architecture=architecture, cost=count_cost(architecture)
        )

    def to_json(self) -> dict[str, Any]:
        """What listings show of it."""
        return {
            "id": self.id,
            "method": self.method,
            "resolution": self.architecture.resolution,
            **self.cost.to_json(),
            "choice": dict(self.choice),
        }


@dataclass(frozen=True, kw_only=True)
class CandidateSet:
    """What a method found: how many networks it looked at, every feasible one's costs [T, 3], and the chosen."""

    enumerated: int
    costs: NDArray[np.int64]
    chosen: tuple[Candidate, ...]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A spec with its base built and its bounds resolved."""

    spec: Spec
    base: Architecture
    base_cost: Cost
    budget: Budget

    def jobs(self, architecture: Architecture, images_id: str) -> list[Job]:
        """A network's training jobs on the dataset of this id, one a seed."""
        data, recipe = self.spec.data, self.spec.train.recipe
        return [
            Job(kind="train", architecture=architecture, data=data, images_id=images_id, recipe=recipe, seed=seed)
            for seed in range(self.spec.train.seeds)
        ]


def make_problem(spec: Spec) -> Problem:
    """Raises SpecError for a base that cannot exist or that sees more than the data hold."""
    source = SOURCES[spec.data.source]
    side = spec.base.resolution
    if side > source.side:
        raise SpecError(f"base.resolution must be at most {spec.data.source}'s native {source.side} px, but got {side}")
    try:
        lenet = LeNet(
            conv1=_conv(spec.base.conv1.model_dump()),
            conv2=_conv(spec.base.conv2.model_dump()),
            hidden=spec.base.hidden,
            pool=spec.base.pool,
        )
        base = lenet.architecture((source.channels, side, side), source.classes)
    except NetworkError as error:
        raise SpecError(f"base: {error}") from error
    cost = count_cost(base)
    return Problem(spec=spec, base=base, base_cost=cost, budget=_resolve_budget(spec, cost))


def _conv(values: dict[str, int]) -> Conv:
    return Conv(
        out_channels=values["channels"],
        kernel=values["kernel"],
        stride=values["stride"],
        padding=values["padding"],
    )


def _resolve_budget(spec: Spec, base: Cost) -> Budget:
    bounds = {}
    for name in COSTS:
        text = getattr(spec.budget, name)
        if text is not None:
            number = parse_number(text.removesuffix("x"))
            bounds[name] = floor(number * getattr(base, name) if text.endswith("x") else number)
            if bounds[name] < 1:
                raise SpecError(f"budget.{name} must be at least 1, but {text} of the base is {bounds[name]}")
    return Budget(bounds=bounds)
