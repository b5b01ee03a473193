"""How the jobs of a search appear in Optuna."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from nas.dynamic_spec import DYNAMIC_METHODS
from nas.problem import Candidate, Problem
from nas.spec import Spec
from nas.width_spec import PRUNING_METHODS
from search_spaces import Budget
from trials.job import Job
from trials.prune_job import PruneJob
from trials.store import TrialRecord

Spans: TypeAlias = Mapping[str, Sequence[int | float | str]]


def training_record(
    network: Candidate,
    job: Job,
    attributes: Mapping[str, Any],
    spans: Spans,
    problem: Problem,
    rungs: Mapping[int, float],
) -> TrialRecord:
    """Of a training, with attributes of its own (seed, role) beside the network's; `rungs` are those of a race."""
    budget = problem.budget if network.bounds is None else Budget(bounds=network.bounds)
    optional = {"original": network.original or None, "extrapolated": network.extrapolated, "share": network.share}
    return TrialRecord(
        params=params_of(network),
        spans=spans,
        attributes={
            "job_id": job.id,
            "network_id": network.id,
            "method": network.method,
            "family": network.family,
            "resolution": network.architecture.resolution,
            **attributes,
            "images_id": job.images_id,
            "coverage": network.coverage,
            "choice": dict(network.choice),
            **{name: value for name, value in optional.items() if value is not None},
            **network.cost.to_json(),
            **network.costs,
        },
        objectives=problem.spec.objectives,
        constraints=budget.slack(network.costs),
        rungs=rungs,
    )


def prune_record(problem: Problem, job: PruneJob, spans: Spans) -> TrialRecord:
    """How a pruning that failed appears in Optuna."""
    methods = [method.name for method in problem.spec.methods]
    method = "neuralscale" if "neuralscale" in methods else "morphnet"
    return TrialRecord(
        params={"method": method},
        spans=spans,
        attributes={
            "job_id": job.id,
            "network_id": job.architecture.id,
            "method": method,
            "resolution": job.architecture.resolution,
            "seed": job.seed,
            "role": "prune",
            "images_id": job.images_id,
        },
        objectives=problem.spec.objectives,
        constraints={},
    )


def params_of(network: Candidate) -> dict[str, int | float | str]:
    """What a method chose, as Optuna's parameters."""
    return {"method": network.family, "resolution": network.architecture.resolution, **network.choice}


def spans_of(networks: list[Candidate], spec: Spec) -> dict[str, list[int | float | str]]:
    """All values of every parameter over the networks; methods also of networks that are not known yet."""
    rows = [params_of(network) for network in networks]
    names = dict.fromkeys(name for row in rows for name in row)
    later = [method.name for method in spec.methods if isinstance(method, (*PRUNING_METHODS, *DYNAMIC_METHODS))]
    spans = {name: list(dict.fromkeys(row[name] for row in rows if name in row)) for name in names}
    return {**spans, "method": [*spans["method"], *later]}
