"""optuna-dashboard behind our door, over real HTTP."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from dashboards.door import Door, DoorError, choose_token
from dashboards.serve import ServeError, exposed, make_dashboard
from trials.store import Store

GIVEN = "0123456789abcdef"
COOKIE = "nas_dashboard_{port}"


@contextmanager
def served(folder: Path, host: str = "127.0.0.1", names: tuple[str, ...] = ()) -> Iterator[int]:
    with Store(f"sqlite:///{folder}/nas.db") as store:
        server, door = make_dashboard(store, 0, token=GIVEN, host=host, names=names)
        with server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield door.port
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def port(finished_search: Path) -> Iterator[int]:
    with served(finished_search, names=("nas.example.org", "other.example:8443")) as number:
        yield number


class Answer:
    """Status, headers and content of a response."""

    def __init__(self, port: int, path: str, method: str = "GET", *, to: str = "127.0.0.1", **headers: str) -> None:
        connection = HTTPConnection(to, port, timeout=30)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        self.status, self.headers, self.content = answer.status, answer.headers, answer.read()
        connection.close()


def cookie(port: int) -> str:
    """What a browser sends after the address with the token was opened."""
    return Answer(port, f"/?token={GIVEN}").headers["Set-Cookie"].partition(";")[0]


def studies(port: int) -> list[str]:
    content = Answer(port, "/api/studies", Cookie=cookie(port)).content
    return [study["study_name"] for study in json.loads(content)["study_summaries"]]


def test_serves_the_study(port: int) -> None:
    known = cookie(port)
    answer = Answer(port, "/api/studies", Cookie=known)
    assert answer.status == 200
    (study,) = json.loads(answer.content)["study_summaries"]
    assert study["study_name"] == "small"
    trials = json.loads(Answer(port, f"/api/studies/{study['study_id']}", Cookie=known).content)["trials"]
    assert len(trials) == 6
    assert all(len(trial["constraints"]) == 2 for trial in trials)
    assert Answer(port, "/dashboard/", Cookie=known).status == 200


def test_token_becomes_a_cookie_and_leaves_the_address(port: int) -> None:
    answer = Answer(port, f"/dashboard/studies/1?a=b%26c&token={GIVEN}")
    assert answer.status == 303
    assert answer.headers["Location"] == "/dashboard/studies/1?a=b%26c"
    kept = answer.headers["Set-Cookie"]
    assert kept.startswith(f"nas_dashboard_{port}=")
    assert kept.endswith("; Path=/; HttpOnly; SameSite=Strict")
    assert GIVEN not in kept, "the browser sends it to every port of this host"
    assert Answer(port, f"/?token={GIVEN}", X_Forwarded_Proto="https").headers["Set-Cookie"].endswith("; Secure")
    assert Answer(port, f"//attacker.example/?token={GIVEN}").headers["Location"] == "/attacker.example/"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},  # a foreign name that resolves to this machine
        {"Host": "127.0.0.1:1"},
        {"Host": ""},
        {"Host": "192.168.0.1:{port}"},
        {"Origin": "https://attacker.example"},  # a foreign page in the same browser
        {"Origin": "http://127.0.0.1:1"},  # another server's page on this machine, which has the cookie
        {"Origin": "null"},
        {"Host": "nas.example.org.attacker.example"},
        {"Origin": "https://other.example:8444"},
    ],
)
def test_other_sites_are_refused(port: int, headers: dict[str, str]) -> None:
    filled = {name: value.format(port=port) for name, value in headers.items()}
    answer = Answer(port, "/api/studies/1", method="DELETE", Cookie=cookie(port), **filled)
    assert answer.status == 403
    assert answer.content.startswith(b"Open http://127.0.0.1")
    assert studies(port) == ["small"]


@pytest.mark.parametrize(
    "kept",
    [
        None,
        "nas_dashboard_{port}=",
        "nas_dashboard_{port}=wrong",
        f"nas_dashboard_{{port}}={GIVEN}",
        "nas_dashboard_1={secret}",
        "nas_dashboard_{port}=\xe9",
        "=;;,\x7f",
    ],
)
def test_without_the_token_nothing_is_seen_or_changed(port: int, kept: str | None) -> None:
    secret = cookie(port).partition("=")[2]
    headers = {} if kept is None else {"Cookie": kept.format(port=port, secret=secret)}
    for method, path in (
        ("GET", "/"),
        ("GET", "/api/studies"),
        ("GET", "/static/bundle.js"),
        ("DELETE", "/api/studies/1"),
    ):
        answer = Answer(port, path, method, **headers)
        assert answer.status == 403
        assert answer.content == b"Paste the whole address that nas dashboard printed, with its token.\n"
    assert studies(port) == ["small"]


@pytest.mark.parametrize("token", ["", "wrong", f"{GIVEN}0", GIVEN[:-1], "%ff", f"{GIVEN}&token=wrong"])
def test_wrong_token(port: int, token: str) -> None:
    answer = Answer(port, f"/?token={token}", Cookie=cookie(port))
    assert (answer.status, answer.headers["Set-Cookie"]) == (403, None)


def test_token_is_taken_of_an_address_alone(port: int) -> None:
    assert Answer(port, f"/api/studies/1?token={GIVEN}", method="DELETE").status == 403
    assert studies(port) == ["small"]


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "nas.example.org", "OTHER.example:8443"])
def test_own_names_are_served(port: int, host: str) -> None:
    named = host.format(port=port)
    answer = Answer(port, "/api/studies", Origin=f"https://{named}", Host=named, Cookie=cookie(port))
    assert answer.status == 200


def test_no_page_is_framed_or_guessed(port: int) -> None:
    for answer in (
        Answer(port, "/"),
        Answer(port, f"/?token={GIVEN}"),
        Answer(port, "/dashboard", Cookie=cookie(port)),
    ):
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers.get_all("Content-Security-Policy", [])
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_artifacts_run_nothing(port: int) -> None:
    for path, shut in (("/artifacts/1/x", True), ("/dashboard", False)):
        policies = Answer(port, path, Cookie=cookie(port)).headers.get_all("Content-Security-Policy", [])
        assert ("sandbox" in policies) == shut


def test_loopback_is_all_that_listens_unless_told(port: int, finished_search: Path) -> None:
    with socket.socket() as other:  # another address of this machine: nobody listens there
        other.settimeout(5)
        assert other.connect_ex(("127.0.0.2", port)) != 0
    with served(finished_search, host="0.0.0.0") as wide:
        assert Answer(wide, "/api/studies", to="127.0.0.2", Cookie=cookie(wide)).status == 200
        assert Answer(wide, "/api/studies", to="127.0.0.2", Host="attacker.example", Cookie=cookie(wide)).status == 403
        assert Answer(wide, "/api/studies", to="127.0.0.2").status == 403


def test_what_is_exposed_is_said() -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        assert exposed(Door(host=host, port=1, token=GIVEN)) == ""
    told = exposed(Door(host="0.0.0.0", port=8080, token=GIVEN))
    assert told.startswith("EXPOSED on 0.0.0.0: whoever reaches port 8080 of this machine over the network")
    assert Door(host="::1", port=8080, token=GIVEN).address == "http://[::1]:8080/"
    assert Door(host="0.0.0.0", port=8080, token=GIVEN).address == "http://127.0.0.1:8080/"


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6(finished_search: Path) -> None:
    try:
        with served(finished_search, host="::1") as number:
            known = Answer(number, f"/?token={GIVEN}", to="::1").headers["Set-Cookie"].partition(";")[0]
            assert Answer(number, "/api/studies", to="::1", Cookie=known).status == 200
    except ServeError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")


def test_tokens(tmp_path: Path) -> None:
    first, fresh = choose_token({})
    assert fresh
    assert len(first) >= 40
    assert first != choose_token({})[0]
    assert choose_token({"NAS_DASHBOARD_TOKEN": GIVEN}) == (GIVEN, False)
    file = tmp_path / "token"
    file.write_text(f"{GIVEN}\n")
    file.chmod(0o600)
    assert choose_token({"NAS_DASHBOARD_TOKEN_FILE": str(file)}) == (GIVEN, False)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_token_file_that_others_may_read(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "token"
    file.write_text(GIVEN)
    file.chmod(mode)
    with pytest.raises(DoorError, match=f"readable by its owner alone, but .* has mode {mode:04o}; run: chmod 600"):
        choose_token({"NAS_DASHBOARD_TOKEN_FILE": str(file)})


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"NAS_DASHBOARD_TOKEN": "short"}, "NAS_DASHBOARD_TOKEN must be 16 to 256 letters"),
        ({"NAS_DASHBOARD_TOKEN": "with space and &"}, "must be 16 to 256 letters"),
        ({"NAS_DASHBOARD_TOKEN": ""}, "must be 16 to 256 letters"),
        ({"NAS_DASHBOARD_TOKEN_FILE": "/no/such"}, "must be a readable file, but /no/such: No such file"),
        ({"NAS_DASHBOARD_TOKEN_FILE": "/"}, "must be a readable file, but /: Is a directory"),
        ({"NAS_DASHBOARD_TOKEN": GIVEN, "NAS_DASHBOARD_TOKEN_FILE": "x"}, "only one of"),
    ],
)
def test_tokens_that_cannot_be_used(environment: dict[str, str], message: str) -> None:
    with pytest.raises(DoorError, match=message) as caught:
        choose_token(environment)
    assert environment.get("NAS_DASHBOARD_TOKEN") in (None, "") or environment["NAS_DASHBOARD_TOKEN"] not in str(
        caught.value
    )


@pytest.mark.parametrize("name", ["", "https://nas.example.org", "a b", "name:", "x/y", "é.example"])
def test_names_that_are_no_hosts(name: str) -> None:
    with pytest.raises(DoorError, match="--allow-host must be a name such as"):
        Door(host="127.0.0.1", port=1, token=GIVEN, names=(name,))


@pytest.mark.parametrize("host", ["", "a\0b", "http://127.0.0.1", "é", "[::1"])
def test_addresses_that_are_none(host: str) -> None:
    with pytest.raises(DoorError, match="--host must be an address of this machine"):
        Door(host=host, port=1, token=GIVEN)


@pytest.mark.parametrize(
    ("number", "host", "reason"),
    [
        (None, "127.0.0.1", "Address already in use"),
        (70_000, "127.0.0.1", "there is no such port"),
        (0, "192.0.2.1", "Cannot assign requested address"),
        (0, "no-such-host.invalid", "not known|resolution"),
    ],
)
def test_address_that_cannot_be_taken(
    port: int, finished_search: Path, number: int | None, host: str, reason: str
) -> None:
    wanted = port if number is None else number
    with (
        Store(f"sqlite:///{finished_search}/nas.db") as store,
        pytest.raises(ServeError, match=rf"port {wanted} must be free on .*, but: .*({reason})") as caught,
    ):
        make_dashboard(store, wanted, token=GIVEN, host=host)
    assert "choose another with --port" in str(caught.value)
