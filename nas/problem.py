"""A spec made concrete: the base network, what it costs, and the budget in numbers."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from math import floor, inf
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nas.base import base_network
from nas.spec import Spec
from nas.spec_errors import SpecError
from nas.width_spec import WIDTH_METHODS
from search_spaces import (
    COSTS,
    LATENCY,
    MACS_WORST,
    Architecture,
    Budget,
    Cost,
    base_row,
    content_id,
    count_cost,
    count_coverage,
)
from trials import Job
from trials.data import SourceFacts, SplitName, split_sizes
from trials.fields import parse_number
from trials.recipe import Precision
from trials.source_facts import describe_source

BASE_METHOD = "base"
_CHOICE = {
    "conv1_channels": "channels1",
    "conv1_kernel": "kernel1",
    "conv1_stride": "stride1",
    "conv1_padding": "padding1",
    "conv1_dilation": "dilation1",
    "pool_kernel": "pool_kernel",
    "pool_stride": "pool_stride",
    "pool_padding": "pool_padding",
    "conv2_channels": "filters2",
    "conv2_kernel": "kernel2",
    "conv2_stride": "stride2",
    "conv2_padding": "padding2",
    "hidden_units": "units",
}
LatencyOf: TypeAlias = Callable[[Architecture], float]


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """How a network is trained that begins with the base's weights, narrowed: at a constant learning rate."""

    epochs: int
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A network that a method proposes: where it comes from, what was chosen in it, what it costs."""

    method: str
    choice: Mapping[str, int | float]
    architecture: Architecture
    cost: Cost
    latency_ms: float | None = None  # measured only where the spec asks for it
    share: float | None = None  # of the budget, where a method scales to one
    extrapolated: bool | None = None  # whether its widths were read off a law outside of what was recorded
    is_part: bool = False  # whether it is trained for a dynamic network, and may itself be above the budget
    found_by: str = ""  # its method's name in the spec; "" where `method` begins with it
    tuning: FineTuning | None = None  # of one that begins with the base's trained weights, and not afresh
    # in a study, which has many bases: the id of the one that this network is compared with, and the bounds it sets
    original: str = ""
    bounds: Mapping[str, float] | None = None

    @property
    def costs(self) -> dict[str, float]:
        """What a budget can bound."""
        measured = {} if self.latency_ms is None else {LATENCY: self.latency_ms}
        return {**self.cost.bounded(), **measured}

    @cached_property
    def coverage(self) -> float:
        """Share of an image's columns, and rows, that reach the output."""
        return round(count_coverage(self.architecture), 4)

    @property
    def is_scaled(self) -> bool:
        """Whether its widths were scaled to the budget, and all else is the base's."""
        return self.family in WIDTH_METHODS

    @property
    def family(self) -> str:
        """The method without iteration, share and numbers: Optuna wants to know all of them from the first trial on."""
        if self.found_by:
            return self.found_by
        name = self.method.partition(" ")[0]
        return name.partition("-")[0] if "iteration" in self.choice else name

    @property
    def id(self) -> str:
        """The architecture's content id; another one where the training is not the usual one."""
        if self.tuning is None:
            return self.architecture.id
        return content_id({"architecture": self.architecture.id, "tuning": asdict(self.tuning)})

    def to_stored(self) -> dict[str, Any]:
        """Plain data that `from_stored` takes back."""
        stored = {"method": self.method, "choice": dict(self.choice), "architecture": self.architecture.to_json()}
        tuning = self.tuning and asdict(self.tuning)
        optional = {
            LATENCY: self.latency_ms,
            "original": self.original or None,
            "bounds": self.bounds,
            "tuning": tuning,
            "extrapolated": self.extrapolated,
            "share": self.share,
            "found_by": self.found_by or None,
        }
        return stored | {name: value for name, value in optional.items() if value is not None}

    @staticmethod
    def from_stored(data: dict[str, Any]) -> "Candidate":
        """The candidate of a stored search."""
        architecture = Architecture.from_json(data["architecture"])
        return Candidate(
            method=data["method"],
            choice=data["choice"],
            architecture=architecture,
            cost=count_cost(architecture),
            latency_ms=data.get(LATENCY),
            original=data.get("original", ""),
            bounds=data.get("bounds"),
            tuning=FineTuning(**data["tuning"]) if "tuning" in data else None,
            extrapolated=data.get("extrapolated"),
            share=data.get("share"),
            found_by=data.get("found_by", ""),
        )

    def to_json(self) -> dict[str, Any]:
        """What listings show of it."""
        return {
            "id": self.id,
            "method": self.method,
            "resolution": self.architecture.resolution,
            **self.cost.to_json(),
            **self.costs,
            "coverage": self.coverage,
            **({"original": self.original} if self.original else {}),
            **({"tuning": asdict(self.tuning)} if self.tuning else {}),
            **({} if self.extrapolated is None else {"extrapolated": self.extrapolated}),
            **({} if self.share is None else {"share": self.share}),
            "choice": dict(self.choice),
        }


@dataclass(frozen=True, kw_only=True)
class CandidateSet:
    """What a method found: how many networks it looked at, every feasible one's costs [T, 3], and the chosen.

    `feasible` counts the latter by the names that listings show; `choice` says how the chosen ones were. `base_choice`
    is what the method would have chosen to get the base.
    """

    enumerated: int
    costs: NDArray[np.int64]
    chosen: tuple[Candidate, ...]
    feasible: Mapping[str, int] = field(default_factory=dict)
    choice: str = ""
    base_choice: Mapping[str, int | float] = field(default_factory=dict)

    def __add__(self, other: "CandidateSet") -> "CandidateSet":
        """What two methods found."""
        return CandidateSet(
            enumerated=self.enumerated + other.enumerated,
            costs=np.concatenate([self.costs, other.costs]),
            chosen=(*self.chosen, *other.chosen),
            feasible={**self.feasible, **other.feasible},
            choice="; ".join(choice for choice in (self.choice, other.choice) if choice),
            base_choice={**other.base_choice, **self.base_choice},
        )


NOTHING = CandidateSet(enumerated=0, costs=np.empty((0, len(COSTS)), np.int64), chosen=())


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A spec with its base built and its bounds resolved."""

    spec: Spec
    source: SourceFacts
    base: Candidate
    budget: Budget
    routed: Mapping[str, float] = field(default_factory=dict)  # bounds on dynamic networks, macs on their expectation
    latency_of: LatencyOf | None = None  # measures a network, in milliseconds; there where the spec asks for it
    # both set when the search begins:
    start_sha256: str = ""  # of the weights that the base's training starts from
    precision: Precision = "fp32"  # where the spec says auto

    @property
    def sizes(self) -> dict[SplitName, int]:
        """Images in each split."""
        return split_sizes(self.spec.data.split, self.source)

    @property
    def counted_bounds(self) -> dict[str, float]:
        """The budget's bounds on what is counted, without latency."""
        return {name: bound for name, bound in self.budget.bounds.items() if name in COSTS}

    def measured(self, candidate: Candidate) -> Candidate:
        """The candidate with its latency, where the spec asks for it."""
        if candidate.latency_ms is not None or not self.spec.measures_latency:
            return candidate
        assert self.latency_of is not None, "latency needs someone to measure"
        return replace(candidate, latency_ms=self.latency_of(candidate.architecture))

    def jobs(self, network: Candidate, images_id: str) -> list[Job]:
        """A network's training jobs on the dataset of this id, one a seed: those it is found with, then fresh ones."""
        return [self._job(network, images_id, seed) for seed in range(self.spec.train.seeds + self.spec.train.confirm)]

    def _job(self, network: Candidate, images_id: str, seed: int) -> Job:
        recipe = self.spec.train.recipe(self.precision)
        tuning = network.tuning
        return Job(
            kind="train",
            architecture=network.architecture,
            data=self.spec.data,
            images_id=images_id,
            recipe=recipe if tuning is None else recipe.constant(tuning.epochs, tuning.learning_rate),
            seed=seed,
            start_sha256=self.start_sha256 if network.id == self.base.id else "",
            origin=None if tuning is None else self._job(self.base, images_id, seed),
        )


def make_problem(spec: Spec, *, allow_code: bool = False, latency_of: LatencyOf | None = None) -> Problem:
    """Raises SpecError for a base that cannot exist or that sees more than the data hold.

    `latency_of` measures a network; it is called only where the spec asks for it.
    """
    source = describe_source(spec.data)
    _check_sizes(spec, source)
    side = spec.base.resolution
    if side > source.side:
        raise SpecError(f"base.resolution must be at most {spec.data.source}'s native {source.side} px, but got {side}")
    network = base_network(spec.base, source, allow_code=allow_code)
    made = Candidate(
        method=BASE_METHOD, choice=choice_of(base_row(network)), architecture=network, cost=count_cost(network)
    )
    unbound = Problem(spec=spec, source=source, base=made, budget=Budget(bounds={}), latency_of=latency_of)
    base = unbound.measured(made)
    routed = resolve_bounds(spec, base.costs)
    return replace(unbound, base=base, budget=resolve_budget(spec, base.costs), routed=routed)


def _check_sizes(spec: Spec, source: SourceFacts) -> None:
    for name, size in split_sizes(spec.data.split, source).items():
        if size < source.classes:
            raise SpecError(
                f"data.split must leave {source.classes} images or more for each part, but {name} gets {size}"
            )


def choice_of(row: Mapping[str, int]) -> dict[str, int]:
    """The chosen values of a solution's row, under the names that trials show."""
    return {shown: row[name] for shown, name in _CHOICE.items() if name in row}


def parse_bound(text: str, base: float) -> Fraction:
    """The number that a bound's text says: 300K, or 1.5x what the base costs. Raises ValueError for other texts."""
    number = parse_number(text.removesuffix("x"))
    return number * Fraction(base) if text.endswith("x") else number


def resolve_bounds(spec: Spec, base: Mapping[str, float]) -> dict[str, float]:
    """The budget's bounds as numbers, where the base costs this much; a share of macs_worst is one of its macs."""
    bounds: dict[str, float] = {}
    for name in type(spec.budget).model_fields:
        text = getattr(spec.budget, name)
        if text is not None:
            bound = parse_bound(text, base["macs" if name == MACS_WORST else name])
            bounds[name] = round(float(bound), 6) if name == LATENCY else floor(bound)
            if bounds[name] <= 0:
                raise SpecError(f"budget.{name} must be at least 1, but {text} of the base is {bounds[name]}")
    return bounds


def resolve_budget(spec: Spec, base: Mapping[str, float]) -> Budget:
    """What networks keep all of which runs for every image: their macs are the worst case, too."""
    bounds = resolve_bounds(spec, base)
    worst = bounds.pop(MACS_WORST, inf)
    return Budget(bounds=bounds if worst == inf else {**bounds, "macs": min(worst, bounds.get("macs", inf))})
