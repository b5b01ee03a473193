"""NeuralScale and its baselines as a person runs them: real digits, Ray workers, SQLite; killed and gone on with."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from nas.spec import read_spec
from search_spaces import COSTS
from tests.conftest import run_nas, write_spec
from tests.dashboards.test_browser import CHROMIUM, FLAGS
from tests.nas.test_stopping import rows, start
from trials.store import Store

CHANGES: dict[str, Any] = {
    "base": {"network": "preact_resnet18:shortcuts=coupled", "resolution": 8, "width": 0.125},
    "budget": {"params": "0.3x"},
    "methods": [
        {"name": "uniform"},
        {"name": "convcut"},
        {"name": "morphnet"},
        {"name": "magnitude", "epochs": 2},
        {"name": "neuralscale", "iterations": 2, "threshold": 0},
    ],
    "prune": {"pretrain_epochs": 1, "batch_size": 100, "batches": 2, "channels": 0.01, "augmentation": "none"},
    "train": {"preset": "fast", "epochs": 1, "seeds": 2, "confirm": 0, "deterministic": True},
}
METHODS = {"base", "uniform", "convcut", "morphnet", "magnitude", "neuralscale-1", "neuralscale-2"}


@pytest.fixture(scope="module")
def descended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the search has run to its end; tests only read it."""
    folder = tmp_path_factory.mktemp("descended")
    done = run_nas(folder, "search", str(write_spec(folder, **CHANGES)), timeout=280)
    assert done.returncode == 0, done.stderr
    (folder / "stdout.txt").write_text(done.stdout)
    (folder / "stderr.txt").write_text(done.stderr)
    return folder


def listing(folder: Path, *arguments: str) -> dict[str, Any]:
    done = run_nas(folder, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_plan_says_what_will_be_pruned(tmp_path: Path) -> None:
    write_spec(tmp_path, **CHANGES)
    shown = run_nas(tmp_path, "plan", "small.yaml").stdout
    assert "small: 3 networks scaled to the budget, more by what prunings find" in shown
    assert "morphnet: prunes the base to 50% of its channels" in shown
    assert "neuralscale: at most 2 prunings one after the other; networks of the first and the last" in shown
    assert "of pruning, if later networks take as long a step as the base" in shown
    found = listing(tmp_path, "plan", "small.yaml")
    assert found["pruning_seconds"] > 0
    assert [candidate["method"] for candidate in found["candidates"]] == ["uniform", "convcut", "magnitude"]


@pytest.mark.slow
def test_all_methods_at_one_budget(descended: Path) -> None:
    found = listing(descended, "front", "small")
    networks = {network["method"]: network for network in found["networks"]}
    assert networks.keys() == METHODS
    bound = read_spec(descended / "small.yaml").budget.params
    assert bound == "0.3x"
    budget = 0.3 * networks["base"]["params"]
    for method, network in networks.items():
        assert network["feasible"] == (method != "base")
        assert set(COSTS) <= set(network)
        if method != "base":
            assert 0.97 * budget < network["params"] <= budget
    shown = (descended / "stdout.txt").read_text()
    assert "small: 7 networks, accuracy in %, 1,000 validation images" in shown
    assert all(method in shown for method in METHODS)
    assert "neuralscale: 2 iterations; nas descent small shows more" in shown
    said = (descended / "stderr.txt").read_text()
    assert "neuralscale, iteration 2: " in said
    assert "neuralscale ends: all 2 iterations are done" in said


@pytest.mark.slow
def test_the_descent_is_shown_written_and_drawn(descended: Path, tmp_path: Path) -> None:
    fit, picture = tmp_path / "fit.json", tmp_path / "w.html"
    done = run_nas(descended, "descent", "small", "--fit", str(fit), "--draw", str(picture))
    assert done.returncode == 0, done.stderr
    assert "small: iterations of the descent, tau in params" in done.stdout
    assert "ends: all 2 iterations are done" in done.stdout
    found = listing(descended, "descent", "small")
    assert [one["iteration"] for one in found["iterations"]] == [1, 2]
    assert found["iterations"][1]["begun"] == found["iterations"][0]["widths"]
    law = json.loads(fit.read_text())
    assert law == found["iterations"][1]["law"]
    assert len(found["iterations"][0]["record"]) == law["rows"] or found["iterations"][0]["law"] != law
    network = ["preact_resnet18:shortcuts=coupled", "--resolution", "8", "--channels", "1"]
    scaled = listing(tmp_path, "scale", *network, "--fit", "fit.json", "--params", "20K")
    assert 0.97 * 20_000 < scaled["params"] <= 20_000
    assert 100_000 < picture.stat().st_size < 6_000_000


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium, which `make test` could not install")
def test_the_picture_is_drawn(descended: Path, tmp_path: Path) -> None:
    assert run_nas(descended, "descent", "small", "--draw", str(tmp_path / "w.html")).returncode == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 700})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((tmp_path / "w.html").as_uri())
        page.wait_for_selector(".scatterlayer .trace")
        groups = len(listing(descended, "descent", "small")["groups"])
        assert page.locator(".scatterlayer .trace").count() >= 3 + groups  # base and iterations; records, laws
        assert page.get_by_text("iteration 2", exact=True).count() == 1
        browser.close()
    assert errors == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--iteration", "3", "--fit", "f.json"], "error: --iteration must be one of 1 to 2, but is 3"),
        (["--iteration", "1"], "error: --iteration is for --fit, which is not asked for"),
        (["--draw", "w.png"], "error: --draw must name an .html file, but is w.png"),
        (["--draw", "missing/w.html"], "error: files must be writable, but missing/w.html: No such file or directory"),
    ],
)
def test_what_cannot_be_written_is_one_line(descended: Path, arguments: list[str], message: str) -> None:
    done = run_nas(descended, "descent", "small", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_search_without_a_descent_says_so(finished_search: Path) -> None:
    done = run_nas(finished_search, "descent", "small")
    assert done.returncode == 2
    assert "error: search 'small' must have neuralscale among methods to have a descent" in done.stderr


@pytest.mark.slow
def test_winners_of_all_methods_can_be_taken_away(descended: Path, tmp_path: Path) -> None:
    """Whoever wins: the exported file is counted again, and its weights score on test as stated."""
    done = run_nas(descended, "export", "small", "-o", str(tmp_path / "winner.json"))
    assert done.returncode == 0, done.stderr
    verified = run_nas(tmp_path, "verify", "winner.json", "--score")
    assert verified.returncode == 0, verified.stderr
    assert "test split scored again" in verified.stdout


def records(folder: Path) -> dict[str, Any]:
    """All prunings in the store, without the time that they took."""
    query = "SELECT id, result FROM nas_jobs WHERE json_extract(job, '$.kind') = 'prune'"
    found = {str(id_): json.loads(str(result)) for id_, result in rows(folder, query)}
    return {id_: {**result, "wall_seconds": 0} for id_, result in found.items()}


@pytest.mark.slow  # test_run_prune_stopping.py kills a pruning in the quick suite
def test_killed_while_it_prunes_it_ends_as_if_nothing_had_happened(descended: Path, tmp_path: Path) -> None:
    write_spec(tmp_path, **CHANGES)
    process = start(tmp_path)
    deadline = time.monotonic() + 90
    while not records(tmp_path):  # the first iteration is done: the second runs
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = records(tmp_path)
    assert len(before) == 1
    done = run_nas(tmp_path, "search", "small.yaml", timeout=280)
    assert done.returncode == 0, done.stderr
    assert records(tmp_path) == records(descended)
    weights = []
    for folder in (tmp_path, descended):
        with Store(f"sqlite:///{folder}/nas.db") as store:
            found = store.results(store.search("small").job_ids)
            weights.append({id_: (result.weights_sha256, result.correct) for id_, result in found.items()})
    assert weights[0] == weights[1]
    assert len(weights[0]) == 2 * len(METHODS)
    assert not list((tmp_path / "nas.db-checkpoints").glob("*.state"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": {"params": 30}}, "error: methods: uniform: budget.params must be at least"),
        ({"methods": [{"name": "neuralscale", "floor": 99}]}, "error: methods: neuralscale: budget.params must be at"),
        ({"base": {"network": "vgg11", "resolution": 8}}, "error: base: node 'pool6'"),
        ({"methods": [{"name": "neuralscale", "iterations": 0}]}, "methods.0.iterations must be greater than or equal"),
        ({"methods": [{"name": "morphnet", "left": 1}]}, "methods.0.left must be less than 1, but got 1"),
        ({"methods": [{"name": "uniform", "shares": []}]}, "methods.0.shares must name at least one, and each once"),
        ({"methods": [{"name": "uniform", "shares": 0.5}]}, "methods.0.shares must be a list, but got 0.5"),
        ({"methods": ["uniform"]}, "methods.0 must hold keys, such as {name: value}, but got 'uniform'"),
        ({"prune": {"floor": 999}}, "error: methods: morphnet: pruning needs a width group that can lose channels"),
        ({"prune": {"channels": 1.5}}, "prune.channels must be a number of channels, at least 1, or a share"),
        ({"race": {"eta": 3}}, "race must not be given with magnitude among methods"),
    ],
)
def test_bad_specs_are_one_line_before_anything_runs(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    train = {"preset": "fast", "epochs": 9, "seeds": 2, "confirm": 0}
    write_spec(tmp_path, **{**CHANGES, "train": train, **changes})
    done = run_nas(tmp_path, "search", "small.yaml")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.slow
def test_diverged_pretraining_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    prune = {**CHANGES["prune"], "pretrain_learning_rate": 1000}
    write_spec(tmp_path, **{**CHANGES, "prune": prune, "methods": CHANGES["methods"][:1] + CHANGES["methods"][-1:]})
    done = run_nas(tmp_path, "search", "small.yaml")
    assert done.returncode == 0, done.stderr
    assert "neuralscale ends: iteration 1 failed: TrainingDiverged: the loss of the pre-training must" in done.stderr
    assert "1 pruning failed" in done.stdout
    assert rows(tmp_path, "SELECT state, count(*) FROM trials GROUP BY state") == [("COMPLETE", 4), ("FAIL", 1)]
    assert "winner" in done.stdout
