"""Pruning as a job: what changes its record, and the record itself. G width groups."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from search_spaces import Architecture, content_id
from trials.data import DataSettings
from trials.prune_settings import PruneSettings

# Raise it when the pruning code changes what a record is: stored records are then not taken for new ones.
RECORD_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class PruneRow:
    """The widths [G] after a step, and what the network of these widths costs.

    The costs are those of a new network of these widths, for which the record is fitted: of its shortcuts, those
    between unequal widths are convs. The shrunk one has the identity there still, and the channels that an Expand
    began with.
    """

    step: int
    widths: tuple[int, ...]
    params: int
    macs: int
    activation_elements: int

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` takes back."""
        return asdict(self) | {"widths": list(self.widths)}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "PruneRow":
        """The row that `to_json` wrote."""
        return PruneRow(**{**data, "widths": tuple(data["widths"])})


@dataclass(frozen=True, kw_only=True)
class PruneJob:
    """Train a network a little, then remove its channels step by step (NeuralScale, Algorithm 1)."""

    architecture: Architecture
    data: DataSettings
    images_id: str  # of the decoded images and their split
    settings: PruneSettings
    seed: int
    start_sha256: str = ""  # of the weights that the training before it starts from
    kind: Literal["prune"] = "prune"

    @cached_property
    def id(self) -> str:
        """Content id: equal jobs have equal ids, in every search."""
        return content_id({"record_version": RECORD_VERSION, **self.to_json()})

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` takes back."""
        return {
            "kind": self.kind,
            "architecture": self.architecture.to_json(),
            "data": self.data.model_dump(include={"source", "split"}),  # images_id knows the rest
            "images_id": self.images_id,
            "settings": self.settings.model_dump(),
            "seed": self.seed,
            "start_sha256": self.start_sha256,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> "PruneJob":
        """The job that `to_json` wrote."""
        return PruneJob(
            architecture=Architecture.from_json(data["architecture"]),
            data=DataSettings.model_validate(data["data"]),
            images_id=data["images_id"],
            settings=PruneSettings.model_validate(data["settings"]),
            seed=data["seed"],
            start_sha256=data["start_sha256"],
        )


@dataclass(frozen=True, kw_only=True)
class PruneResult:
    """The widths after every step; the record that a law is fitted to begins with step `first_recorded`.

    `losses` are the mean losses of the steps, `pretraining_losses` of the epochs before. `without_norm` names the
    groups whose gates stand behind a layer itself, for want of a batch norm; `left_out` those that cannot lose
    channels, and why.
    """

    steps: tuple[PruneRow, ...]
    first_recorded: int | None
    losses: tuple[float, ...]
    pretraining_losses: tuple[float, ...]
    wall_seconds: float
    without_norm: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[PruneRow, ...]:
        """The record: from the step on after which every group has lost a channel; empty where there is none."""
        first = self.first_recorded
        return () if first is None else tuple(row for row in self.steps if row.step >= first)

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` takes back."""
        return {**asdict(self), "left_out": dict(self.left_out), "steps": [row.to_json() for row in self.steps]}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "PruneResult":
        """The result that `to_json` wrote."""
        lists = {name: tuple(data[name]) for name in ("losses", "pretraining_losses", "without_norm")}
        return PruneResult(**{**data, **lists, "steps": tuple(map(PruneRow.from_json, data["steps"]))})
