"""The file that a person submits: read with a safe loader, every key checked."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from nas.base import BaseSpec
from nas.dynamic_spec import DynamicSpec
from nas.file_names import is_file_name
from nas.method_spec import CompensationSpec, StudySpec
from nas.racing import RaceSpec, rungs
from nas.ray_spec import RaySpec, take_moved
from nas.resolution_spec import ResolutionSpec
from nas.spec_errors import SpecError, explain
from nas.texts import MOST_YAML, TextError, check_letters, parse_yaml, read_text
from nas.width_spec import PruneSpec, WidthSpec
from search_spaces import LATENCY
from trials import DataSettings, Recipe
from trials.fields import Count, Real, parse_number
from trials.placement import Limits
from trials.recipe import OF_OPTIMIZER, PRESETS, Precision, PresetName
from trials.urls import drop_passwords

DEFAULT_STORAGE = "sqlite:///nas.db"
STORAGE_VARIABLE, CHECKPOINTS_VARIABLE = "NAS_STORAGE", "NAS_CHECKPOINTS"
Objective = Literal["accuracy", "params", "macs", "activation_elements", "latency_ms"]


def _bound(value: Any) -> str:
    """A bound as text: `1.5x` of the base's cost, or a number."""
    text = str(value).strip()
    number = parse_number(text.removesuffix("x"))
    if not 0 < number <= 10**15:
        raise ValueError("must be above 0 and at most 1e15")
    return text


def _safe_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise ValueError("must be 1 to 64 letters, digits, '.', '_' or '-', and begin with a letter or digit")
    if not is_file_name(value):
        raise ValueError(
            "must be a file's name on every system, so it may not end with '.', or be a device's of Windows"
        )
    return value


Bound = Annotated[str, BeforeValidator(_bound)]
MethodSpec = Annotated[CompensationSpec | ResolutionSpec | WidthSpec | DynamicSpec, Field(discriminator="name")]
_WHERE = {"device", "job_minutes", "job_memory_gb"}  # of `search`: where jobs run changes no number that is kept apart


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BudgetSpec(_Section):
    """Upper bounds on the whole network: numbers (0.58M, 300K, 1e6) or shares of the base's cost (1.0x)."""

    params: Bound | None = Field(None, description="Parameters.")
    macs: Bound | None = Field(
        None, description="Multiply-adds for one image; of networks with several exits their expectation."
    )
    macs_worst: Bound | None = Field(
        None, description="Multiply-adds for an image that comes to the last exit; of other networks their macs."
    )
    activation_elements: Bound | None = Field(
        None,
        validation_alias=AliasChoices("activation_elements", "activation"),
        description="Largest sum of one layer's inputs and outputs; also as activation.",
    )
    latency_ms: Bound | None = Field(
        None,
        validation_alias=AliasChoices("latency_ms", "latency"),
        description="Measured milliseconds for a batch, as `latency` says; also as latency.",
    )

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if all(value is None for _, value in self):
            raise ValueError(f"must name at least one of {', '.join(type(self).model_fields)}")
        return self


class LatencySpec(_Section):
    """How latency is measured: 80 batches after 20, one thread on a CPU; of all networks where the budget bounds it."""

    batch_size: Count = Field(1, ge=1, le=65536, description="Images in a batch whose latency is measured.")
    device: str = Field("cpu", description="Where latency is measured: cpu, cuda, cuda:1.")
    average: Literal["median", "mean"] = Field("median", description="Of the 80 batches; NeuralScale's authors: mean.")
    report: Annotated[bool, Field(strict=True)] = Field(
        False, description="Measure base and candidates also where the budget does not bound latency."
    )


class TrainSpec(Recipe):
    """How base and candidates are trained: a preset, and what is changed of it."""

    preset: PresetName = Field(
        "borji", description="A published recipe, or fast, which is ours; the other keys change what it says."
    )
    precision: Precision | Literal["auto"] = Field(  # type: ignore[assignment]
        "auto", description=Recipe.model_fields["precision"].description
    )
    seeds: Count = Field(3, ge=1, le=100, description="Every network is trained with the seeds 0, 1, ... below this.")
    confirm: Count = Field(
        3,
        ge=0,
        le=100,
        description="Fresh seeds with which base and front are trained again and judged by before a winner is named, "
        "so that the best of many is not luck; 0: the winner is named by the seeds that it was found with.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        """What the spec leaves out is the preset's."""
        if not isinstance(data, dict):
            return data
        filled = PRESETS.get(str(data.get("preset", "borji")), {})
        if data.get("schedule", "step") != "step":
            filled = {name: value for name, value in filled.items() if name != "milestones"}
        if data.get("optimizer", filled.get("optimizer")) != filled.get("optimizer"):
            if "learning_rate" not in data:
                raise ValueError("learning_rate must be given where optimizer is not the preset's")
            filled = {name: value for name, value in filled.items() if name not in OF_OPTIMIZER}
        return {**filled, **data}

    def recipe(self, precision: Precision) -> Recipe:
        """What of this changes a job's numbers; precision takes the place of auto."""
        values = {name: getattr(self, name) for name in Recipe.model_fields}
        return Recipe(**{**values, "precision": precision if self.precision == "auto" else self.precision})


class SearchSpec(_Section):
    """How much is searched, and on what."""

    max_candidates: Count = Field(
        12,
        ge=1,
        le=100_000,
        description="Networks that a method draws beside the base where it finds more; not of a study.",
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where workers train and score.")
    job_minutes: Real | None = Field(
        None, gt=0, le=10**6, description="A job that runs longer is ended, and the search goes on without it."
    )
    job_memory_gb: Real | None = Field(
        None,
        gt=0,
        le=10**6,
        description="A job whose process holds more (1e9 bytes, mapped images apart) is ended, and tried again as one "
        "that found no memory: alone, then with batches in parts.",
    )
    seed: Count = Field(0, ge=0, lt=2**32, description="Seed of the choice of candidates, and of prunings.")

    @property
    def limits(self) -> Limits:
        """What ends a job."""
        return Limits(minutes=self.job_minutes, memory_gb=self.job_memory_gb)


class Spec(_Section):
    """A search."""

    name: Annotated[str, AfterValidator(_safe_name)] = Field(description="Under which it is stored.")
    data: DataSettings = Field(description="Which images.")
    base: BaseSpec = Field(description="The network to beat.")
    budget: BudgetSpec = Field(description="What candidates may cost.")
    latency: LatencySpec = Field(LatencySpec(), description="How latency is measured.")
    methods: tuple[MethodSpec, ...] = Field(
        description="Where candidates come from, each method once; with none, the base alone is trained."
    )
    prune: PruneSpec = Field(PruneSpec(), description="How networks are pruned, by neuralscale and morphnet.")
    train: TrainSpec = Field(TrainSpec(), description="Training.")
    race: RaceSpec | None = Field(
        None,
        description="Short trainings of all candidates, long ones of the best; by default all are trained in full.",
    )
    study: StudySpec | None = Field(
        None,
        description="Many originals in place of the base, of which they have the hidden layer; each sets the budget.",
    )
    objectives: tuple[Objective, ...] = Field(("accuracy", "macs"), description="Of the Pareto front.")
    search: SearchSpec = Field(SearchSpec(), description="Size of the search.")
    ray: RaySpec = Field(RaySpec(), description="Where jobs run.")
    storage: Annotated[str, PlainSerializer(drop_passwords)] = Field(
        DEFAULT_STORAGE,
        repr=False,
        description="Database in which everything is kept: sqlite:///FILE or postgresql://USER@HOST/NAME; by default "
        "NAS_STORAGE, where it is set.",
    )
    checkpoints: str | None = Field(
        None,
        description="Folder of the weights, or URL as s3://bucket/folder, that all machines reach; by default "
        "NAS_CHECKPOINTS, or beside the SQLite file. A database keeps the first that it is given.",
    )

    @model_validator(mode="before")
    @classmethod
    def _moved(cls, data: Any) -> Any:
        return take_moved(data)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.objectives)) != len(self.objectives) or self.objectives[:1] != ("accuracy",):
            raise ValueError("objectives must begin with accuracy and name each one once")
        if LATENCY in self.objectives and not self.measures_latency:
            raise ValueError("objectives must hold latency_ms only where it is measured; set latency.report to true")
        if len(self.objectives) < 2:
            raise ValueError("objectives must hold accuracy and at least one cost")
        if self.race is not None and len(rungs(self.train.epochs, self.race)) < 2:
            raise ValueError("race.min_epochs must be below train.epochs, or there is nothing to compare early")
        names = [method.name for method in self.methods]
        if len(set(names)) != len(names):
            raise ValueError("methods must name each method once")
        if self.race is not None and "magnitude" in names:
            raise ValueError("race must not be given with magnitude among methods, whose network is no fresh one")
        if self.study is not None:
            self._check_study(self.study)
        return self

    def _check_study(self, study: StudySpec) -> None:
        if self.base.network != "lenet" or [method.name for method in self.methods] != ["compensation"]:
            raise ValueError("study must have lenet as base.network, and compensation as the only one of methods")
        if self.race is not None or self.train.confirm:
            raise ValueError("study must have no race and train.confirm 0, as it scores every network on test")
        if self.budget.latency_ms is not None:
            raise ValueError("study must have a budget without latency_ms, as it measures no network")
        if len(set(study.resolutions)) != len(study.resolutions):
            raise ValueError("study.resolutions must name each one once")

    @property
    def measures_latency(self) -> bool:
        """Whether networks are timed: because the budget bounds it, or to report it."""
        return self.budget.latency_ms is not None or self.latency.report

    def meaning(self) -> dict[str, Any]:
        """All that decides which jobs are run; two specs of one search must agree on it."""
        return self.model_dump(
            mode="json",
            exclude={"storage": True, "checkpoints": True, "ray": True, "search": _WHERE, "data": {"memory_share"}},
        )


def read_spec(path: Path) -> Spec:
    """The checked spec of a YAML file; raises SpecError with one line for anything else."""
    try:
        data = parse_yaml(read_text(path, "a spec must be a readable YAML file", MOST_YAML), str(path))
    except TextError as error:
        raise SpecError(str(error)) from error
    for key, variable in {"storage": STORAGE_VARIABLE, "checkpoints": CHECKPOINTS_VARIABLE}.items():
        if variable in os.environ and isinstance(data, dict):
            data.setdefault(key, os.environ[variable])
    return parse_spec(data, origin=str(path))


def parse_spec(data: Any, *, origin: str) -> Spec:
    """The checked spec of plain data; raises SpecError, naming the origin."""
    if not isinstance(data, dict):
        raise SpecError(f"{origin} must hold keys such as name, data and base, but holds {type(data).__name__}")
    try:
        spec = Spec.model_validate(data)
        check_letters(data, origin)
        return spec
    except TextError as error:
        raise SpecError(str(error)) from error
    except ValidationError as error:
        raise SpecError(f"{origin}: {explain(error, Spec)}") from error
