"""URLs of databases, and errors of servers."""

import pytest

from tests.postgres import PASSWORD, Server
from trials.database import StoreError, database_name, read_url
from trials.store import Store
from trials.urls import drop_passwords, has_password, hide_passwords


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("nas.db", "must be a URL such as"),
        ("mysql://me:secret@host/db", r"but is mysql://me:\*\*\*@host/db"),
        ("postgresql+psycopg2://me:secret@host/db", r"but is postgresql\+psycopg2://me:\*\*\*@host/db"),
        ("postgresql://me:secret@host", r"must name a database, .* but is postgresql://me:\*\*\*@host"),
        ("postgresql://me:top@secret@host/db", "must have at most one @, before the host; write %40"),
        ("postgresql://me/you:secret@host/db", "must have at most one @"),
        ("postgresql://me:secret@host:port/db", "cannot be read as one"),
        ("sqlite+aiosqlite:///nas.db", "must be a SQLite file"),
        ("sqlite:///nas.db?timeout=abc", "must be a SQLite file"),
        ("sqlite://host:x/nas.db", "must be a URL such as"),
        ("sqlite://", "must be a SQLite file"),
        ("sqlite:///:memory:", "must be a SQLite file"),
    ],
)
def test_urls_that_are_refused(bad: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        Store(bad, create=True)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "bare", "hidden"),
    [
        ("sqlite:////data/a:b@c/nas.db", "sqlite:////data/a:b@c/nas.db", "sqlite:////data/a:b@c/nas.db"),
        ("postgresql://me@host/db", "postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:pw@host:5/db", "postgresql://me@host:5/db", "postgresql://me:***@host:5/db"),
        ("postgresql://me@corp:pw@host/db", "postgresql://me@corp@host/db", "postgresql://me@corp:***@host/db"),
        ("postgresql://me:p:w?/#@host/db", "postgresql://me@host/db", "postgresql://me:***@host/db"),
        (
            "postgresql://me@/db?password=pw&host=/run/x&sslpassword=pw",
            "postgresql://me@/db?host=/run/x",
            "postgresql://me@/db?password=***&host=/run/x&sslpassword=***",
        ),
        ("postgresql://me@/db?password=pw", "postgresql://me@/db", "postgresql://me@/db?password=***"),
    ],
)
def test_passwords_are_dropped_and_hidden(url: str, bare: str, hidden: str) -> None:
    assert drop_passwords(url) == bare
    assert hide_passwords(f"cannot connect to '{url}'") == f"cannot connect to '{hidden}'"
    assert has_password(url) == (url != bare)


def test_driver_is_named() -> None:
    assert read_url("postgresql://me@host/db").drivername == "postgresql+psycopg"
    assert database_name("postgresql+psycopg://me:pw@host/db") == "postgresql+psycopg://me@host/db"
    assert database_name("sqlite:///nas.db") == "nas.db"


def test_servers_that_do_not_answer_or_refuse(postgres: Server) -> None:
    for url, message in (
        (postgres.url("nowhere"), 'must answer, but: .* database "nowhere" does not exist'),
        (postgres.url().replace(":pw-", ":other-"), "must answer, but: .* password authentication failed"),
        ("postgresql://me:secret@127.0.0.1:1/db", "must answer, but: .*Connection refused"),
        ("postgresql://me:secret@nowhere.invalid/db", "must answer, but: failed to resolve host"),
    ):
        with pytest.raises(StoreError, match=message) as caught:
            Store(url, create=True)
        assert "secret" not in str(caught.value)
        assert PASSWORD[3:9] not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_foreign_database_on_a_server(postgres: Server) -> None:
    url = postgres.make_database()
    with pytest.raises(StoreError, match="must hold a search, but none was begun in it; run nas search"):
        Store(url)
    postgres.execute("CREATE TABLE customers (id INTEGER)", url.rpartition("/")[2])
    for create in (False, True):
        with pytest.raises(StoreError, match="must be one of this service, but holds other tables; use another"):
            Store(url, create=create)


@pytest.mark.parametrize("given", ["", "x", "-1", "inf", "nan"])
def test_seconds_to_wait(given: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_WAIT_SECONDS", given)
    with pytest.raises(StoreError, match="NAS_WAIT_SECONDS must be a number of seconds, but is"):
        Store(f"sqlite:///{tmp_path}/nas.db", create=True)
