"""The command line: its commands and options are frozen, its errors one line and status 2."""

import sqlite3
from pathlib import Path

import pytest
import torch
import typer

from nas.cli import app
from tests.conftest import run_nas, write_spec

COMMANDS = {
    "init": [
        "--activation", "--allow-code", "--base", "--data", "--epochs", "--force", "--macs", "--method", "--name",
        "--params", "--preset", "--resolution", "--root", "--seeds", "--side", "--width", "file",
    ],
    "doctor": ["--allow-code", "--json", "--storage", "--wait", "spec"],
    "plan": ["--allow-code", "--json", "spec"],
    "solve": ["--allow-code", "--approach", "--json", "--keep", "--scope", "--tolerance", "--two-sided", "spec"],
    "search": ["--allow-code", "--local", "spec"],
    "front": ["--json", "--plot", "--storage", "name"],
    "report": ["--force", "--format", "--output", "--storage", "name"],
    "compare": ["--json", "--methods", "--storage", "names"],
    "verify": ["--data", "--json", "--root", "--score", "path"],
    "dashboard": ["--allow-host", "--host", "--port", "--storage"],
    "submit": ["--allow-code", "--name", "--priority", "spec"],
    "worker": ["--allow-code", "--once", "--poll", "--storage"],
    "status": ["--json", "--storage", "--watch", "name"],
    "list": ["--json", "--storage"],
    "stop": ["--storage", "name"],
    "resume": ["--storage", "name"],
    "delete": ["--storage", "--yes", "name"],
    "logs": ["--follow", "--storage", "name"],
    "move": ["source", "target", "--checkpoints"],
    "upgrade": ["--storage"],
    "export": ["--card", "--code", "--force", "--onnx", "--output", "--storage", "--torch", "name"],
    "train": [
        "--continue", "--data", "--device", "--epochs", "--force", "--output", "--preset", "--root", "--seed", "path",
    ],
    "evaluate": ["--data", "--json", "--root", "--split", "path"],
    "diff": ["--json", "first", "second"],
    "schema": ["--export"],
    "cost": [
        "network", "--width", "--widths", "--resolution", "--classes", "--channels", "--per-layer", "--convention",
        "--latency", "--batch-size", "--device", "--allow-code", "--json",
    ],
    "descent": ["name", "--fit", "--iteration", "--draw", "--json", "--storage"],
    "grid": ["name", "--draw", "--json", "--storage"],
    "dynamic": ["--accuracy", "--draw", "--json", "--macs", "--storage", "name"],
    "scale": [
        "network", "--fit", "--params", "--macs", "--activation", "--resolution", "--classes", "--channels",
        "--multiple", "--floor", "--allow-code", "--json",
    ],
}  # fmt: skip


def test_commands_and_options_are_frozen() -> None:
    group = typer.main.get_command(app)
    root = {option for parameter in group.params for option in parameter.opts}
    assert root == {"--version", "--install-completion", "--show-completion"}
    found = {
        name: sorted(next((o for o in p.opts if o.startswith("--")), p.name or "") for p in command.params)
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }
    assert {name: [option for option in options if option != "--help"] for name, options in found.items()} == {
        name: sorted(options) for name, options in COMMANDS.items()
    }


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_help_shows_an_example(command: str, tmp_path: Path) -> None:
    done = run_nas(tmp_path, *command.split(), "--help")
    assert done.returncode == 0
    assert f"Example: nas {command}" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")  # whatever shell the tests run in, or none
    done = run_nas(tmp_path, "--show-completion", shell)
    assert done.returncode == 0
    assert "_NAS_COMPLETE" in done.stdout


def test_completion_knows_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_NAS_COMPLETE": "complete_bash", "COMP_WORDS": "nas se", "COMP_CWORD": "1"}.items():
        monkeypatch.setenv(name, value)
    assert run_nas(tmp_path).stdout.split() == ["search"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "no.yaml"], "error: a spec must be a readable YAML file, but no.yaml: No such file or directory"),
        (["search", "no.yaml"], "error: a spec must be a readable YAML file, but no.yaml: No such file or directory"),
        (
            ["front", "x"],
            "error: there must be a database at nas.db, but there is none; run a search, or use --storage",
        ),
        (["export", "x"], "error: there must be a database at nas.db"),
        (["report", "x", "-o", "r.html"], "error: there must be a database at nas.db"),
        (["report", "x", "-o", "r.pdf"], "error: a report's file must end in .html, .md or .json, but is r.pdf"),
        (["report", "x", "--format", "pdf"], "error: --format must be html, md or json, but is 'pdf'"),
        (["compare", "x"], "error: compare needs two searches, or one and two --methods, but got 1 names: x"),
        (["compare", "x", "y"], "error: there must be a database at nas.db"),
        (["dashboard"], "error: there must be a database at nas.db"),
        (["verify", "no.json"], "error: an exported network must be readable, but no.json: No such file"),
        (["front", "x", "--storage", "mysql://root:pw@h/d"], "but is mysql://root:***@h/d"),
    ],
)
def test_one_line_and_status_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = run_nas(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_usage_errors_are_status_2_without_a_traceback(tmp_path: Path) -> None:
    for arguments in (["nonsense"], ["plan"], ["dashboard", "--port", "x"]):
        done = run_nas(tmp_path, *arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_bad_spec_writes_nothing(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, budget={"params": "1.0x", "macs": 10})
    for command in ("plan", "search"):
        done = run_nas(tmp_path, command, str(spec))
        assert done.returncode == 2
        assert "9 to 10 macs (tolerance 0.1), but none of approach IV has; the nearest" in done.stderr
        assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_foreign_database_is_refused_by_a_search(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "nas.db") as connection:
        connection.execute("CREATE TABLE customers (id INTEGER)")
    connection.close()
    done = run_nas(tmp_path, "search", str(write_spec(tmp_path)))
    assert done.returncode == 2
    assert "error: database nas.db must be one of this service, but holds other tables; use another" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nas.db", "small.yaml"]


def test_names_cannot_write_to_the_terminal(finished_search: Path) -> None:
    done = run_nas(finished_search, "front", "\x1b[31mred\x07")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    assert "\x07" not in done.stderr


def test_storage_from_the_environment(finished_search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_STORAGE", f"sqlite:///{finished_search}/nas.db")
    done = run_nas(tmp_path, "front", "small")
    assert done.returncode == 0
    assert "small: base and front" in done.stdout


@pytest.mark.slow
def test_next_commands_name_another_storage(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, storage="sqlite:///other.db", train={"epochs": 1, "seeds": 1})
    done = run_nas(tmp_path, "search", str(spec), "--local")
    assert done.returncode == 0, done.stderr
    assert "next: nas export small -o winner.json --storage sqlite:///other.db" in done.stdout
    assert (tmp_path / "other.db-checkpoints").is_dir()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("flags", [[], ["--local"]])
def test_gpu_that_is_not_there(tmp_path: Path, flags: list[str]) -> None:
    spec = write_spec(tmp_path, search={"max_candidates": 2, "device": "cuda"})
    done = run_nas(tmp_path, "search", str(spec), *flags)
    assert done.returncode == 2
    assert done.stderr == (
        "error: search.device cuda needs a GPU that torch can use, but there is none; set it to cpu\n"
    )
