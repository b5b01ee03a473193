"""Where jobs run, as a spec says it."""

from typing import Any

import pytest

from nas.ray_spec import ADDRESS, RaySpec
from nas.spec import parse_spec
from nas.spec_errors import SpecError
from nas.start import placement_of
from tests.conftest import SMALL
from trials.placement import Limits, Placement


def parse(**changes: Any) -> Any:
    return parse_spec({**SMALL, "search": {"max_candidates": 2}} | changes, origin="small")


def test_by_default_a_ray_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)
    spec = parse()
    assert placement_of(spec) == Placement()
    assert spec.ray.at_once == 2


def test_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, "10.0.0.2:6379")
    ray = {"address": "10.0.0.1:6379", "max_concurrent": 9, "cpus_per_job": 2, "gpus_per_job": 0.25}
    spec = parse(ray=ray, search={"device": "cuda", "job_minutes": 30, "job_memory_gb": 1.5})
    assert placement_of(spec) == Placement(
        address="10.0.0.1:6379", count=9, device="cuda", cpus=2, gpus=0.25, limits=Limits(minutes=30, memory_gb=1.5)
    )
    assert placement_of(parse(ray=ray)).gpus == 0, "a job on a CPU takes no GPU"
    assert placement_of(parse()).address == "10.0.0.2:6379"
    assert placement_of(parse(ray={"address": "head:1"})).address == "head:1"


def test_where_jobs_run_changes_no_meaning() -> None:
    moved = parse(ray={"max_concurrent": 7}, search={"max_candidates": 2, "job_minutes": 1, "job_memory_gb": 2})
    assert moved.meaning() == parse().meaning()


def test_specs_from_before_the_section_are_read() -> None:
    """As they stand in databases: with all keys that search had."""
    search = {"max_candidates": 2, "workers": 5, "device": "cuda", "gpu_share": 0.5, "seed": 0}
    spec = parse(search=search)
    assert spec.ray == RaySpec(max_concurrent=5, gpus_per_job=0.5)
    assert parse_spec(spec.model_dump(mode="json"), origin="stored") == spec
    assert "workers" not in spec.model_dump()["search"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ray": {"address": "ray://head:10001"}}, r"ray\.address must be host:port of the head's GCS"),
        ({"ray": {"address": "auto"}}, r"ray\.address must be host:port .* but got 'auto'"),
        ({"ray": {"address": "head:70000"}}, r"ray\.address must be host:port"),
        ({"ray": {"gpus_per_job": 2}}, r"ray\.gpus_per_job must be less than or equal to 1, but got 2"),
        ({"ray": {"workers": 2}}, "unknown key 'workers' in ray; known keys: address, max_concurrent"),
        ({"search": {"workers": 0}}, r"ray\.max_concurrent must be greater than or equal to 1, but got 0"),
        (
            {"search": {"workers": 2}, "ray": {"max_concurrent": 2}},
            r"ray\.max_concurrent must stand alone, but search\.workers, its earlier name, is given as well",
        ),
        ({"search": {"job_minutes": 0}}, r"search\.job_minutes must be greater than 0"),
        ({"ray": "head:1"}, r"ray must hold keys, such as \{name: value\}"),
    ],
)
def test_errors_are_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse(**changes)


def test_an_address_of_the_environment_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, "nowhere")
    with pytest.raises(SpecError, match="NAS_RAY_ADDRESS: address must be host:port"):
        placement_of(parse())
