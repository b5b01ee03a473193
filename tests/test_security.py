"""What no source of ours may do: run what it reads, put values into SQL, listen where nobody asked for it."""

import ast
import json
import os
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import LargeBinary, MetaData, PickleType, create_engine

from dashboards import read_front
from nas.networks import load_network
from nas.planning import make_plan
from nas.spec import parse_spec
from search_spaces import NasError
from tests.conftest import SMALL, environment, run_nas, write_spec
from tests.test_structure import FILES, ROOT
from trials.schema import Table
from trials.store import Store

RUNS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "runpy.run_path", "runpy.run_module"}
UNPICKLERS = {
    "pickle",
    "cPickle",
    "_pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "yaml",
    "subprocess",
}
MAY_RUN = {
    "nas/worker.py": {"subprocess"},  # its drivers
    "nas/doctor.py": {"subprocess"},  # its checks
    "nas/export_code.py": {"exec"},  # what it wrote itself of numbers and checked names
}
SQL = {
    "text",
    "literal_column",
    "DDL",
    "exec_driver_sql",
    "execute",
    "executemany",
    "executescript",
    "scalars",
    "scalar",
}


def called(node: ast.Call) -> str:
    """The dotted name of what is called."""
    return ast.unparse(node.func)


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield node


def is_put_together(node: ast.expr) -> bool:
    """Whether a text is made of parts: by an f-string, %, + or format()."""
    return any(
        isinstance(part, ast.JoinedStr)
        or (isinstance(part, ast.BinOp) and isinstance(part.op, ast.Add | ast.Mod))
        or (
            isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.func.attr in ("format", "join")
        )
        for part in ast.walk(node)
    )


def unsafe_sql(node: ast.Call) -> bool:
    name = called(node).rpartition(".")[2]
    return name in SQL and bool(node.args) and is_put_together(node.args[0])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sources(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found = {module.partition(".")[0] for module in modules} & UNPICKLERS
            assert found <= MAY_RUN.get(name, set()), f"{name} imports {modules}"
    for node in calls(path):
        place = f"{name}:{node.lineno}: {ast.unparse(node)[:80]}"
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        assert called(node) not in RUNS - MAY_RUN.get(name, set()), place
        assert not unsafe_sql(node), f"values go to SQL as bound parameters: {place}"
        assert called(node) != "importlib.import_module" or name == "nas/networks.py", place
        if called(node) == "torch.load":
            assert options.get("weights_only") == "True", place
        if called(node) == "np.load":
            assert options.get("allow_pickle") == "False", place
        if called(node) == "YAML":
            assert (options.get("typ"), options.get("pure")) == ("'safe'", "True"), place


@pytest.mark.parametrize(
    ("source", "unsafe"),
    [
        ('connection.execute(text(f"SELECT * FROM {name}"))', True),
        ('connection.exec_driver_sql("SELECT %s" % name)', True),
        ('session.scalars(text("SELECT " + name))', True),
        ('text("SELECT {}".format(name))', True),
        ('connection.execute(text("SELECT :name"), {"name": name})', False),
        ("session.scalars(select(Row).where(Row.name == name))", False),
    ],
)
def test_how_sql_is_told(source: str, unsafe: bool) -> None:
    found = [unsafe_sql(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    assert any(found) == unsafe


def test_the_database_holds_no_pickles(finished_search: Path) -> None:
    """Our tables and Optuna's: texts and numbers alone, by type and by what is in them."""
    for table in Table.metadata.tables.values():
        assert not [column for column in table.columns if isinstance(column.type, LargeBinary | PickleType)]
    engine = create_engine(f"sqlite:///{finished_search}/nas.db")
    with engine.connect() as connection:
        found = MetaData()
        found.reflect(connection)
        for table in found.tables.values():
            for row in connection.execute(table.select()):
                assert not [value for value in row if isinstance(value, bytes)], table.name
    engine.dispose()


class _Touches:
    """A pickle that leaves a mark when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_pickles_in_the_database_are_not_loaded(finished_search: Path, tmp_path: Path) -> None:
    """Optuna's CMA-ES sampler would load one from this attribute."""
    content = (finished_search / "nas.db").read_bytes()
    (tmp_path / "nas.db").write_bytes(content)
    poison = pickle.dumps(_Touches(tmp_path / "mark"))
    with sqlite3.connect(tmp_path / "nas.db") as connection:
        for key, value in (("cma:optimizer", f'"{poison.hex()}"'), ("other", f'"{poison.hex()}"')):
            connection.execute(
                "INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES (1, ?, ?)", (key, value)
            )
    connection.close()
    with Store(f"sqlite:///{tmp_path}/nas.db") as store:
        assert read_front(store, "small").complete
    assert not (tmp_path / "mark").exists()


HOSTILE_MODULE = "from pathlib import Path\nPath('mark').touch()\ndef make():\n    raise SystemExit\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with code in it, and beside it."""
    (tmp_path / "in").mkdir()
    for folder in (tmp_path, tmp_path / "in"):
        (folder / "hostile.py").write_text(HOSTILE_MODULE)
    monkeypatch.chdir(tmp_path / "in")
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.mark.parametrize(
    "base",
    [
        {"module": "hostile:make", "resolution": 14},
        {"network": "module:hostile:make", "resolution": 14},
        {"module": "../hostile:make", "resolution": 14},
        {"module": "os:getcwd", "resolution": 14},
    ],
)
def test_code_runs_only_when_allowed(base: dict[str, object], here: Path) -> None:
    spec = parse_spec({**SMALL, "base": base, "methods": [{"name": "uniform"}]}, origin="small")
    with pytest.raises(NasError, match=r"code of your own runs only when allowed, but .* needs it; pass --allow-code"):
        make_plan(spec)
    stored = parse_spec(json.loads(json.dumps(spec.model_dump(mode="json"))), origin="the stored spec")
    with pytest.raises(NasError, match="code of your own runs only when allowed"):
        make_plan(stored)
    assert not list(here.rglob("mark"))
    assert "hostile" not in sys.modules


@pytest.mark.parametrize(
    "content",
    [
        {"module": "hostile:make"},
        {"architecture": {"module": "hostile:make", "input": [1, 8, 8], "nodes": []}},
        {"input": [1, 8, 8], "nodes": [{"name": "a", "inputs": ["input"], "op": "module:hostile:make"}]},
        {"input": [1, 8, 8], "nodes": [{"name": "a", "inputs": ["input"], "op": "__class__", "module": "hostile"}]},
    ],
)
def test_networks_in_files_name_no_code(content: object, here: Path) -> None:
    Path("network.json").write_text(json.dumps(content))
    with pytest.raises(NasError):
        load_network("network.json", allow_code=True)
    assert not list(here.rglob("mark"))


def test_no_path_leads_to_code_that_is_not_importable(here: Path) -> None:
    """With --allow-code a module is a dotted name, never a file somewhere else."""
    for module in ("../hostile:make", ".hostile:make", "..hostile:make", f"{here}/hostile:make"):
        with pytest.raises(NasError, match="must make a module, but raises"):
            load_network(f"module:{module}", resolution=8, allow_code=True)
        assert not list(here.rglob("mark"))


def test_the_command_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "hostile.py").write_text(HOSTILE_MODULE)
    spec = write_spec(tmp_path, base={"module": "hostile:make", "resolution": 14}, methods=[{"name": "uniform"}])
    before = sorted(tmp_path.iterdir())
    done = run_nas(tmp_path, "search", str(spec), "--local")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: base: code of your own runs only when allowed, but 'module:hostile:make'")
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def listening(pid: int) -> set[str]:
    """Addresses on which a process and what it started accept connections."""
    own = {pid}
    for found in sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        with suppress(OSError):  # it has ended
            if int((Path("/proc") / str(found) / "stat").read_text().rpartition(")")[2].split()[1]) in own:
                own.add(found)
    sockets = set()
    for path in (path for one in own for path in (Path("/proc") / str(one) / "fd").glob("*")):
        with suppress(OSError):
            sockets.add(os.readlink(path))
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in (Path("/proc/net") / name).read_text().splitlines()[1:]
    ]
    return {line[1].partition(":")[0] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets}


@pytest.mark.slow
def test_ray_listens_on_the_loopback_address_alone(tmp_path: Path) -> None:
    script = """
import sys
from trials.placement import Placement
from trials.ray_workers import start_workers
import ray
with start_workers(Placement()) as workers:
    ray.get(workers().actors[0].ready.remote())
    print("ready", flush=True)
    sys.stdin.read()
"""
    env = {**environment(), "HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=-1, stdout=-1, text=True, cwd=tmp_path, env=env
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        found = listening(process.pid)
        process.communicate("")
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}  # 127.0.0.1, ::1
    assert found
    assert found <= loopback
    assert process.returncode == 0
    assert not (tmp_path / ".ray").exists(), "the token is in no file"
