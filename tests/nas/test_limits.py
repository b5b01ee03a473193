"""Jobs over a limit, or short of memory, in a search."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nas.planning import make_plan
from nas.run import _with_precision
from nas.search_loop import Search
from nas.spec import Spec
from nas.spec_errors import SpecError
from tests.nas.test_search_loop import dataset, invented, run, store, training_jobs  # noqa: F401 two are fixtures
from trials.data import Dataset
from trials.job import Job, JobFailure, JobResult
from trials.store import Store

LIMITED = {"max_candidates": 2, "job_minutes": 1}


def over(job: Job) -> JobFailure:
    return JobFailure(message="the job must end", settled=True, limits="search.job_minutes 1")


def test_a_job_over_its_limit_is_tried_again_only_under_another(
    small: Callable[..., Spec],
    store: Store,  # noqa: F811
    dataset: Dataset,  # noqa: F811
) -> None:
    plan = make_plan(small(search=LIMITED))
    first = training_jobs(plan, dataset)[0]
    search = Search(plan, store, dataset, lambda _: None)
    run(search, store, outcome_of=lambda job: over(job) if job == first else invented(job))
    assert search.complete, "the search ends without it"
    (trial,) = [trial for trial in store.trials("small") if "failure" in trial]
    assert trial["limits"] == "search.job_minutes 1"
    again = Search(plan, store, dataset, lambda _: None)
    assert first not in run(again, store)
    raised = Search(make_plan(small(search=LIMITED | {"job_minutes": 5})), store, dataset, lambda _: None)
    assert first in run(raised, store)
    assert raised.complete


def test_a_job_with_its_batches_in_parts_says_so(
    small: Callable[..., Spec],
    store: Store,  # noqa: F811
    dataset: Dataset,  # noqa: F811
) -> None:
    plan = make_plan(small(search={"max_candidates": 2}))
    first, said = training_jobs(plan, dataset)[0], list[str]()

    def outcome(job: Job) -> JobResult:
        found = invented(job)
        less = 25 if job == first else 0
        return JobResult(**{**found.to_json(), "losses": (), "micro_batch": less})

    run(Search(plan, store, dataset, lambda _: None, said.append), store, outcome_of=outcome)
    assert said == ["too little memory for 100 images of 14 px at once: seed 0 goes by 25"]
    shown = {trial["job_id"]: trial.get("micro_batch") for trial in store.trials("small")}
    assert shown.pop(first.id) == 25
    assert set(shown.values()) == {None}
    assert store.results([first.id])[first.id].micro_batch == 25


def test_precision_is_not_measured_for_gpus_of_a_cluster(small: Callable[..., Spec], tmp_path: Path) -> None:
    spec = small(ray={"address": "10.0.0.1:6379"}, search={"device": "cuda"})
    plan = make_plan(spec)
    with (
        Store(f"sqlite:///{tmp_path}/nas.db", create=True) as opened,
        pytest.raises(
            SpecError, match=r"train\.precision must be fp32 or bf16 where search\.device is cuda on a cluster"
        ),
    ):
        _with_precision(plan, opened)
