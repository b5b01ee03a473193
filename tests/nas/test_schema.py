"""Schemas for editors: they take every spec that the service takes, and refuse what it refuses."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

import nas
from nas.schema import spec_schema
from nas.spec import parse_spec
from nas.spec_errors import SpecError
from tests.conftest import SMALL, run_nas

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
POINTER = re.compile(r"^# yaml-language-server: \$schema=(\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    found = spec_schema()
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def with_value(place: str, value: Any) -> dict[str, Any]:
    spec = copy.deepcopy(SMALL)
    section: Any = spec
    *outer, last = place.split(".")
    for part in outer:
        section = section[int(part)] if part.isdigit() else section.setdefault(part, {})
    section[last] = value
    return spec


def test_published_schema_is_the_specs_own(schema: dict[str, Any]) -> None:
    published = json.loads((Path(nas.__file__).with_name("spec.schema.json")).read_text())
    assert published == schema, "write it again with: make schema"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_keep_it_and_point_to_it(schema: dict[str, Any], path: Path) -> None:
    jsonschema.validate(YAML(typ="safe", pure=True).load(path.read_text()), schema)
    (pointed,) = POINTER.findall(path.read_text())
    assert (path.parent / pointed).resolve() == Path(nas.__file__).with_name("spec.schema.json").resolve()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("budget", {"params": "0.58M", "macs": 1000000, "activation": "1.5x", "latency": 2.5}),
        ("budget", {"macs_worst": "300K"}),
        ("train.epochs", "1e2"),
        ("train.learning_rate", "0.5"),
        ("methods", []),
        ("methods.0.keep", ["params", "activation"]),
        ("methods", [{"name": "neuralscale", "tau": "activation", "shares": ["0.5", 1]}, {"name": "msnet"}]),
        ("prune.batch_size", "1K"),
    ],
)
def test_what_the_service_takes(schema: dict[str, Any], place: str, value: Any) -> None:
    spec = with_value(place, value)
    try:
        parse_spec(spec, origin="test")
    except SpecError as error:
        pytest.fail(str(error))
    jsonschema.validate(spec, schema)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("surprise", 1),
        ("train.epoch", 1),
        ("train.epochs", 0),
        ("train.epochs", "many"),
        ("train.epochs", 1.5),
        ("train.label_smoothing", 1),
        ("budget.params", "1.0y"),
        ("budget.params", -1),
        ("methods", [{"name": "magic"}]),
        ("methods", [{"name": "msnet", "stages": 2}]),
        ("methods", [{"name": "isometric", "depth": [0]}]),
        ("objectives", ["speed"]),
        ("data.split.validation", 0.5),
        ("base", "lenet"),
    ],
)
def test_what_the_service_refuses(schema: dict[str, Any], place: str, value: Any) -> None:
    spec = with_value(place, value)
    with pytest.raises(SpecError):
        parse_spec(spec, origin="test")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec, schema)


def test_the_command(tmp_path: Path, schema: dict[str, Any]) -> None:
    assert json.loads(run_nas(tmp_path, "schema").stdout) == schema
    published = Path(nas.__file__).with_name("network.schema.json").read_text()
    assert run_nas(tmp_path, "schema", "--export").stdout == published
