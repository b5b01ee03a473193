"""MSNets and cascades in a search: trained, routed within the budget, on the front, exported as one module."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch

import nas
from dashboards import read_front
from nas.export import ExportError, export_network
from nas.planning import make_plan
from nas.routed import propose_routed
from nas.spec import Spec
from nas.spec_errors import SpecError
from nas.verify import verify_export
from search_spaces import Architecture, BudgetError, count_cost
from search_spaces.multi_scale import multi_scale
from search_spaces.widths import scale_widths
from tests.conftest import SMALL, run_nas, write_spec
from trials import DataSettings
from trials.dataset import load_dataset
from trials.job import JobFailure, RouteFigures
from trials.records import TrialRecord
from trials.scores import KeptScores
from trials.store import Store

BASE = {**SMALL["base"], "resolution": 20}
METHODS: list[dict[str, Any]] = [{"name": "msnet"}, {"name": "cascade", "resolutions": [12, 28], "shares": [0.5, 1]}]
BUDGET = {"macs": "1x", "macs_worst": "5x", "params": "10x"}
TRAIN = {"preset": "fast", "epochs": 2, "seeds": 2, "confirm": 1}
Make = Callable[..., Spec]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished search; tests only read it."""
    folder = tmp_path_factory.mktemp("dynamic")
    write_spec(folder, base=BASE, budget=BUDGET, methods=METHODS, train=TRAIN)
    done = run_nas(folder, "search", "small.yaml", "--local", timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def networks(searched: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run_nas(searched, "front", "small", "--json").stdout)["networks"]
    return found


def dynamic(networks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [network for network in networks if "stages" in network]


def test_the_plan_says_what_is_trained(small: Make) -> None:
    plan = make_plan(small(base=BASE, budget=BUDGET, methods=METHODS))
    base = plan.base.architecture
    assert [(one.method, one.architecture.resolution) for one in plan.found.chosen] == [
        ("msnet both", 20), ("resolution x0.6", 12), ("resolution x1.4", 28),
    ]  # fmt: skip
    assert plan.found.chosen[0].architecture == multi_scale(base)
    narrow = make_plan(small(base=BASE, budget=BUDGET, methods=[{"name": "msnet", "width": [0.5]}])).found.chosen[0]
    assert narrow.architecture == multi_scale(scale_widths(base, 0.5))
    assert len(plan.dynamics) == 2


def test_each_is_within_the_budget_and_tested(networks: list[dict[str, Any]], small: Make) -> None:
    problem = make_plan(small(base=BASE, budget=BUDGET, methods=METHODS)).problem
    found = dynamic(networks)
    assert {one["method"].partition(" ")[0] for one in found} == {"msnet", "cascade"}
    by_id = {one["id"]: one for one in networks}
    for one in found:
        share = 0.5 if one["method"].endswith("x0.5") else 1.0
        assert one["macs"] <= share * problem.routed["macs"]
        assert one["macs_worst"] <= problem.routed["macs_worst"]
        assert one["params"] == sum(by_id[id_]["params"] for id_ in one["stages"]) <= problem.routed["params"]
        assert one["feasible"]
        assert one["test_accuracy"]["images"] == 1000
        assert one["validation_accuracy"]["n"] == 2
    both = next(one for one in networks if one["method"] == "msnet both")
    assert not both["feasible"], "all of it for every image is above the bound on the expectation"


def test_chosen_cascades_are_no_worse_than_their_parts(networks: list[dict[str, Any]], small: Make) -> None:
    """On validation, and within the bound: the frontier of a pair holds each of its networks alone."""
    bound = make_plan(small(base=BASE, budget=BUDGET, methods=METHODS)).problem.routed["macs"]
    singles = [one for one in networks if "stages" not in one and one["macs"] <= bound and "both" not in one["method"]]
    best = max(one["validation_accuracy"]["mean"] for one in singles)
    found = [one for one in dynamic(networks) if one["method"].startswith("cascade") and "x0.5" not in one["method"]]
    assert max(one["validation_accuracy"]["mean"] for one in found) >= best


def test_trials_stand_in_the_study(searched: Path, networks: list[dict[str, Any]]) -> None:
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{searched}/nas.db")
    trials = [trial for trial in study.trials if trial.user_attrs.get("role") == "route"]
    confirmed = sum("confirmed_accuracy" in one for one in dynamic(networks))
    assert len(trials) == 2 * len(dynamic(networks)) + confirmed
    assert confirmed >= 1, "one stands on the front"
    for trial in trials:
        assert trial.values[1] == trial.user_attrs["macs"]
        assert all(0 <= trial.params[name] <= 1 for name in trial.params if name.startswith("threshold"))
        assert trial.system_attrs["constraints"] == [
            trial.user_attrs[f"slack_{name}"] for name in ("params", "macs", "macs_worst")
        ]


@pytest.mark.slow
def test_lost_scores_are_made_again(searched: Path, tmp_path: Path) -> None:
    """And what was found of them stays: the same thresholds, no trial twice."""
    shutil.copytree(searched, tmp_path / "copy")
    folder = tmp_path / "copy"

    def count() -> int:
        return len(optuna.load_study(study_name="small", storage=f"sqlite:///{folder}/nas.db").trials)

    trials = count()
    scores = sorted((folder / "nas.db-checkpoints").glob("*.scores"))
    before = run_nas(folder, "front", "small", "--json").stdout
    content = {path: path.read_bytes() for path in scores}
    scores[0].unlink()
    scores[1].write_bytes(b"damaged")
    assert run_nas(folder, "search", "small.yaml", "--local").returncode == 0
    assert {path: path.read_bytes() for path in scores} == content
    assert count() == trials
    assert run_nas(folder, "front", "small", "--json").stdout == before


def test_dynamic_is_listed_and_drawn(searched: Path, networks: list[dict[str, Any]]) -> None:
    listed = json.loads(run_nas(searched, "dynamic", "small", "--json").stdout)
    assert [one["id"] for one in listed] == [one["id"] for one in dynamic(networks)]
    for one in listed:
        for point in one["points"]:
            for split in ("validation", "test"):
                assert sum(point[split]["answered"]) == pytest.approx(1)
                assert len(point[split]["answered"]) == len(point["temperatures"]) == len(point["thresholds"]) + 1
    shown = run_nas(searched, "dynamic", "small", "--draw", "dynamic.html")
    assert "expected calibration error" in shown.stdout
    assert (searched / "dynamic.html").stat().st_size > 1e6
    granted = json.loads(run_nas(searched, "dynamic", "small", "--accuracy", "0.3", "--json").stdout)
    for point in (point for row in granted for point in row["points"]):
        assert point["validation"]["accuracy"] >= 0.3
        assert set(point["test"]) == {"accuracy", "expected_macs"}
    none = run_nas(searched, "dynamic", "nowhere")
    assert (none.returncode, none.stderr.count("\n")) == (2, 1)


def export_of(searched: Path, tmp_path: Path, prefix: str) -> Path:
    """What an export of the first dynamic network of a method is, whether or not it won."""
    path = tmp_path / "winner.json"
    with Store(f"sqlite:///{searched}/nas.db") as store:
        front = read_front(store, "small")
        chosen = next(one for one in front.networks if one.stages and one.method.startswith(prefix))
        exported, content = export_network(store, "small", front, chosen, "winner.safetensors")
    path.write_text(exported.model_dump_json())
    path.with_suffix(".safetensors").write_bytes(content)
    return path


@pytest.mark.parametrize("prefix", ["msnet", "cascade"])
def test_the_exported_module_routes_as_the_search_did(searched: Path, tmp_path: Path, prefix: str) -> None:
    path = export_of(searched, tmp_path, prefix)
    verified = verify_export(path, score=True)
    network = nas.load(str(path))
    dataset = load_dataset(DataSettings(source="mnist5k"))
    assert network.info.dynamic is not None
    exits = network.info.dynamic.exits
    for split in ("validation", "test"):
        images = torch.from_numpy(dataset.images[dataset.splits[split]])
        with torch.inference_mode():
            scores, answered = network.route(images)
        assert [int((answered >= i).sum()) for i in range(len(exits))] == [one.reached[split] for one in exits]
        right = (scores.argmax(1).numpy() == dataset.labels[dataset.splits[split]]).mean()
        stated = network.info.weights.validation_accuracy if split == "validation" else verified["test_accuracy"]
        assert right == stated
    expected = sum(one.macs * one.reached["validation"] for one in exits) / 1000
    assert verified["costs"]["macs"] == expected
    assert verified["costs"]["macs_worst"] == sum(one.macs for one in exits)
    parts = [Architecture.from_json(part.architecture) for part in network.info.dynamic.networks]
    assert verified["costs"]["params"] == sum(count_cost(part).params for part in parts)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("exits", 0, "macs"), 1, "dynamic.exits must be those of its networks"),
        (("exits", 0, "threshold"), None, "every exit but the last must have a threshold"),
        (("exits", 0, "threshold"), 2, "threshold must be less than or equal to 1"),
        (("exits", 0, "reached"), {"validation": 0}, "images must reach exits in their order"),
        (("networks", 0, "resolution"), 5, "must state their ids and resolutions"),
        (("bound",), 1.0, "states network_id"),
    ],
)
def test_a_changed_file_is_refused(
    searched: Path, tmp_path: Path, place: tuple[Any, ...], value: object, message: str
) -> None:
    path = export_of(searched, tmp_path, "cascade")
    content = json.loads(path.read_text())
    section = content["dynamic"]
    for key in place[:-1]:
        section = section[key]
    section[place[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ExportError, match=message):
        nas.load(str(path))


@pytest.mark.parametrize(
    ("method", "budget", "error", "message"),
    [
        ({"name": "cascade", "resolutions": [56]}, BUDGET, SpecError, "cascade.resolutions must be at most mnist5k's"),
        ({"name": "cascade", "stages": 1}, BUDGET, SpecError, "methods.0.stages must be greater than or equal to 2"),
        ({"name": "msnet"}, {"macs": "0.01x"}, BudgetError, r"msnet: msnet both must keep the budget, but has macs"),
        ({"name": "msnet"}, {"params": "1x"}, BudgetError, "has params"),
        ({"name": "msnet"}, {"macs": "2x", "macs_worst": "1x"}, BudgetError, "has macs_worst"),
        ({"name": "cascade", "resolutions": [2]}, BUDGET, SpecError, "methods: cascade: node"),
    ],
)
def test_what_cannot_be(
    small: Make, method: dict[str, Any], budget: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_plan(small(base=BASE, budget=budget, methods=[method]))


def test_the_worst_case_binds_other_networks(small: Make) -> None:
    plan = make_plan(small(base=BASE, budget={"macs": "2x", "macs_worst": "1.5x"}, methods=[]))
    macs = plan.base.cost.macs
    assert plan.problem.budget.bounds == {"macs": int(1.5 * macs)}
    assert plan.problem.routed == {"macs": 2 * macs, "macs_worst": int(1.5 * macs)}


def test_scores_are_those_of_the_trained_weights(searched: Path) -> None:
    """Their last exit finds as many validation images as the training's own scoring did."""
    with Store(f"sqlite:///{searched}/nas.db") as store:
        trials = [one for one in store.trials("small") if one.get("role") == "search"]
        results = store.results(one["job_id"] for one in trials)
        for trial in trials:
            job = store.job(trial["job_id"])
            scores = job.scores_on("validation", results[job.id].weights_sha256)
            found = store.results([scores.id])[scores.id]
            assert (found.correct, found.images) == (results[job.id].correct, 1000)


def test_latency_is_that_of_what_runs(small: Make) -> None:
    """Mean and worst, from what each exit takes beyond those before it."""

    def latency_of(network: Architecture) -> float:
        return count_cost(network).macs / 1e5

    spec = small(base=BASE, budget={"macs": "2x"}, methods=[{"name": "msnet"}], latency={"report": True})
    plan = make_plan(spec, latency_of=latency_of)
    msnet = next(one for one in plan.found.chosen if one.architecture.exits)
    (routed,) = propose_routed(plan.problem, {msnet.id: msnet}, {}, pytest.fail)
    assert routed.latencies == pytest.approx([macs / 1e5 for macs in routed.macs])
    figures = RouteFigures(
        thresholds=(0.5,), temperatures=(1.0, 1.0), reached=(100, 25), macs=0, ece=((0.0, 0.0), (0.0, 0.0))
    )
    costs = routed.costs_at(figures, 100)
    assert costs["latency_ms"] == pytest.approx((routed.macs[0] + routed.macs[1] / 4) / 1e5)
    assert costs["latency_worst_ms"] == pytest.approx(msnet.latency_ms)


def test_shares_that_hold_nothing_are_said(small: Make) -> None:
    """After hours of training a share that is too small must not end the search."""
    methods = [{"name": "msnet", "shares": [0.01, 1]}, {"name": "cascade", "shares": [0.01]}]
    problem = make_plan(small(base=BASE, budget={"macs": "1x"}, methods=methods)).problem
    msnet = make_plan(small(base=BASE, budget={"macs": "1x"}, methods=methods)).found.chosen[0]
    labels = np.arange(20) % 10
    scores = np.random.default_rng(0).normal(size=(1, 20, 10)).astype(np.float32)
    kept = {problem.base.id: [KeptScores(scores=scores, labels=labels)]}
    said: list[str] = []
    found = propose_routed(problem, {msnet.id: msnet, problem.base.id: problem.base}, kept, said.append)
    assert [(one.method, one.share) for one in found] == [("msnet", 1.0)]
    assert said[0].startswith("msnet at x0.01: no operating point, as its first exit takes ")
    assert said[1].startswith("cascade of 2 at x0.01: none, as one network at least must keep macs")


def test_without_one_of_its_networks_none_stands_on_the_front(searched: Path, tmp_path: Path) -> None:
    """A training with a fresh seed that fails for good takes the cascades of its network with it."""
    shutil.copytree(searched, tmp_path / "copy")
    with Store(f"sqlite:///{tmp_path}/copy/nas.db", create=True) as store:
        before = read_front(store, "small")
        lost = next(one.stages[0] for one in before.front if one.stages)
        attributes = next(trial for trial in store.trials("small") if trial["network_id"] == lost)
        failed = TrialRecord(
            params={},
            spans={},
            attributes={**attributes, "seed": 2, "role": "confirm"},
            objectives=("accuracy", "macs"),
            constraints={},
        )
        store.record_trial("small", failed, JobFailure(message="diverged", settled=True))
        after = read_front(store, "small")
    assert any(lost in one.stages for one in before.front)
    assert not any(lost in (*one.stages, one.id) for one in after.front)
    assert after.winner is not None or after.unconfirmed
