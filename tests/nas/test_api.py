"""`import nas`: what the commands print, as objects."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

import nas
from dashboards import Front
from nas.cost_report import CostReport
from nas.planning import Plan
from nas.spec import read_spec
from tests.conftest import SMALL, environment, run_nas, write_spec
from tests.test_structure import PACKAGES, ROOT

RUNNER = """
import asyncio, json, sys

async def cells():  # as in a notebook: in a running loop, of a process whose code can be imported from nowhere
    names = {"__name__": "__main__"}
    for block in json.load(open(sys.argv[1])):
        exec(compile(block, "cell", "exec"), names)

asyncio.run(cells())  # as in a script without a guard
"""


@pytest.mark.slow
def test_documented_examples_run(tmp_path: Path) -> None:
    """Every block of docs/python.md in order, on Ray; in a folder whose modules nobody may import."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), flags=re.DOTALL)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "blocks.json").write_text(json.dumps(blocks))
    (tmp_path / "scripts" / "run.py").write_text(RUNNER)
    work = tmp_path / "work"
    work.mkdir()
    for module in ("torch", "numpy", "safetensors", "colorsys"):
        (work / f"{module}.py").write_text("open('/dev/stderr', 'w').write('HOSTILE')\nraise ImportError('hostile')\n")
    command = [sys.executable, str(tmp_path / "scripts" / "run.py"), str(tmp_path / "scripts" / "blocks.json")]
    done = subprocess.run(
        command,
        cwd=work,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**environment(), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert "HOSTILE" not in done.stderr
    assert "the spec: unknown key 'parms' in budget; known keys: params, macs" in done.stdout
    assert "3 networks, 6 trainings, about" in done.stdout
    assert re.search(r"^True \d+ 0\.\d+ 0\.\d+$", done.stdout, flags=re.MULTILINE)
    assert (work / "winner.json").exists()


def test_no_module_hides_a_function() -> None:
    """A module of the package that is imported takes the place of the function of its name."""
    assert not [
        name for name in nas.__all__ if (ROOT / "nas" / f"{name}.py").exists() or (ROOT / "nas" / name).is_dir()
    ]
    assert all(getattr(nas, name) is not None for name in nas.__all__)
    with pytest.raises(AttributeError, match="module 'nas' has no attribute 'surprise'"):
        nas.surprise  # type: ignore[attr-defined]  # noqa: B018


def test_importing_it_loads_nothing() -> None:
    script = "import sys, nas; print(sorted({'numpy', 'pydantic', 'torch', 'ray', 'optuna'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_front_is_the_commands(finished_search: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = f"sqlite:///{finished_search}/nas.db"
    front: Front = nas.front("small", storage)
    printed = run_nas(finished_search, "front", "small", "--json").stdout
    assert json.loads(json.dumps(front.to_json())) == json.loads(printed)
    monkeypatch.setenv("NAS_STORAGE", storage)
    assert nas.front("small") == front
    with pytest.raises(nas.NasError, match=r"a search must be in .*, but 'other' is not"):
        nas.front("other")


def test_plan_is_the_commands(tmp_path: Path) -> None:
    path = write_spec(tmp_path)
    plan: Plan = nas.plan(path)
    printed = run_nas(tmp_path, "plan", "small.yaml", "--json").stdout
    assert json.loads(json.dumps(plan.to_json())) == json.loads(printed)
    assert plan.estimated_seconds is not None
    for spec in (SMALL, read_spec(path), str(path)):
        quick = nas.plan(spec, estimate=False).to_json()
        assert quick == {name: value for name, value in plan.to_json().items() if name != "estimated_seconds"}


def test_cost_is_the_commands(tmp_path: Path) -> None:
    report: CostReport = nas.cost("vgg11", width=0.5, resolution=32, classes=10, conventions=["thop"])
    asked = "cost vgg11 --width 0.5 --resolution 32 --classes 10 --convention thop --json --per-layer"
    printed = json.loads(run_nas(tmp_path, *asked.split()).stdout)
    assert json.loads(json.dumps(report.to_json(per_layer=True))) == printed
    widths = [group["width"] for group in printed["width_groups"]]
    assert nas.cost("vgg11", widths=widths, resolution=32, classes=10).to_json()["macs"] == printed["macs"]
    (tmp_path / "network.json").write_text(json.dumps(report.architecture.to_json()))
    assert nas.cost(tmp_path / "network.json").to_json()["macs"] == printed["macs"]
    timed = nas.cost("lenet", resolution=28, classes=10, latency=True, batch_size=2)
    assert [one["batch_size"] for one in timed.latency] == [2]


def test_search_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = {**SMALL, "methods": [], "train": {"epochs": 1, "seeds": 1, "confirm": 0}}
    front = nas.search(spec, local=True, progress=False)
    assert front.complete
    assert front.winner is not None
    assert nas.search(nas.Spec.model_validate(spec), local=True, progress=False) == front == nas.front("small")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("spec", [{}, {"name": 1}, {**SMALL, "surprise": 1}, "no.yaml"])
def test_errors_are_one_line(spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for function in (nas.plan, nas.search):
        with pytest.raises(nas.NasError) as caught:
            function(spec)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_is_typed_and_whole(tmp_path: Path) -> None:
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = set(zipfile.ZipFile(built).namelist())
    assert {f"{package}/py.typed" for package in PACKAGES} | {"nas/network.schema.json"} <= names
    sources = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert sources == {name for name in names if name.endswith(".py")}
