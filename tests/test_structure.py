"""What the project holds itself to: import directions, file sizes, every key documented."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from nas.spec import Spec
from nas.spec_errors import _models

ROOT = Path(__file__).parents[1]
PACKAGES = {  # what each may import of the others
    "search_spaces": set[str](),
    "trials": {"search_spaces"},
    "dashboards": {"trials", "search_spaces"},
    "nas": {"dashboards", "trials", "search_spaces"},
}
ONLY_IN = {
    "ray": {"trials/ray_check.py", "trials/ray_start.py", "trials/ray_tune.py", "trials/ray_workers.py"},
    "optuna": {"trials/artifacts.py", "trials/store.py", "trials/studies.py"},
    "optuna_dashboard": {"dashboards/serve.py"},
    "sklearn": {"trials/dataset.py"},
    "ruamel": {"nas/spec_text.py", "nas/texts.py"},
    "plotly": {
        "dashboards/cost_figure.py",
        "dashboards/descent.py",
        "dashboards/dynamic.py",
        "dashboards/figures.py",
        "dashboards/grid.py",
        "dashboards/hypervolume.py",
        "dashboards/look.py",
        "dashboards/report_html.py",
        "dashboards/resolution.py",
    },
    "typer": {
        "nas/cli.py",
        "nas/cli_export.py",
        "nas/cli_first.py",
        "nas/cli_networks.py",
        "nas/cli_report.py",
        "nas/cli_service.py",
        "nas/cli_storage.py",
        "nas/options.py",
    },
}
TORCH = (  # of search_spaces
    "search_spaces/build.py",
    "search_spaces/fuse.py",
    "search_spaces/fused_layers.py",
    "search_spaces/layer_code.py",
    "search_spaces/magnitude.py",
    "search_spaces/modules.py",
    "search_spaces/routing.py",
    "search_spaces/shrink.py",
    "search_spaces/taylor.py",
    "search_spaces/torchvision_networks.py",
    "search_spaces/trace/",
)
LAZY = {  # where torch, torchvision, Ray or fsspec is loaded by what needs it alone
    "trials/folders.py",
    "trials/torchvision_source.py",
    "trials/loop.py",
    "trials/precision.py",
    "trials/ray_start.py",
    "trials/ray_workers.py",
    "nas/cli.py",
    "nas/cli_export.py",
    "nas/cli_first.py",
    "nas/examine.py",
    "nas/export_onnx.py",
    "nas/cli_networks.py",
    "nas/cost_report.py",
    "nas/cli_service.py",
    "nas/drive.py",
    "nas/cli_storage.py",
    "nas/cli_report.py",
    "nas/__init__.py",
    "nas/networks.py",
    "nas/once.py",
    "nas/run.py",
}
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Top-level package of every import, and whether it stands inside a function."""
    tree = ast.parse(path.read_text())
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name.partition(".")[0], id(node) in inner
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports name the whole module"
            yield (node.module or "").partition(".")[0], id(node) in inner


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    package = name.partition("/")[0]
    for imported, inside in imports(path):
        if imported in PACKAGES and imported != package:
            assert imported in PACKAGES[package], f"{name} imports {imported}"
        assert name in ONLY_IN.get(imported, {name}), f"{name} imports {imported}"
        assert not inside or name in LAZY, f"{name} hides an import of {imported} in a function"
        if package == "search_spaces" and imported in ("torch", "torchvision"):
            assert name.startswith(TORCH), f"{name} imports {imported}"


def test_search_spaces_need_little() -> None:
    known = {"numpy", "scipy", "threadpoolctl", "torch", "torchvision", "search_spaces"}
    standard = __import__("sys").stdlib_module_names
    for path in (ROOT / "search_spaces").rglob("*.py"):
        assert {name for name, _ in imports(path)} <= known | standard, path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


def test_every_dependency_is_imported_where_it_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    modules = {
        "optuna-dashboard": "optuna_dashboard",
        "ruamel.yaml": "ruamel",
        "scikit-learn": "sklearn",
        "pillow": "PIL",
        "universal-pathlib": "upath",
    }
    for dependency in project["dependencies"]:
        name = re.split(r"[\[><=,]", dependency)[0]
        (line,) = [line for line in lines if line.strip().startswith(f'"{dependency}"')]
        for module in re.findall(r"((?:nas|trials|dashboards|search_spaces)(?:\.\w+)?)", line.partition("#")[2]):
            path = ROOT / (module.replace(".", "/") + ".py")
            places = [path] if path.exists() else list((ROOT / module).glob("*.py"))
            wanted = modules.get(name, name)
            assert any(wanted in {imported for imported, _ in imports(place)} for place in places), (name, module)


def keys(model: type[BaseModel], place: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name and description of every key of the spec."""
    for name, field in model.model_fields.items():
        yield f"{place}{name}", field.description or ""
        for inner in _models(field.annotation):
            named = inner.model_fields.get("name") if name == "methods" else None
            which = f"[{get_args(named.annotation)[0]}]" if named else ""
            yield from keys(inner, f"{place}{name}{which}.")


def test_every_key_is_documented() -> None:
    document = (ROOT / "docs" / "spec.md").read_text()
    for key, description in keys(Spec):
        assert description, f"{key} has no description"
        rows = [line for line in document.splitlines() if line.startswith(f"| `{key}` |")]
        assert [row.endswith(f"| {description} |") for row in rows] == [True], f"docs/spec.md must explain {key}"


def test_commands_in_documents_exist() -> None:
    commands = set(re.findall(r'app\.command\(epilog="Example: nas (\w+)', (ROOT / "nas" / "cli.py").read_text()))
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for command in re.findall(r"(?:`|\$ |^)nas ([a-z]+)", path.read_text(), flags=re.MULTILINE):
            assert command in commands, f"{path.name}: nas {command}"
