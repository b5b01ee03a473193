"""Searches small enough for every run of the tests, on real images, with real workers."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from ruamel.yaml import YAML

# one thread for torch, here and in the processes that tests start: two pools on the same cores are slower than one
os.environ["OMP_NUM_THREADS"] = "1"

from nas.spec import Spec, parse_spec
from tests.postgres import Server, run_server
from trials.store import Store

# the same examples in every run, and no limit on the time of one: the machine may be busy
settings.register_profile("tests", derandomize=True, deadline=None)
settings.load_profile("tests")

NAS = str(Path(sys.executable).with_name("nas"))

SMALL: dict[str, Any] = {
    "name": "small",
    "data": {"source": "mnist5k"},
    "base": {
        "network": "lenet",
        "resolution": 14,
        "conv1": {"channels": 6, "kernel": 3},
        "conv2": {"channels": 8, "kernel": 5},
    },
    "budget": {"params": "1.0x", "macs": "1.0x"},
    "methods": [{"name": "compensation", "approaches": ["IV"], "tolerance": 0.1}],
    "train": {"preset": "borji", "epochs": 1, "seeds": 2, "confirm": 0, "deterministic": True},
    "search": {"max_candidates": 2, "workers": 2},
    "storage": "sqlite:///nas.db",
}


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Step times are not kept from one run of the tests to the next, and no storage comes from outside."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    for name in ("NAS_STORAGE", "NAS_CHECKPOINTS", "NAS_WAIT_SECONDS", "NAS_RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server; skips where there is none."""
    with run_server() as server:
        yield server


@pytest.fixture(scope="session")
def made_database(postgres: Server) -> str:
    """The name of a database in which all tables are made, to be copied: making them takes a second."""
    url = postgres.make_database()
    with Store(url, create=True):
        pass
    return url.rpartition("/")[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind; on PostgreSQL its tables are made already, unless the test asks for a fresh one."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/nas.db"
    server: Server = request.getfixturevalue("postgres")
    if request.param == "fresh":
        return server.make_database()
    return server.make_database(request.getfixturevalue("made_database"))


@pytest.fixture(scope="session")
def small() -> Callable[..., Spec]:
    """The small spec; keyword arguments replace its sections."""

    def make(**changes: Any) -> Spec:
        return parse_spec(SMALL | changes, origin="small")

    return make


def write_spec(folder: Path, **changes: Any) -> Path:
    """The small spec as a file in a folder."""
    path = folder / "small.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump(SMALL | changes, file)
    return path


def run_nas(folder: Path, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """The installed command in a folder, as a person runs it."""
    return subprocess.run(
        [NAS, *arguments], cwd=folder, capture_output=True, text=True, timeout=timeout, check=False, env=environment()
    )


def heed_interrupts() -> None:
    """In a new process: Ctrl-C counts, also where the tests run in the background of a shell, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def environment() -> dict[str, str]:
    """For a process of the tests: colours off, and a width at which nothing wraps."""
    return {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "120"}


@pytest.fixture(scope="session")
def finished_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `nas search small.yaml` has run on Ray to its end; tests only read it."""
    folder = tmp_path_factory.mktemp("finished")
    hostile = folder / "torch.py"  # nobody, and no worker of Ray's, may look for modules in the working folder
    hostile.write_text("raise ImportError('taken from the working folder')\n")
    done = run_nas(folder, "search", str(write_spec(folder)))
    assert done.returncode == 0, done.stderr
    hostile.unlink()
    (folder / "stdout.txt").write_text(done.stdout)
    (folder / "stderr.txt").write_text(done.stderr)
    return folder


TIGHT: dict[str, Any] = {  # the base is above the budget; two baselines
    "name": "tight",
    "budget": {"params": "0.9x", "macs": "0.8x"},
    "methods": [
        {"name": "uniform", "shares": [0.5, 1]},
        {"name": "multipliers", "width": [0.5], "resolution": [1, 0.75]},
    ],
    "objectives": ["accuracy", "macs", "params"],
    "train": SMALL["train"] | {"confirm": 2},
}


@pytest.fixture(scope="session")
def tight_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished search some of whose networks are above the budget; tests only read it."""
    folder = tmp_path_factory.mktemp("tight")
    done = run_nas(folder, "search", str(write_spec(folder, **TIGHT)), "--local")
    assert done.returncode == 0, done.stderr
    return folder
