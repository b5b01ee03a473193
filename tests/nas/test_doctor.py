"""What `nas doctor` says of machines, databases, folders and specs that are well, and of those that are not."""

import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from importlib.metadata import PathDistribution
from io import StringIO
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from nas.checks_machine import check_machine, installed_packages, nearest
from nas.checks_spec import check_spec
from nas.checks_store import check_checkpoints, check_database
from nas.checks_torch import check_torch
from nas.doctor import Order, _findings, _start, _wait, examine, print_finding, print_summary, worst
from nas.findings import Finding, ok, problem, refused, warning
from nas.spec import read_spec
from search_spaces import NasError
from tests.conftest import NAS, environment, run_nas, write_spec
from tests.object_store import run_s3
from tests.postgres import PASSWORD, Server
from tests.ray_cluster import two_nodes
from trials.database import StoreError
from trials.folders import FolderError


def named(findings: Iterator[Finding], name: str) -> Finding:
    """The one finding of this name."""
    (found,) = [finding for finding in findings if finding.name == name]
    return found


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_findings_travel_as_one_line_without_passwords() -> None:
    found = problem("database", "no answer\nof postgresql://me:geheim@host/nas \x1b[31m", "a\tb")
    plain = found.to_json()
    assert plain["text"] == "no answer of postgresql://me:***@host/nas ?[31m"
    assert Finding.from_json(plain) == Finding("database", "problem", plain["text"], "a b")
    assert refused("x", NasError("must be 1; but is 2; set it to 1")) == problem(
        "x", "must be 1; but is 2", "set it to 1"
    )
    assert refused("x", NasError("must be 1")) == problem("x", "must be 1")


def test_the_worst_counts() -> None:
    one, two, three = ok("a", "b"), warning("a", "b", "c"), problem("a", "b")
    assert [worst(some) for some in ([], [one], [one, two], [two, three, one])] == ["ok", "ok", "warning", "problem"]
    console = Console(record=True, width=80, file=StringIO())
    print_finding(console, two)
    print_summary(console, [one, two, two, three])
    print_summary(console, [one])
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert lines == [
        "warning  a            b", "                      way out: c", "1 problem, 2 warnings",
        "all that a search needs is there",
    ]  # fmt: skip


def test_this_machine(tmp_path: Path) -> None:
    found = list(check_machine(None, f"sqlite:///{tmp_path}/no/nas.db", None))
    states = {finding.name: finding.state for finding in found}
    assert (states["python"], states["packages"], states["extras"], states["cores"]) == ("ok", "ok", "ok", "ok")
    assert "the database, weights" in next(one.text for one in found if one.name == "disk" and "weights" in one.text)
    assert nearest(tmp_path / "no" / "where") == tmp_path


def test_more_workers_than_cores(tmp_path: Path) -> None:
    spec = read_spec(write_spec(tmp_path, search={}, ray={"max_concurrent": 500, "cpus_per_job": 2}))
    found = named(check_machine(spec, spec.storage, None), "cores")
    assert found.state == "warning"
    assert found.way_out.startswith("lower ray.max_concurrent to ")
    joined = read_spec(write_spec(tmp_path, search={}, ray={"max_concurrent": 500, "address": "10.0.0.1:6379"}))
    assert named(check_machine(joined, spec.storage, None), "cores").state == "ok"


def test_packages_that_do_not_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, wants in {"first-tool": "second-tool[fast]>=2", "second-tool": "third-tool<1; extra == 'fast'"}.items():
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: {wants}\n")
        assert PathDistribution(folder).version == "1.0"
    monkeypatch.syspath_prepend(str(tmp_path))
    names, wrong = installed_packages("first-tool")
    assert names == {"first-tool", "second-tool"}
    assert sorted(text for _, text in wrong) == [
        "first-tool needs second-tool>=2, but 1.0 is installed",
        "second-tool needs third-tool<1, which is not installed",
    ]


def test_torch_computes(tmp_path: Path) -> None:
    found = list(check_torch(None))
    assert found[0].name == "torch"
    assert found[0].state == "ok"
    assert "a convolution and its gradient are right" in found[0].text
    if found[1].text == "none that torch can use: jobs run on the CPU":
        spec = read_spec(write_spec(tmp_path, search={"device": "cuda"}))
        assert named(check_torch(spec), "gpu") == problem(
            "gpu", "none that torch can use", "set search.device to cpu"
        )  # fmt: skip


def test_a_database_that_will_be_made(tmp_path: Path) -> None:
    (found,) = check_database(f"sqlite:///{tmp_path}/nas.db", None)
    assert found == ok("database", f"will be made at {tmp_path}/nas.db")
    (found,) = check_database(f"sqlite:///{tmp_path}/no/nas.db", None)
    assert found.text == f"the folder {tmp_path}/no does not exist"
    assert list(tmp_path.iterdir()) == []


def test_a_database_with_a_search_is_read_alone(finished_search: Path) -> None:
    url, before = f"sqlite:///{finished_search}/nas.db", contents(finished_search)
    database, search = check_database(url, read_spec(finished_search / "small.yaml"))
    assert database.state == "ok"
    assert "1 searches, revision 00" in database.text
    assert search == ok("search", "small is there, and complete")
    (weights,) = check_checkpoints(url, None)
    assert weights.text == f"{finished_search}/nas.db-checkpoints: a file was written, read and removed"
    assert contents(finished_search) == before


def test_a_name_that_is_taken(finished_search: Path, tmp_path: Path) -> None:
    spec = read_spec(write_spec(tmp_path, budget={"params": "0.9x"}))
    found = named(check_database(f"sqlite:///{finished_search}/nas.db", spec), "search")
    assert found.state == "problem"
    assert found.text.startswith("search 'small' must keep its spec, but budget.params differs")
    assert found.way_out == "give this one another name"


def test_a_database_that_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trials.database_facts.LOCK_SECONDS", 0.1)
    path = tmp_path / "nas.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("CREATE TABLE nas_alembic_version (version_num TEXT)")
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="must be writable, but: database is locked; end what has it open"):
            list(check_database(f"sqlite:///{path}", None))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no database at all", "must be a SQLite database, but is another file"),
        (None, "must be one of this service, but holds other tables; use another"),
    ],
)
def test_files_that_are_no_database_of_ours(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "nas.db"
    if content is None:
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE customers (id INTEGER)")
    else:
        path.write_bytes(content * 50)
    before = contents(tmp_path)
    with pytest.raises(StoreError, match=message):
        list(check_database(f"sqlite:///{path}", None))
    assert contents(tmp_path) == before


def test_a_database_on_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/home {tmp_path}/my\\040data nfs4 rw 0 0\n")
    (tmp_path / "my data").mkdir()
    monkeypatch.setattr("trials.database_facts.MOUNTS", mounts)
    found = list(check_database(f"sqlite:///{tmp_path}/my data/nas.db", None))
    assert [finding.state for finding in found] == ["warning", "ok"]
    assert "on a file system of kind nfs4" in found[0].text
    assert [finding.state for finding in check_database(f"sqlite:///{tmp_path}/nas.db", None)] == ["ok"]


def test_postgresql(postgres: Server, made_database: str, tmp_path: Path) -> None:
    empty, made = postgres.make_database(), postgres.make_database(made_database)
    (found,) = check_database(empty, None)
    assert found.state == "ok"
    assert "PostgreSQL 1" in found.text
    assert found.text.endswith("0 searches; its tables will be made")
    assert PASSWORD not in found.text
    (found,) = check_database(made, None)
    assert "0 searches, revision 00" in found.text
    (found,) = check_checkpoints(made, None)
    assert (found.state, found.way_out) == (
        "problem", "name one by checkpoints in the spec, or by NAS_CHECKPOINTS"
    )  # fmt: skip
    (found,) = check_checkpoints(made, str(tmp_path))
    assert found.state == "ok"
    name = made.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    (found,) = check_database(made, None)
    assert found.state == "problem"
    assert "its transactions are read-only" in found.text
    with pytest.raises(StoreError, match=r"must answer, but: .*does not exist"):
        list(check_database(postgres.url("nowhere"), None))


def test_a_database_of_an_older_version(postgres: Server, made_database: str) -> None:
    url = postgres.make_database(made_database)
    postgres.execute("UPDATE nas_alembic_version SET version_num = '0002'", url.rpartition("/")[2])
    (found,) = check_database(url, None)
    assert found.state == "warning"
    assert "of the older revision 0002" in found.text
    assert found.way_out.startswith("nas upgrade --storage postgresql://nas@127.0.0.1")


def test_folders_of_weights(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nas.db"
    (found,) = check_checkpoints(url, str(tmp_path / "a" / "b"))
    assert found == ok("checkpoints", f"{tmp_path}/a/b: a file was written, read and removed; it will be made")
    (tmp_path / "file").write_text("mine")
    (found,) = check_checkpoints(url, str(tmp_path / "file"))
    assert found.state == "problem"
    assert "is a file, not a folder" in found.text
    assert contents(tmp_path).keys() == {"file"}
    with pytest.raises(FolderError, match="memory:// is this process's own"):
        list(check_checkpoints(url, "memory://x"))
    (found,) = check_checkpoints(url, "/proc/self")
    assert found.state == "problem"


def test_weights_in_an_object_store(tmp_path: Path) -> None:
    with run_s3() as bucket:
        (found,) = check_checkpoints(f"sqlite:///{tmp_path}/nas.db", f"{bucket}/weights")
        assert found == ok("checkpoints", f"{bucket}/weights: a file was written, read and removed")
        (found,) = check_checkpoints(f"sqlite:///{tmp_path}/nas.db", "s3://no-such-bucket/weights")
        assert found.state == "problem"


def test_the_images_and_the_plan_of_a_spec(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for i in range(20):
            pixels = np.full((14, 14, 3), 10 * i, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / label / f"{i}.png")
    (tmp_path / "pictures" / "cat" / "3.png").write_bytes(b"broken")
    data = {"source": str(tmp_path / "pictures"), "unreadable_share": 0.1}
    base = {"network": "resnet18", "resolution": 14}
    methods = [{"name": "multipliers", "resolution": [0.5, 1], "width": [0.5]}]
    spec = read_spec(write_spec(tmp_path, data=data, base=base, methods=methods, storage=f"sqlite:///{tmp_path}/n.db"))
    found = {finding.name: finding for finding in check_spec(spec, allow_code=False)}
    assert found["data"].state == "warning"
    assert "39 images of 14 px, 3 channels, 2 classes" in found["data"].text
    assert "1 cannot be read and are left out: cat/3.png" in found["data"].text
    assert found["spec"] == ok("spec", "small: the base fits the images, 2 networks beside it")
    assert found["room"].state == "ok"

    wrong = read_spec(write_spec(tmp_path, data={"source": str(tmp_path / "nowhere")}))
    (refusal,) = check_spec(wrong, allow_code=False)
    assert refusal.name == "data"
    assert refusal.state == "problem"
    large = read_spec(write_spec(tmp_path, base={**base, "resolution": 20}, data=data, methods=methods))
    with pytest.raises(NasError, match=r"base\.resolution must be at most .* native 14 px"):
        list(check_spec(large, allow_code=False))


def test_nothing_is_downloaded(tmp_path: Path) -> None:
    data = {"source": "torchvision:CIFAR10", "root": str(tmp_path / "data")}
    (found,) = check_spec(read_spec(write_spec(tmp_path, data=data)), allow_code=False)
    assert found.state == "warning"
    assert found.text == f"CIFAR10 is not in {str(tmp_path / 'data')!r}, or not whole"
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    held = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            try:
                while True:
                    held.append(server.accept()[0])
            except OSError:  # it is closed
                return

        thread = Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        for one in held:
            one.close()
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def order(storage: str) -> Order:
    return Order(storage=storage, checkpoints=None, spec=None, allow_code=False)


def run_check(name: str, asked: Order, seconds: float) -> list[Finding]:
    child = _start(asked.to_json(name))
    try:
        return list(_findings(name, child, _wait(child, seconds), "go", seconds))
    finally:
        child.kill()
        child.wait()


def test_a_database_that_hangs_does_not_hang_the_doctor(silent: int) -> None:
    (found,) = run_check("database", order(f"postgresql://me:geheim@127.0.0.1:{silent}/nas"), 4)
    assert found == problem("database", "no answer, waited for 4 s", "go")


def test_a_check_that_dies_is_told(tmp_path: Path) -> None:
    child = _start(order(f"sqlite:///{tmp_path}/nas.db").to_json("torch"))
    os.kill(child.pid, signal.SIGKILL)
    (found,) = _findings("torch", child, _wait(child, 60), "go", 60)
    assert found == problem("torch", "the check was killed by SIGKILL", "go")


def test_checks_end_with_the_doctor(silent: int, tmp_path: Path) -> None:
    url = f"postgresql://me@127.0.0.1:{silent}/nas"
    doctor = subprocess.Popen(
        [NAS, "doctor", "--storage", url], cwd=tmp_path, stdout=subprocess.DEVNULL, env=environment()
    )
    try:
        deadline = time.monotonic() + 60
        while not (checks := children_of(doctor.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        doctor.kill()
        doctor.wait()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in checks):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children_of(parent: int) -> list[int]:
    """Its processes that have been started as checks, and have read what they examine."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            command = (path / "cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == parent and "nas.examine" in command:
            found.append(int(path.name))
    return found


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """`nas doctor` in a folder with a spec, and with a module that nobody may import."""
    folder = tmp_path_factory.mktemp("doctor")
    for name in ("torch", "json", "ray"):
        (folder / f"{name}.py").write_text("raise ImportError('taken from the working folder')\n")
    write_spec(folder)
    return run_nas(folder, "doctor", "small.yaml", "--json", "--wait", "120", timeout=200), folder


def test_doctor_of_a_healthy_machine(examined: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, folder = examined
    told = json.loads(done.stdout)
    findings = {finding["name"]: finding for finding in told["findings"]}
    assert done.returncode == 0, told
    assert told["state"] in ("ok", "warning")  # a small disk, or few cores, are this machine's
    names = ["python", "packages", "extras", "cores", "torch", "ray", "database", "checkpoints", "data", "spec"]
    assert all(findings[name]["state"] in ("ok", "warning") for name in names)
    assert "its worker answered after" in findings["ray"]["text"]
    assert findings["database"]["text"] == "will be made at nas.db"
    assert "5,000 images of 28 px" in findings["data"]["text"]
    assert sorted(path.name for path in folder.iterdir()) == ["json.py", "ray.py", "small.yaml", "torch.py"]


def test_a_spec_that_is_none_stops_no_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_RAY_ADDRESS", "127.0.0.9:1")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "ab" * 32)
    (tmp_path / "bad.yaml").write_text("name: x\nstorage: postgresql://me:geheim@h/d\n")
    url = "postgresql://me:geheim@127.0.0.9:1/nas"
    done = run_nas(tmp_path, "doctor", "bad.yaml", "--storage", url, "--wait", "100")
    assert done.returncode == 2
    assert "geheim" not in done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("problem  spec         bad.yaml: key 'data' is required, but missing")
    assert [line.split()[:2] for line in lines if line.startswith("problem")] == [
        ["problem", "spec"], ["problem", "ray"], ["problem", "database"], ["problem", "checkpoints"],
    ]  # fmt: skip
    assert any(line.startswith("ok       torch") for line in lines)
    assert "a Ray cluster must answer at 127.0.0.9:1" in done.stdout
    assert "way out: docs/cluster.md shows how" in done.stdout


def test_a_token_that_others_may_read_is_told_and_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.write_text("ab" * 32)
    path.chmod(0o644)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("NAS_RAY_ADDRESS", "127.0.0.9:1")
    token, cluster = run_check("ray", order(f"sqlite:///{tmp_path}/nas.db"), 60)
    assert (token.name, token.state, token.way_out) == ("ray token", "warning", f"chmod 600 {path}")
    assert cluster.state == "problem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with two_nodes(tmp_path, "--num-gpus=1", "--num-cpus=4") as cluster:
        monkeypatch.setenv("NAS_RAY_ADDRESS", cluster.address)
        monkeypatch.setenv("RAY_AUTH_TOKEN", cluster.token)
        (found,) = run_check("ray", order(f"sqlite:///{tmp_path}/nas.db"), 120)
        assert found.state == "ok"
        assert f"cluster at {cluster.address}: " in found.text
        assert "127.0.0.2 (1 cores, 0 GPUs)" in found.text
        assert "127.0.0.3 (4 cores, 1 GPUs)" in found.text
        assert "; a worker answered after " in found.text

        spec = read_spec(write_spec(tmp_path, search={}, ray={"cpus_per_job": 3, "address": cluster.address}))
        asked = Order(storage=spec.storage, checkpoints=None, spec=spec, allow_code=False)
        wide = spec.model_copy(update={"ray": spec.ray.model_copy(update={"cpus_per_job": 64})})
        (found,) = run_check("ray", asked, 120)
        assert found.state == "ok"
        (found,) = run_check("ray", Order(storage=spec.storage, checkpoints=None, spec=wide, allow_code=False), 120)
        assert found.state == "warning"
        assert "no room for a worker of 64 cores, waited for 15 s" in found.text

        path = tmp_path / "token"
        path.write_text(cluster.token)
        path.chmod(0o644)
        monkeypatch.delenv("RAY_AUTH_TOKEN")
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
        token, found = run_check("ray", order(f"sqlite:///{tmp_path}/nas.db"), 120)
        assert (token.state, found.state) == ("warning", "ok")
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_all_checks_run_at_once_and_come_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_RAY_ADDRESS", "127.0.0.9:1")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "ab" * 32)
    found = [finding.name for finding in examine(order(f"sqlite:///{tmp_path}/nas.db"), 60)]
    once = [name for i, name in enumerate(found) if name not in found[:i]]
    assert once == ["python", "packages", "extras", "cores", "disk", "torch", "gpu", "ray", "database", "checkpoints"]
