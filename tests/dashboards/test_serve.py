"""optuna-dashboard behind our door, over real HTTP."""

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from dashboards.serve import ServeError, make_dashboard
from trials.store import Store


@pytest.fixture
def port(finished_search: Path) -> Iterator[int]:
    with Store(f"sqlite:///{finished_search}/nas.db") as store, make_dashboard(store, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_serves_the_study(port: int) -> None:
    status, content = ask(port, "/api/studies")
    assert status == 200
    (study,) = json.loads(content)["study_summaries"]
    assert study["study_name"] == "small"
    status, content = ask(port, f"/api/studies/{study['study_id']}")
    trials = json.loads(content)["trials"]
    assert len(trials) == 6
    assert all(len(trial["constraints"]) == 2 for trial in trials)
    assert ask(port, "/dashboard/")[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},  # a foreign name that resolves to this machine
        {"Host": "127.0.0.1:1"},
        {"Origin": "https://attacker.example"},  # a foreign page in the same browser
        {"Origin": "null"},
    ],
)
def test_other_sites_are_refused(port: int, headers: dict[str, str]) -> None:
    status, content = ask(port, "/api/studies/1", method="DELETE", **headers)
    assert status == 403
    assert b"Open http://127.0.0.1" in content
    assert len(json.loads(ask(port, "/api/studies")[1])["study_summaries"]) == 1


def test_own_pages_are_served(port: int) -> None:
    assert ask(port, "/api/studies", Origin=f"http://localhost:{port}", Host=f"localhost:{port}")[0] == 200


@pytest.mark.parametrize(("number", "reason"), [(None, "Address already in use"), (70_000, "there is no such port")])
def test_port_that_cannot_be_taken(port: int, finished_search: Path, number: int | None, reason: str) -> None:
    wanted = number or port
    with (
        Store(f"sqlite:///{finished_search}/nas.db") as store,
        pytest.raises(ServeError, match=rf"port {wanted} must be free on 127\.0\.0\.1, but: {reason}; choose another"),
    ):
        make_dashboard(store, wanted)
