"""The main job as a person runs it: real images, Ray workers, SQLite, the installed command."""

import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from nas.planning import make_plan
from nas.spec import read_spec
from search_spaces import COSTS
from tests.conftest import run_nas, write_spec
from trials.dataset import load_dataset
from trials.store import Store


def listing(folder: Path, *arguments: str) -> dict[str, object]:
    done = run_nas(folder, *arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_every_trial_is_in_optuna(finished_search: Path) -> None:
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{finished_search}/nas.db")
    assert {trial.state.name for trial in study.trials} == {"COMPLETE"}
    assert {trial.user_attrs["job_id"] for trial in study.trials} == set(job_ids(finished_search))
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    for trial in study.trials:
        assert {"method", "resolution", "seed", "wall_seconds", *COSTS} <= set(trial.user_attrs)


def test_what_a_person_sees(finished_search: Path) -> None:
    shown, progress = ((finished_search / name).read_text() for name in ("stdout.txt", "stderr.txt"))
    assert "small: base and front of 3 trained networks" in shown
    assert "test accuracy of the winner" in shown
    assert shown.endswith("next: nas export small -o winner.json\n      nas dashboard\n")
    assert "6/6 trained, best 0." in progress
    assert "left" in progress
    assert "Traceback" not in progress


def test_front_listing(finished_search: Path) -> None:
    front = listing(finished_search, "front", "small", "--json")
    base, winner, points = front["base"], front["winner"], front["front"]
    assert isinstance(base, dict)
    assert isinstance(winner, dict)
    assert isinstance(points, list)
    assert front["complete"] is True
    assert base["method"] == "base"
    assert base["test_accuracy"]["n"] == winner["test_accuracy"]["n"] == 2
    assert winner["id"] in {point["id"] for point in points}
    for point in points:
        assert set(point["validation_accuracy"]) == {"mean", "std", "n", "images", "by_seed"}
        assert point["validation_accuracy"]["images"] == 1000
        assert point["feasible"]
        assert "test_accuracy" not in point


def test_run_again_does_nothing_again(finished_search: Path) -> None:
    before = stored(finished_search)
    done = run_nas(finished_search, "search", "small.yaml")
    assert done.returncode == 0
    assert "6 of 6 trainings are in nas.db already" in done.stderr
    assert done.stdout == (finished_search / "stdout.txt").read_text()
    assert stored(finished_search) == before


def job_ids(folder: Path) -> list[str]:
    """Of all training jobs of the small search, by the spec and the images alone."""
    spec = read_spec(folder / "small.yaml")
    plan, dataset = make_plan(spec), load_dataset(spec.data)
    return [job.id for network in plan.networks for job in plan.problem.jobs(network, dataset.id)]


def stored(folder: Path) -> dict[str, tuple[str, int, float]]:
    """Every training job's weights, score and time: the time differs when it is run again."""
    with Store(f"sqlite:///{folder}/nas.db") as store:
        results = store.results(job_ids(folder))
    return {key: (result.weights_sha256, result.correct, result.wall_seconds) for key, result in results.items()}


def test_local_gives_the_same_as_ray(finished_search: Path, tmp_path: Path) -> None:
    done = run_nas(tmp_path, "search", str(write_spec(tmp_path)), "--local")
    assert done.returncode == 0, done.stderr
    same = [{key: value[:2] for key, value in stored(folder).items()} for folder in (tmp_path, finished_search)]
    assert same[0] == same[1]


@pytest.mark.parametrize("command", [["plan", "small.yaml"], ["--help"], ["search", "--help"]])
def test_quick_commands_load_neither_ray_nor_torch(finished_search: Path, command: list[str]) -> None:
    script = (
        "import sys; from nas.cli import main\n"
        "try: main()\n"
        "finally: assert not {'ray', 'torch', 'optuna', 'sklearn'} & set(sys.modules), 'loaded'"
    )
    run_nas(finished_search, "plan", "small.yaml")  # measures the step, with torch, and keeps it
    done = subprocess.run(
        [sys.executable, "-c", script, *command], cwd=finished_search, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_plan_listing(finished_search: Path) -> None:
    plan = listing(finished_search, "plan", "small.yaml", "--json")
    counted = {"enumerated", "feasible", "feasible_by_method", "choice", "costs", "candidates", "epochs"}
    assert set(plan) == {"base", "budget", "estimated_seconds"} | counted
    text = run_nas(finished_search, "plan", "small.yaml").stdout
    assert "networks enumerated" in text
    assert "on 2 workers of one core each, from a measured training step" in text
