"""Jobs: everything that changes a number, under an id that is the hash of exactly that."""

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

from search_spaces import Architecture, NasError, content_id, one_line
from trials.data import DataSettings, SplitName
from trials.prune_job import PruneJob, PruneResult
from trials.recipe import Recipe

Kind = Literal["train", "test", "scores"]
# Raise it when the training code changes what a job's numbers are: stored results are then not taken for new ones.
NUMBERS_VERSION = 2


class HaltingError(NasError):
    """What keeps a job from its result though nothing is wrong with the job, as a full disk."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Train a network and score it on validation, score trained weights on test, or keep the scores that they give.

    A training may end early, after `until` of the recipe's epochs: its schedule is that of the whole training, which
    can be continued later to the same numbers.
    """

    kind: Kind
    architecture: Architecture
    data: DataSettings
    images_id: str  # of the decoded images and their split: a changed dataset makes other jobs
    recipe: Recipe
    seed: int
    weights_sha256: str = ""  # of the weights to score; a training job has none
    start_sha256: str = ""  # of the weights that training starts from, where it does not start afresh
    until: int | None = None  # epochs after which a partial training ends
    split: SplitName | None = None  # whose class scores are kept, of a job that does this
    origin: "Job | None" = None  # the training whose network, narrowed to this one by magnitude, this one begins with

    def __post_init__(self) -> None:
        whole = self.until is None or (self.kind == "train" and 1 <= self.until < self.recipe.epochs)
        assert whole, f"a partial training ends after 1 to {self.recipe.epochs - 1} epochs, not {self.until}"

    @cached_property
    def id(self) -> str:
        """Content id: equal jobs have equal ids, in every search."""
        return content_id({"numbers_version": NUMBERS_VERSION, **self.to_json()})

    def scored_on_test(self, weights_sha256: str) -> "Job":
        """The job that scores the weights that this one made on the test split."""
        return replace(self, kind="test", weights_sha256=weights_sha256)

    def scores_on(self, split: SplitName, weights_sha256: str) -> "Job":
        """The job that keeps the class scores of all images of a split, of the weights that this one made."""
        return replace(self, kind="scores", split=split, weights_sha256=weights_sha256)

    def training(self) -> "Job":
        """The whole training that makes the weights, or that this one is the beginning of."""
        return replace(self, kind="train", weights_sha256="", until=None, split=None)

    def ending(self, epochs: int) -> "Job":
        """The training up to this epoch; the whole one where it is the last."""
        return replace(self, until=epochs if epochs < self.recipe.epochs else None)

    @property
    def epochs(self) -> int:
        """Epochs after which it ends."""
        return self.until or self.recipe.epochs

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` takes back."""
        start = {"start_sha256": self.start_sha256} if self.start_sha256 else {}  # ids from before it was there stay
        return {
            "kind": self.kind,
            "architecture": self.architecture.to_json(),
            "data": self.data.model_dump(include={"source", "split"}),  # images_id knows the rest
            "images_id": self.images_id,
            "recipe": self.recipe.model_dump(),
            "seed": self.seed,
            "weights_sha256": self.weights_sha256,
            **start,
            **({"until": self.until} if self.until else {}),
            **({"split": self.split} if self.split else {}),
            **({"origin": self.origin.to_json()} if self.origin else {}),
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Job":
        """The job that `to_json` wrote."""
        return Job(
            kind=data["kind"],
            architecture=Architecture.from_json(data["architecture"]),
            data=DataSettings.model_validate(data["data"]),
            images_id=data["images_id"],
            recipe=Recipe.model_validate(data["recipe"]),
            seed=data["seed"],
            weights_sha256=data["weights_sha256"],
            start_sha256=data.get("start_sha256", ""),
            until=data.get("until"),
            split=data.get("split"),
            origin=Job.from_json(data["origin"]) if "origin" in data else None,
        )


@dataclass(frozen=True, kw_only=True)
class RouteFigures:
    """Where the images of a split were answered, by exit [S]; thresholds [S - 1] and temperatures [S] as applied.

    `reached` counts the images that came to each exit, `macs` all of their multiply-adds. `ece` are the expected
    calibration errors of each exit on all images, before and after its temperature.
    """

    thresholds: tuple[float, ...]
    temperatures: tuple[float, ...]
    reached: tuple[int, ...]
    macs: int
    ece: tuple[tuple[float, float], ...]

    @staticmethod
    def from_json(data: dict[str, Any]) -> "RouteFigures":
        """What `asdict` made plain data."""
        lists = {name: tuple(data[name]) for name in ("thresholds", "temperatures", "reached")}
        return RouteFigures(**lists, macs=data["macs"], ece=tuple((before, after) for before, after in data["ece"]))


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """What a job found: `correct` of `images` of its split, and the hash of the weights that it made or used.

    `scores_sha256` is the hash of the class scores that it kept, `route` what it found where images leave at several
    exits. `losses` are the mean training losses of the epochs; `wall_seconds` is the time of the whole training, also
    of the part that an earlier job did, or its share where `members` were trained together. `micro_batch` is the number
    of images that it computed at once where memory was too short for what its recipe says, and 0 elsewhere: a step is
    over the same images then, while batch normalisation sees so many at a time.
    """

    correct: int
    images: int
    weights_sha256: str
    wall_seconds: float
    losses: tuple[float, ...] = ()
    members: int = 1
    scores_sha256: str = ""
    route: RouteFigures | None = None
    micro_batch: int = 0

    @property
    def accuracy(self) -> float:
        """Share of the images whose class was found."""
        return self.correct / self.images

    def attributes(self) -> dict[str, Any]:
        """What a trial shows of it."""
        less = {"micro_batch": self.micro_batch} if self.micro_batch else {}
        return {"wall_seconds": self.wall_seconds, "images": self.images, "members": self.members, **less}

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` takes back."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> "JobResult":
        """The result that `to_json` wrote."""
        route = data.get("route")
        return JobResult(
            **{**data, "losses": tuple(data.get("losses", ())), "route": route and RouteFigures.from_json(route)}
        )


@dataclass(frozen=True, kw_only=True)
class JobFailure:
    """Why a job has no result, in one line; a settled one would fail again, and is not tried again.

    One that `halts` is not the job's own: no other would fare better, as where the disk is full. One that
    was over a limit is settled as long as the `limits` are these.
    """

    message: str
    settled: bool = False
    halts: bool = False
    limits: str = ""

    def attributes(self) -> dict[str, Any]:
        """What a trial shows of it."""
        limits = {"limits": self.limits} if self.limits else {}
        return {"failure": self.message, "settled": self.settled, **limits}

    @staticmethod
    def of(error: Exception, *, settled: bool) -> "JobFailure":
        """What an error says, with its type."""
        if isinstance(error, HaltingError):
            return JobFailure(message=one_line(str(error))[:500], halts=True)
        return JobFailure(message=one_line(f"{type(error).__name__}: {error}")[:500], settled=settled)


Outcome = JobResult | PruneResult | JobFailure
AnyJob = Job | PruneJob


def read_job(data: dict[str, Any]) -> AnyJob:
    """The job that its `to_json` wrote."""
    return PruneJob.from_json(data) if data["kind"] == "prune" else Job.from_json(data)


def read_result(data: dict[str, Any]) -> JobResult | PruneResult:
    """The result that its `to_json` wrote."""
    return PruneResult.from_json(data) if "steps" in data else JobResult.from_json(data)
