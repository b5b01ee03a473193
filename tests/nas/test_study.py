"""Borji's experiment: what is drawn, what is trained and scored, what is reported."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

from dashboards import make_study_rows, read_front
from dashboards.scored import Score, ScoredNetwork
from nas.method_spec import CompensationSpec
from nas.planning import make_plan
from nas.search_loop import Search
from nas.spec import Spec, read_spec
from nas.study import ORIGINAL
from search_spaces import BudgetError, NasError, count_cost
from tests.conftest import run_nas, write_spec
from tests.nas.test_search_loop import dataset, quiet, run, store  # noqa: F401 fixtures
from trials.data import Dataset
from trials.store import Store

ROOT = Path(__file__).parents[2]
CONV = {"channels": 8, "kernel": 3}
STUDY: dict[str, Any] = {
    "base": {"network": "lenet", "resolution": 14, "conv1": CONV, "conv2": CONV},
    "budget": {"params": "1.0x"},
    "methods": [{"name": "compensation", "approaches": ["I", "II", "III", "IV"], "tolerance": 0.1}],
    "study": {"resolutions": [10, 14], "originals": 2, "solutions": 2, "filters": [6, 9], "kernels": [3]},
}  # fmt: skip


def test_what_is_drawn(small: Callable[..., Spec]) -> None:
    plan = make_plan(small(**STUDY))
    assert [network.id for network in make_plan(small(**STUDY)).networks] == [n.id for n in plan.networks]
    assert len({network.id for network in plan.networks}) == len(plan.networks) == 2 * (2 * 2 + 2 * 4 * 2)
    originals = {network.id: network for network in plan.networks if network.method == ORIGINAL}
    assert Counter(network.architecture.resolution for network in originals.values()) == {10: 4, 14: 4}
    for network in plan.networks:
        original = originals[network.original]
        if network.method != ORIGINAL:
            pooled = any(node.name == "pool1" for node in original.architecture.nodes)
            assert pooled == (network.method != "compensation-IV"), "as the paper has it"
            side = original.architecture.resolution
            assert side < network.architecture.resolution <= 2 * side
            assert 0.9 * original.cost.params <= count_cost(network.architecture).params <= original.cost.params
            assert network.bounds == {"params": original.cost.params}
    drawn = Counter((network.original, network.method) for network in plan.networks if network.method != ORIGINAL)
    assert set(drawn.values()) == {2}


@pytest.mark.parametrize(("name", "trained"), [("borji-mnist5k", 3 * (4 + 4 + 4 * 4 * 2)), ("borji-figure3", None)])
def test_examples(name: str, trained: int | None) -> None:
    spec = read_spec(ROOT / "examples" / f"{name}.yaml")
    assert spec.study is not None
    (method,) = spec.methods
    assert isinstance(method, CompensationSpec)
    assert method.approaches == ("I", "II", "III", "IV")
    if trained is not None:  # the other one needs MNIST
        assert len(make_plan(spec).networks) == trained


def test_with_pools_or_without(small: Callable[..., Spec]) -> None:
    for pool in ("always", "never"):
        study = STUDY["study"] | {"pool": pool, "resolutions": [14], "originals": 1}
        plan = make_plan(small(**STUDY | {"study": study}))
        assert len(plan.networks) == 1 + 4 * 2
        assert any(node.name == "pool1" for node in plan.base.architecture.nodes) == (pool == "always")


def test_all_are_scored_on_test_once(small: Callable[..., Spec], store: Store, dataset: Dataset) -> None:  # noqa: F811
    plan = make_plan(small(**STUDY))
    search = Search(plan, store, dataset, quiet)
    asked = run(search, store)
    kinds = Counter(job.kind for job in asked)
    assert kinds == {"train": 2 * len(plan.networks), "test": 2 * len(plan.networks)}
    assert search.complete
    assert Search(plan, store, dataset, quiet).ask() == ()
    front = read_front(store, "small")
    rows = make_study_rows(front.study)
    assert [(row.method, row.resolution, row.originals, row.solutions) for row in rows] == [
        (f"compensation-{approach}", side, 2, 4) for approach in ("I", "II", "III", "IV") for side in (10, 14)
    ]
    for row in rows:  # invented accuracies grow with resolution
        assert row.original.mean == pytest.approx((row.resolution + 0.5) / 100)
        assert row.gain_of_chosen.mean > 0
        assert row.chosen == row.best_on_test, "validation and test agree here"
        assert 0.9 <= row.params <= 1


def scored(name: str, method: str, original: str, validation: float, test: float) -> ScoredNetwork:
    return ScoredNetwork(
        id=name, method=method, resolution=10, costs={"params": 50, "macs": 100 if method == ORIGINAL else 300},
        slack={}, validation=Score(by_seed={0: validation}, images=10), confirmed=None,
        test=Score(by_seed={0: test}, images=10), seconds=1.0, job_ids={0: name}, original=original,
    )  # fmt: skip


def test_rows_by_hand() -> None:
    networks = [
        scored("a", ORIGINAL, "a", 0.5, 0.50),
        scored("b", ORIGINAL, "b", 0.5, 0.60),
        scored("a1", "compensation-IV", "a", 0.9, 0.52),  # chosen: best on validation
        scored("a2", "compensation-IV", "a", 0.8, 0.58),  # best on test
        scored("b1", "compensation-IV", "b", 0.7, 0.59),
        scored("c1", "compensation-IV", "c", 0.7, 0.99),  # its original was not scored
    ]
    (row,) = make_study_rows(networks)
    assert (row.originals, row.solutions) == (2, 3)
    assert row.original.mean == pytest.approx(0.55)
    assert row.original.std == pytest.approx(stdev([0.5, 0.6]))
    assert row.mean_of_solutions.mean == pytest.approx(mean([0.55, 0.59]))
    assert row.chosen.mean == pytest.approx(mean([0.52, 0.59]))
    assert row.best_on_test.mean == pytest.approx(mean([0.58, 0.59]))
    assert row.gain_of_chosen.mean == pytest.approx(0.005)
    assert row.gain_of_chosen.error == pytest.approx(stdev([0.02, -0.01]) / 2**0.5)
    assert (row.params, row.macs) == (1, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study": {"resolutions": [28]}}, r"study.resolutions must be below the data's native 28 px, but are \[28\]"),
        ({"study": {"resolutions": [10, 10]}}, "study.resolutions must name each one once"),
        ({"base": {"network": "resnet18", "resolution": 14}}, "study must have lenet as base.network"),
        ({"race": {"eta": 2}, "train": {"epochs": 9, "confirm": 0}}, "study must have no race and train.confirm 0"),
        ({"train": {"epochs": 1}}, "study must have no race and train.confirm 0"),
    ],
)
def test_what_a_study_cannot_be(small: Callable[..., Spec], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NasError, match=message):
        make_plan(small(**STUDY | changes))


def test_originals_without_solutions(small: Callable[..., Spec]) -> None:
    method = {"name": "compensation", "approaches": ["III"], "tolerance": 0, "keep": ["params"]}
    study = {"resolutions": [10], "originals": 2, "filters": [7, 7], "kernels": [3], "pool": "never"}
    with pytest.raises(BudgetError, match="study needs 2 LeNets of 10 px with solutions of III, but of 400"):
        make_plan(small(**STUDY | {"methods": [method], "study": study}))


@pytest.mark.slow
def test_from_the_command_line(tmp_path: Path) -> None:
    study = {"resolutions": [10], "originals": 2, "solutions": 1, "filters": [4, 6], "kernels": [3], "pool": "never"}
    path = write_spec(tmp_path, **STUDY | {"study": study})
    done = run_nas(tmp_path, "search", str(path), "--local")
    assert done.returncode == 0, done.stderr
    assert "test accuracy in %, over n originals" in done.stdout
    listing = json.loads(run_nas(tmp_path, "front", "small", "--json").stdout)
    assert [row["method"] for row in listing["study"]] == [f"compensation-{a}" for a in ("I", "II", "III", "IV")]
    for row in listing["study"]:
        assert 0 < row["original"]["mean"] < 1
        assert row["original"]["std"] is not None
        assert row["best_on_test"]["mean"] >= row["chosen"]["mean"]
