"""500 specs, exports and names that are a little wrong: each ends in one line or is valid; nothing is written."""

import hashlib
import io
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import nas
from nas.cli import main
from nas.export_files import write_export
from nas.routed import routed_id
from nas.spec import parse_spec
from search_spaces import one_line
from tests.conftest import SMALL
from tests.test_structure import ROOT
from trials.store import Store


def so_many(examples: int) -> settings:
    """Fixtures are shared by all of them, which is meant."""
    return settings(max_examples=examples, suppress_health_check=list(HealthCheck))


LETTERS = st.sampled_from("{}[]&*!|>%@`'\"#,:-?<=~\\/.\t\n\0 \x85\x1b\ufeff\u2028é\U0001f600019eExXnN")

WHOLE: dict[str, Any] = {
    **SMALL,
    "methods": [
        *SMALL["methods"],
        {"name": "isometric", "depth": [2, 4], "multiplier": [0.5], "internal": [7], "resolution": [14]},
        {"name": "multipliers", "width": [0.5, 1], "resolution": [1]},
        {"name": "uniform", "shares": [0.5, 1.0], "floor": 2, "multiple": 1},
        {"name": "neuralscale", "iterations": 2, "tau": "macs", "trained": "last"},
    ],
    "data": {**SMALL["data"], "root": "", "side": 28, "split": {"validation": 0.2, "test": 0.1, "seed": 3}},
    "prune": {"preset": "ours", "channels": 0.1, "floor": 2},
    "race": {"rule": "asha", "eta": 2, "min_epochs": 1},
    "train": {"preset": "fast", "epochs": 8, "seeds": 2, "confirm": 1, "optimizer": "sgd", "learning_rate": 0.1},
    "latency": {"batch_size": 2, "device": "cpu"},
    "objectives": ["accuracy", "macs", "params"],
}
STUDY: dict[str, Any] = {
    **SMALL,
    "study": {"resolutions": [9, 12], "originals": 2, "solutions": 1, "filters": [2, 4]},
    "train": {"epochs": 1, "seeds": 1, "confirm": 0},
}

SCALARS: list[Any] = [
    None, True, False, 0, -1, 1, 2, 7, 0.5, -0.0, 1e308, 1e-320, float("nan"), float("inf"), -float("inf"), 2**31,
    2**63, 10**30, -(10**30), "", " ", "x", "nan", "1e400", "1e99", "0x10", "1.0x", "-1x", "0.0x", "1_000", "é",
    "\ud800", "a\0b", "\u202egpj", "\x1b[31m", "../../x", "/etc/passwd", "/dev/null", "x" * 5000, "${HOME}",
    "module:os:getcwd", "torchvision:nonsense", "no.json", "resnet18:stem=99", "lenet", "IV", "cuda:99",
    "mysql://root:secret@h/d",
]  # fmt: skip
DEEP: Any = 1
for _ in range(60):
    DEEP = [DEEP]
KEYS = ["surprise", "", "name", "é\0", "__class__", "weights", "widths", "root", "side"]
LISTS = [[], {}, [[]], [1], [2, 1], [1, 2, 3], [None], {"a": 1}, {"name": "isometric"}, DEEP]
VALUES = st.sampled_from([*SCALARS, *LISTS]).map(deepcopy)


def places(data: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all values of plain data."""
    if at:
        yield at
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from places(value, (*at, key))


@st.composite
def changed(draw: st.DrawFn, data: Any) -> Any:
    """Plain data with one value, sometimes three, removed, replaced, doubled or added."""
    made = deepcopy(data)
    for _ in range(draw(st.sampled_from([1, 1, 1, 3]))):
        known = list(places(made))
        if not known:
            break
        *outer, last = draw(st.sampled_from(known))
        section = made
        for key in outer:
            section = section[key]
        match draw(st.sampled_from(["replace", "replace", "replace", "remove", "wrap", "add", "move"])):
            case "replace":
                section[last] = draw(VALUES)
            case "remove":
                del section[last]
            case "wrap":
                section[last] = draw(st.sampled_from([[section[last]], {"name": section[last]}, [section[last]] * 2]))
            case "add" if isinstance(section, dict):
                section[draw(st.sampled_from(KEYS))] = draw(VALUES)
            case _:
                made[draw(st.sampled_from(list(made)))] = deepcopy(section[last])
    return made


@st.composite
def text_of(draw: st.DrawFn, text: str) -> str:
    """A text that is cut, or has letters put in, taken out, or lines doubled."""
    at = draw(st.integers(0, len(text) - 1))
    match draw(st.sampled_from(["cut", "insert", "insert", "remove", "double"])):
        case "cut":
            return text[:at]
        case "insert":
            return text[:at] + draw(st.text(LETTERS, min_size=1, max_size=4)) + text[at:]
        case "remove":
            return text[:at] + text[at + draw(st.integers(1, 40)) :]
    lines = text.splitlines(keepends=True)
    where = draw(st.integers(0, len(lines) - 1))
    return "".join([*lines[:where], lines[where], *lines[where:]])


def as_yaml(data: Any) -> str:
    """JSON is YAML but for these."""
    return json.dumps(data).replace("NaN", ".nan").replace("-Infinity", "-.inf").replace("Infinity", ".inf")


SPECS = st.one_of(
    changed(WHOLE).map(as_yaml),
    changed(STUDY).map(as_yaml),
    text_of((ROOT / "examples" / "quickstart.yaml").read_text()),
)


def command(*arguments: str) -> tuple[int, str, str]:
    """Exit status and what is printed; what `main` does not expect is raised."""
    out, errors, status = io.StringIO(), io.StringIO(), 0
    with patch.object(sys, "argv", ["nas", *arguments]), redirect_stdout(out), redirect_stderr(errors):
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return status, out.getvalue(), errors.getvalue()


def assert_one_line(error: nas.NasError, *arguments: str) -> None:
    """That the command says the same in a line that is shown as it is, with status 2."""
    status, out, errors = command(*arguments)
    assert (status, out) == (2, "")
    assert errors.startswith("error: ")
    assert errors.endswith("\n")
    line = errors[:-1]
    assert line.isprintable()
    assert len(line) <= 2600
    assert "secret" not in line
    assert str(error).strip()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder of its own."""
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        yield folder


@pytest.mark.parametrize("spec", [WHOLE, STUDY])
def test_before_they_are_changed_they_are_valid(spec: dict[str, Any]) -> None:
    assert len(nas.plan(spec, estimate=False).networks) > 3


@so_many(250)
@given(text=SPECS)
def test_specs(place: Path, text: str) -> None:
    (place / "spec.yaml").write_bytes(text.encode())
    before = files(place)
    try:
        plan = nas.plan("spec.yaml", estimate=False)
    except nas.NasError as error:
        assert_one_line(error, "plan", "spec.yaml")
    else:
        assert plan.networks
        json.dumps(plan.to_json(), allow_nan=False)
    assert files(place) == before


@pytest.fixture(scope="module")
def exports(finished_search: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A folder with weights, and what is exported: a network, and the same as a dynamic one of a single exit."""
    folder = tmp_path_factory.mktemp("exports")
    with Store(f"sqlite:///{finished_search}/nas.db") as store:
        write_export(store, "small", folder / "plain.json", force=False)
    plain = json.loads((folder / "plain.json").read_text())
    tensors = load_file(folder / "plain.safetensors")
    save_file({f"networks.0.{name}": tensor for name, tensor in tensors.items()}, folder / "dynamic.safetensors")
    costs = plain["costs"]
    part = {name: plain[name] for name in ("network_id", "resolution", "architecture")}
    last = {"network": 0, "macs": costs["macs"], "threshold": None, "temperature": 1.5}
    sha256 = hashlib.sha256((folder / "dynamic.safetensors").read_bytes()).hexdigest()
    dynamic = {
        **plain,
        "architecture": None,
        "network_id": routed_id([plain["network_id"]], None),
        "costs": {**costs, "macs": float(costs["macs"]), "macs_worst": costs["macs"]},
        "dynamic": {
            "networks": [part],
            "exits": [{**last, "reached": {"validation": 10, "test": 10}}],
            "bound": None,
        },
        "weights": {**plain["weights"], "file": "dynamic.safetensors", "sha256": sha256},
    }
    for export in (plain, dynamic):
        (folder / "x.json").write_text(json.dumps(export))
        assert nas.load(folder / "x.json")(torch.zeros(2, 1, 9, 9, dtype=torch.uint8)).shape == (2, 10)
    return folder, [plain, dynamic]


@so_many(120)
@given(data=st.data())
def test_exports(exports: tuple[Path, list[Any]], data: st.DataObject) -> None:
    folder, contents = exports
    content = data.draw(st.sampled_from(contents))
    text = data.draw(st.one_of(changed(content).map(json.dumps), text_of(json.dumps(content, indent=1))))
    path = folder / "x.json"
    path.write_text(text)
    before = files(folder)
    try:
        network = nas.load(path)
    except nas.NasError as error:
        assert_one_line(error, "verify", str(path))
    else:
        assert network(torch.zeros(2, 1, 9, 9, dtype=torch.uint8)).shape == (2, 10)
    for arguments in (("cost", str(path)), ("verify", str(path))):  # of a network in JSON, whatever else is wrong
        status, _, errors = command(*arguments)
        assert status in (0, 2)
        assert errors.count("\n") <= 1
    assert files(folder) == before


@so_many(30)
@given(at=st.integers(0, 400), put=st.binary(min_size=1, max_size=8), cut=st.booleans())
def test_weights(exports: tuple[Path, list[Any]], at: int, put: bytes, cut: bool) -> None:
    """Of which the hash is right, so that their content is looked at."""
    folder, (content, _) = exports
    bytes_ = (folder / "plain.safetensors").read_bytes()
    other = bytes_[:at] if cut else bytes_[:at] + put + bytes_[at + len(put) :]
    (folder / "other.safetensors").write_bytes(other)
    weights = {**content["weights"], "file": "other.safetensors", "sha256": hashlib.sha256(other).hexdigest()}
    (folder / "x.json").write_text(json.dumps({**content, "weights": weights}))
    try:
        network = nas.load(folder / "x.json")
    except nas.NasError as error:
        assert_one_line(error, "verify", str(folder / "x.json"))
    else:
        assert network(torch.zeros(1, 1, 9, 9, dtype=torch.uint8)).shape == (1, 10)


@pytest.fixture(scope="module")
def store(finished_search: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{finished_search}/nas.db") as opened:
        yield opened


NAMES = st.one_of(
    st.text(st.sampled_from("ab./\\:\0 ~-_$`;|&*?<>'\"\n\x1b\u2044\uff0f\u202e\u200b\ud800éÉ\U0001f600"), max_size=12),
    st.sampled_from(
        ["small", "..", ".", "/", "nul", "NUL.json", "a" * 300, "é" * 130, "x\0.json", "%s", "' OR 1=1 --"]
    ),
)


@so_many(100)
@given(name=NAMES)
def test_names(store: Store, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    try:
        found = parse_spec({**SMALL, "name": name}, origin="small").name
    except nas.NasError as error:
        told = str(error)
    else:
        told = ""
        assert found == name
        assert not set(name) & set("/\\\0:")
    assert not told or told.startswith("small: name ")
    storage = str(store.engines[0].url)
    status, out, errors = command("front", "--storage", storage, "--", name)
    assert (status == 0) == (name == "small")
    assert name == "small" or (out == "" and errors.count("\n") == 1)
    if "/" in name:  # a folder that one names oneself is one's own choice
        return
    outer = tmp_path_factory.mktemp("names")
    (outer / "in").mkdir()
    try:
        write_export(store, "small", outer / "in" / f"{name}.json", force=False)
    except nas.NasError as error:
        told, wanted = one_line(error), set[str]()
    else:
        told, wanted = "", {f"in/{name}.json", f"in/{name}.safetensors"}
    assert set(files(outer)) == wanted
    assert bool(told) != bool(wanted)
    shutil.rmtree(outer)
