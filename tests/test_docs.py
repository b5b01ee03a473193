"""The documents keep their word: commands parse, examples and links are there, specs are such, counts are as shown."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from nas.cli import app
from nas.export_format import ExportedNetwork
from nas.spec import Spec, parse_spec
from tests.conftest import SMALL, run_nas
from tests.documents import DOCUMENTS, EXAMPLE, ROOT, anchors, arguments_of, blocks, links, nas_commands, without_fences

GROUP: Any = typer.main.get_command(app)
COUNTING = ("cost", "scale")  # these train nothing, so what is shown of them is exact
EXACT = [
    pytest.param(shown.command, shown.output, id=f"{path.stem}: {shown.command[:40]}")
    for path in DOCUMENTS
    if path.stem != "tutorial"  # tests.test_tutorial
    for block in blocks(path)
    if block.language == "console" and block.title != EXAMPLE
    for shown in block.shown()
    if shown.output and shown.command.split()[:2] in [["nas", name] for name in COUNTING]
]


def check_parses(arguments: list[str]) -> None:
    """That the command exists, its options do, and all values are of the right kind; nothing is run."""
    assert arguments, "nas alone"
    command = GROUP.commands[arguments[0]]
    command.make_context(arguments[0], arguments[1:], parent=typer.Context(GROUP))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_parse(path: Path) -> None:
    for arguments in nas_commands(path):
        check_parses(arguments)


@pytest.mark.parametrize(
    "wrong",
    ["nas sarch x.yaml", "nas search", "nas search x.yaml --locale", "nas cost lenet --resolution big", "nas compare"],
)
def test_wrong_commands_do_not_parse(wrong: str) -> None:
    (arguments,) = arguments_of(wrong)
    with pytest.raises(Exception, match=r"sarch|[Mm]issing|No such option|valid int"):
        check_parses(arguments)


def test_commands_are_found_in_lines_of_shell() -> None:
    line = "sed s/a/b/ in > out && A=1 nas search out; nas front x --json | jq .  # nas plan it's no command"
    assert list(arguments_of(line)) == [["search", "out"], ["front", "x", "--json"]]
    assert sum(1 for path in DOCUMENTS for _ in nas_commands(path)) > 40


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_options_in_the_text_exist(path: Path) -> None:
    """`nas front NAME --plot` in a sentence, with placeholders."""
    for code in re.findall(r"`nas ([a-z]+ [^`]*)`", without_fences(path.read_text())):
        name, *rest = code.split()
        known = {option for parameter in GROUP.commands[name].params for option in parameter.opts} | {"--help"}
        used = {word.partition("=")[0].rstrip(",.)") for word in rest if word.startswith("-") and word != "-"}
        assert used <= known, f"`nas {code}`"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_examples_exist(path: Path) -> None:
    for name in re.findall(r"\bexamples/[\w./-]+\.(?:yaml|json)", path.read_text()):
        assert (ROOT / name).is_file(), f"{path.name}: {name}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for file, anchor in links(path):
        target = (path.parent / file) if file else path
        assert target.exists(), f"{path.name}: {file}"
        assert not anchor or anchor in anchors(target), f"{path.name}: {file}#{anchor}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_specs_are_such(path: Path) -> None:
    """YAML blocks that hold keys of the spec alone: whole specs as they are, parts put into a small one."""
    for block in blocks(path):
        data = YAML(typ="safe").load(block.text) if block.language == "yaml" else None
        if isinstance(data, dict) and set(data) <= set(Spec.model_fields):
            parse_spec(SMALL | data, origin=f"{path.name}: {block.text}")


def test_every_key_of_an_export_is_documented() -> None:
    document = (ROOT / "docs" / "export.md").read_text()
    for key, field in ExportedNetwork.model_fields.items():
        assert f"\n| `{key}` | {field.description} |\n" in document, f"docs/export.md must explain {key}"


@pytest.mark.parametrize(("command", "output"), EXACT)
def test_counts_are_as_shown(command: str, output: tuple[str, ...]) -> None:
    (arguments,) = arguments_of(command)
    done = run_nas(ROOT, *arguments)
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in output] == [line.split() for line in done.stdout.splitlines() if line.strip()]


def test_counts_are_shown() -> None:
    assert {str(param.id).partition(":")[0] for param in EXACT} == {"README", "costs", "neuralscale"}
