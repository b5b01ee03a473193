"""NeuralScale's architecture descent (Lee and Lee 2020, Algorithm 4), as a function of the prunings that are known.

An iteration prunes a network (Algorithm 1), fits a power law to the record (2) and scales the base along it to what the
base costs (3): the next iteration prunes that, from fresh weights. G width groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm
from typing import Any

from nas.problem import Problem
from nas.scaled import least_widths
from nas.width_spec import MorphNetSpec, NeuralScaleSpec
from search_spaces import Architecture, BudgetError, FitError
from search_spaces.batch_cost import BatchCost
from search_spaces.power_law import PowerLaw, fit_power_law, uniform_law
from search_spaces.scaling import scale_to
from search_spaces.tau_descent import descend_tau
from search_spaces.widths import with_widths
from trials.prune_job import PruneJob, PruneResult


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """A pruning of a network of `begun` widths [G], the law, and the widths that it gives at the base's cost.

    Where no law could be fitted, `unfitted` says why, and the law is the uniform one. `tau` is where the widths were
    read off, `change` what of the widths changed, as a share.
    """

    number: int
    job_id: str
    begun: tuple[int, ...]
    law: PowerLaw
    unfitted: str
    widths: tuple[int, ...]
    tau: float
    change: float
    record: PruneResult

    @property
    def beyond(self) -> float:
        """How many times tau is above the largest recorded one; 1 where it is not."""
        return max(1.0, self.tau / self.law.tau_range[1]) if self.law.tau_range else 1.0

    def to_json(self) -> dict[str, Any]:
        """Plain data; the record itself stands with its job."""
        return {
            "iteration": self.number,
            "job_id": self.job_id,
            "begun": list(self.begun),
            "law": self.law.to_json(),
            "unfitted": self.unfitted,
            "widths": list(self.widths),
            "tau": self.tau,
            "extrapolated": self.law.extrapolates(self.tau),
            "change": self.change,
            "steps": len(self.record.steps),
            "seconds": self.record.wall_seconds,
            "without_norm": list(self.record.without_norm),
            "left_out": dict(self.record.left_out),
        }


@dataclass(frozen=True, kw_only=True)
class Descent:
    """The iterations that are done, the pruning that comes next, or why there is none."""

    iterations: tuple[Iteration, ...]
    wanted: PruneJob | None
    ended: str

    def trained(self, which: str) -> list[Iteration]:
        """Of these iterations networks are trained, as far as it is known that they are."""
        if which == "all":
            return list(self.iterations)
        ends = self.iterations[:1] if which == "first-and-last" else ()
        last = self.iterations[-1:] if self.wanted is None and self.ended else ()
        return list({one.number: one for one in (*ends, *last)}.values())


def descend(
    problem: Problem,
    settings: NeuralScaleSpec,
    images_id: str,
    records: Mapping[str, PruneResult],
    failed: Mapping[str, str],
) -> Descent:
    """As many iterations as the records, by job id, allow; `failed` are prunings that will have none, and why."""
    base = problem.base.architecture
    batch = BatchCost(base)
    widths, done = batch.groups.widths, list[Iteration]()
    floors = least_widths(problem, settings)
    bound: dict[str, float] = {settings.tau: problem.base.cost.bounded()[settings.tau]}
    for number in range(1, settings.iterations + 1):
        network = with_widths(base, widths, batch.groups)
        job = prune_job(problem, network, images_id)
        if job.id not in records:
            ended = f"iteration {number} failed: {failed[job.id]}" if job.id in failed else ""
            return Descent(iterations=tuple(done), wanted=None if ended else job, ended=ended)
        law, unfitted = fit_record(network, records[job.id], settings.tau)
        try:
            tau, scaled = _scaled(batch, law, bound, settings, floors)
        except BudgetError as error:
            return Descent(iterations=tuple(done), wanted=None, ended=f"iteration {number}: {error}")
        change = sum(abs(new - old) for new, old in zip(scaled, widths, strict=True)) / sum(widths)
        done.append(
            Iteration(
                number=number,
                job_id=job.id,
                begun=widths,
                law=law,
                unfitted=unfitted,
                widths=scaled,
                tau=tau,
                change=change,
                record=records[job.id],
            )
        )
        widths = scaled
        if unfitted:
            ended = f"iteration {number} gave no fit, so its network is scaled uniformly"
            return Descent(iterations=tuple(done), wanted=None, ended=ended)
        if change <= settings.threshold:
            ended = f"iteration {number} changed the widths by {change:.1%}, no more than {settings.threshold:.1%}"
            return Descent(iterations=tuple(done), wanted=None, ended=ended)
    return Descent(iterations=tuple(done), wanted=None, ended=f"all {settings.iterations} iterations are done")


def _scaled(
    batch: BatchCost, law: PowerLaw, bound: Mapping[str, float], settings: NeuralScaleSpec, floors: Sequence[int]
) -> tuple[float, tuple[int, ...]]:
    """tau and the widths [G] there, at the base's cost."""
    if settings.solver == "sgd" and law.cost == settings.tau:  # the uniform law counts params
        found = descend_tau(batch, law, int(bound[settings.tau]))
        steps = [lcm(group.divisor, settings.multiple) for group in batch.groups.groups]
        rows = zip(found.widths, floors, steps, strict=True)
        return found.tau, tuple(max(width // step, -(-least // step)) * step for width, least, step in rows)
    exact = scale_to(batch, law, bound, floors=floors, multiple=settings.multiple)
    return exact.tau, exact.widths


def prune_job(problem: Problem, network: Architecture, images_id: str, **changes: Any) -> PruneJob:
    """The pruning of a network as the spec says, with changes; the base itself starts from its given weights."""
    return PruneJob(
        architecture=network,
        data=problem.spec.data,
        images_id=images_id,
        settings=problem.spec.prune.settings(**changes),
        seed=problem.spec.search.seed,
        start_sha256=problem.start_sha256 if network.id == problem.base.id else "",
    )


def fit_record(network: Architecture, record: PruneResult, tau: str) -> tuple[PowerLaw, str]:
    """The law of a record; where it cannot be fitted, the uniform law of the network, and why."""
    rows = record.rows
    if not rows:
        return uniform_law(network), (
            f"recording begins when every group has lost a channel, but the pruning ended before, after "
            f"{len(record.steps)} steps; set prune.at_floor to leave-out, or prune.channels lower"
        )
    try:
        return fit_power_law([row.widths for row in rows], [getattr(row, tau) for row in rows], tau), ""
    except FitError as error:
        return uniform_law(network), str(error)


@dataclass(frozen=True, kw_only=True)
class Halving:
    """MorphNet's one pruning: the widths [G] that it leaves, None before it is done, and what is still wanted."""

    widths: tuple[int, ...] | None
    job_id: str
    wanted: PruneJob | None
    left: float  # share of the channels
    ended: str


def halve(
    problem: Problem,
    settings: MorphNetSpec,
    images_id: str,
    records: Mapping[str, PruneResult],
    failed: Mapping[str, str],
) -> Halving:
    """The first step of a pruning of the base after which no more than the wanted share of its channels is left.

    The record of NeuralScale's first iteration, which prunes the same network further, serves where there is one.
    """
    base = problem.base.architecture
    shared = any(method.name == "neuralscale" for method in problem.spec.methods)
    enough = problem.spec.prune.stop_share >= 1 - settings.left
    changes = {} if shared and enough else {"stop_share": 1 - settings.left}
    job = prune_job(problem, base, images_id, **changes)
    if job.id not in records:
        ended = f"its pruning failed: {failed[job.id]}" if job.id in failed else ""
        return Halving(widths=None, job_id=job.id, wanted=None if ended else job, left=1.0, ended=ended)
    total = sum(BatchCost(base).groups.widths)
    widths = _first_below(records[job.id], settings.left * total)
    return Halving(widths=widths, job_id=job.id, wanted=None, left=sum(widths) / total, ended="")


def _first_below(record: PruneResult, channels: float) -> tuple[int, ...]:
    """The widths after the first step that leaves no more channels; after the last where none does."""
    steps: Sequence[tuple[int, ...]] = [row.widths for row in record.steps]
    return next((widths for widths in steps if sum(widths) <= channels), steps[-1])
