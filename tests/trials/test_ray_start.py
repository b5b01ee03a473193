"""Ray that goes away, and the token of a cluster."""

import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

# isort: off
from trials.ray_environment import TOKEN, RayLostError, WorkersError, cluster_token, own_token
from trials.ray_start import Watch, _count_on_cluster
from trials.ray_workers import start_workers

# isort: on
from trials.placement import Placement


def listen() -> tuple[socket.socket, tuple[str, int]]:
    service = socket.create_server(("127.0.0.1", 0))
    return service, service.getsockname()[:2]


def test_ray_that_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trials.ray_start.LOOK_SECONDS", 0.05)
    (head, head_at), (node, node_at) = listen(), listen()
    watch = Watch([head_at, node_at], cluster=True)
    time.sleep(0.5)
    assert watch.error is None
    assert watch.look() is None
    node.close()
    deadline = time.monotonic() + 30
    while watch.error is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    watch.end()
    head.close()
    assert isinstance(watch.look(), RayLostError)
    assert f"does not answer at 127.0.0.1:{head_at[1]} and 127.0.0.1:{node_at[1]} any more; what is done is kept; " in (
        str(watch.error)
    )
    assert str(watch.error).endswith("start it again, and the same command goes on")


@pytest.mark.parametrize("address", ["127.0.0.9:1", "no-such-host.invalid:6379"])
def test_a_cluster_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(TOKEN, "ab" * 32)
    with (
        pytest.raises(
            WorkersError, match=f"a Ray cluster must answer at {address} .*, but: .*; docs/cluster.md shows how"
        ),
        start_workers(Placement(address=address)) as workers,
    ):
        workers()


def test_a_driver_that_waits_for_a_ray_that_is_gone_is_ended_in_one_line() -> None:
    script = (
        "import socket, threading, trials.ray_start as start\n"
        "start.LOOK_SECONDS, start.GRACE_SECONDS = 0.05, 0.1\n"
        "service = socket.create_server(('127.0.0.1', 0))\n"
        "watch = start.Watch([service.getsockname()], cluster=False)\n"
        "service.close()\n"
        "threading.Event().wait()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == os.EX_TEMPFAIL == 75
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: Ray must run as long as the search, but does not answer at 127.0.0.1:")
    assert line.endswith("any more; what is done is kept; the same command goes on")


def test_a_token_file_is_readable_by_its_owner_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    path = tmp_path / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text("ab" * 32)
    path.chmod(0o644)
    monkeypatch.setenv("HOME", str(tmp_path))
    cluster_token()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert TOKEN not in os.environ
    other = tmp_path / "token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(other))
    with pytest.raises(WorkersError, match=r"the token of the cluster must be in .*/token, but is not"):
        cluster_token()
    monkeypatch.setenv(TOKEN, "cd" * 32)  # in the environment none is read
    cluster_token()


def test_our_own_token_is_not_sent_to_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(TOKEN, "x")
    monkeypatch.delenv(TOKEN)  # both, so that it is as it was in the end
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    own_token()
    assert len(os.environ[TOKEN]) == 64
    with pytest.raises(WorkersError, match="must be in"):
        cluster_token()
    assert TOKEN not in os.environ


NODES: list[dict[str, Any]] = [
    {"Resources": {"CPU": 8.0, "GPU": 1.0}},
    {"Resources": {"CPU": 3.0}},
    {"Resources": {"object_store_memory": 1.0}},
]


@pytest.mark.parametrize(
    ("placement", "count"),
    [
        (Placement(), 11),
        (Placement(cpus=2), 4 + 1),
        (Placement(gpus=0.25), 4),
        (Placement(gpus=0.3), 3),
        (Placement(gpus=0.25, cpus=4), 2),
        (Placement(count=40), 40),
    ],
)
def test_a_cluster_holds_as_many_workers_as_its_nodes(placement: Placement, count: int) -> None:
    assert _count_on_cluster(placement, NODES) == count


def test_a_cluster_that_holds_none_is_told() -> None:
    with pytest.raises(WorkersError, match=r"must have 9 cores .* and 1 of a GPU .* none of 3 has"):
        _count_on_cluster(Placement(cpus=9, gpus=1.0), NODES)
