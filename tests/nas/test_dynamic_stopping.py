"""A search with dynamic networks that is killed where it scores, proposes and routes goes on as if it had not been."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.conftest import environment, run_nas, write_spec
from tests.nas.test_dynamic import BASE, BUDGET, METHODS

# kills its own process, as kill -9 would, right after the store has kept what is named: method, kind, how often
DYING = """
import os, signal, sys
from trials.store import Store

name, kind, left = sys.argv[1], sys.argv[2], int(sys.argv[3])
whole = getattr(Store, name)

def kinds(arguments):
    if name == "record_results":
        return [f"{job.kind}-{getattr(job, 'split', None)}" for job, _ in list(arguments[0])]
    return [arguments[1].attributes["role"]] if name == "record_trial" else list(arguments[3])

def dying(self, *arguments):
    global left
    arguments = [list(one) if name == "record_results" else one for one in arguments]
    whole(self, *arguments)
    left -= kinds(arguments).count(kind)
    if left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)

setattr(Store, name, dying)
from nas.cli import main
sys.argv = ["nas", "search", "small.yaml", "--local"]
main()
"""
POINTS = (
    ("record_results", "scores-validation", 3),
    ("extend", "routed", 1),
    ("record_results", "route-validation", 2),
    ("record_trial", "route", 1),
    ("record_trial", "route", 2),
    ("record_results", "scores-test", 1),
    ("record_results", "route-test", 1),
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_wherever_it_writes(tmp_path: Path) -> None:
    train = {"preset": "fast", "epochs": 1, "seeds": 2, "confirm": 1, "deterministic": True}
    for folder in (tmp_path / "whole", tmp_path / "killed"):
        folder.mkdir()
        write_spec(folder, base=BASE, budget=BUDGET, methods=METHODS, train=train)
    whole = run_nas(tmp_path / "whole", "search", "small.yaml", "--local", timeout=300)
    assert whole.returncode == 0, whole.stderr
    for name, kind, count in POINTS:
        done = subprocess.run(
            [sys.executable, "-c", DYING, name, kind, str(count)],
            cwd=tmp_path / "killed", capture_output=True, text=True, check=False, env=environment(),
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL, f"{name} {kind}: {done.stderr}"
    again = run_nas(tmp_path / "killed", "search", "small.yaml", "--local", timeout=300)
    assert again.returncode == 0, again.stderr
    assert _found(tmp_path / "killed") == _found(tmp_path / "whole")


def _found(folder: Path) -> tuple[Any, list[Any], list[Any]]:
    """The front, all trials and the dynamic networks, without what a clock says."""
    front = json.loads(run_nas(folder, "front", "small", "--json").stdout)
    for network in front["networks"]:
        network.pop("seconds", None)
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{folder}/nas.db")
    clock = ("wall_seconds", "members")
    trials = [
        (trial.state, trial.values, {key: value for key, value in trial.user_attrs.items() if key not in clock})
        for trial in study.trials
    ]
    dynamic = json.loads(run_nas(folder, "dynamic", "small", "--json").stdout)
    return front["networks"], sorted(trials, key=str), [one["points"] for one in dynamic]
