"""A Ray cluster of two nodes on this machine, as `ray start` makes it: each has a loopback address of its own."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HEAD, OTHER = "127.0.0.2", "127.0.0.3"
STORE_BYTES = 100_000_000


@dataclass(kw_only=True)
class Cluster:
    """Its address, the token that all its processes have in their environment, and its `ray start` processes."""

    folder: Path
    scratch: str  # with a short name, as Ray puts sockets there
    address: str
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    starts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, node: str, *options: str, **variables: str) -> None:
        """Start a node of one core and wait until it stands; `variables` are its environment's."""
        log = self.folder / f"{node}.log"
        with log.open("wb") as output:
            self.starts[node] = subprocess.Popen(
                [
                    *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"),
                    *(f"--node-ip-address={node}", "--num-cpus=1", f"--object-store-memory={STORE_BYTES}", *options),
                ],
                # as on machines of their own: nothing of the driver's Ray is inherited
                env={k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "XDG_"))}
                | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}
                | {"RAY_scheduler_report_pinned_bytes_only": "0"}  # copies from other nodes count as well
                | variables,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + 90
        while "Ray runtime started" not in log.read_text():
            assert self.starts[node].poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    def start_head(self, **variables: str) -> None:
        """Start the node on which the driver is."""
        port = self.address.rpartition(":")[2]
        options = ("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={self.scratch}")
        self.start(HEAD, *options, **variables)

    def start_other(self, *options: str, **variables: str) -> None:
        """Start the node beside it, with a cache folder of its own."""
        cache = {"XDG_CACHE_HOME": str(self.folder / "other-cache")}
        self.start(OTHER, f"--address={self.address}", *options, **(cache | variables))

    def service(self, node: str, name: str) -> int:
        """The process of a node's raylet or gcs_server."""
        (found,) = [pid for pid in _pids() if _parent(pid) == self.starts[node].pid and f"/{name} " in _command(pid)]
        return found

    def kill_node(self, node: str) -> None:
        """SIGKILL to all of a node's own processes; its workers end as they lose them."""
        for pid in [pid for pid in _pids() if _parent(pid) == self.starts[node].pid]:
            _kill(pid)
        self.starts[node].kill()
        self.starts[node].wait()

    def busy_workers(self, node: str) -> list[int]:
        """Processes of a node in which a pack runs."""
        raylet = self.service(node, "raylet")
        return [pid for pid in _pids() if _parent(pid) == raylet and _command(pid).startswith("ray::Worker.run")]

    def processes(self) -> list[int]:
        """All that belong to it, and drivers on it."""
        return [pid for pid in _pids() if f"RAY_AUTH_TOKEN={self.token}" in _read(pid, "environ").split("\0")]

    def stop(self) -> None:
        """Nothing of it is left."""
        deadline = time.monotonic() + 30
        while left := self.processes():
            assert time.monotonic() < deadline, [_command(pid) for pid in left]
            for pid in left:
                _kill(pid)
            for start in self.starts.values():
                start.poll()  # or it stays as a zombie
            time.sleep(0.1)
        for start in self.starts.values():
            start.wait()


@contextmanager
def two_nodes(folder: Path, *options: str) -> Iterator[Cluster]:
    """A cluster of two nodes with one core each, of which the driver sees the first; `options` are of the other."""
    with socket.socket() as free:
        free.bind((HEAD, 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ray-") as scratch:
        cluster = Cluster(folder=folder, scratch=scratch, address=f"{HEAD}:{port}")
        try:
            cluster.start_head(XDG_CACHE_HOME=os.environ.get("XDG_CACHE_HOME", str(folder / "cache")))
            cluster.start_other(*options)
            yield cluster
        finally:
            cluster.stop()


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _parent(pid: int) -> int:
    stat = _read(pid, "stat")
    return int(stat.rpartition(")")[2].split()[1]) if stat else 0


def _command(pid: int) -> str:
    return _read(pid, "cmdline").replace("\0", " ")


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:  # it has ended meanwhile, or belongs to another user
        return ""


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
