"""A real PostgreSQL server for the tests, started where the first test asks for it."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

USER, PASSWORD = "nas", "pw-Geheim%1"
_IN_URL = "pw-Geheim%251"
_NUMBERS = count()


class Server:
    """PostgreSQL on the loopback address, with a password, in a folder of its own."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder, self._data = programs, folder, folder / "data"
        self._owner = _owner()
        if self._owner is not None:
            os.chown(folder, pwd.getpwnam(self._owner).pw_uid, -1)
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        flags = ("-U", USER, f"--pwfile={folder}/password", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8")
        self._run("initdb", "-D", str(self._data), *flags)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self) -> None:
        """Until it takes connections. It ends with this process, too, however that ends: its line is cut then."""
        flags = ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        server = [str(self._programs / "postgres"), "-D", str(self._data), "-k", str(self._folder), *flags]
        with (self._folder / "log").open("a") as log:
            self._keeper = subprocess.Popen(
                ["sh", "-c", '"$@" & read line; kill -QUIT $!', "sh", *server],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                user=self._owner,
                extra_groups=None if self._owner is None else [],
            )
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER]
        deadline = time.monotonic() + 60
        while subprocess.run(ready, check=False).returncode != 0:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def stop(self, mode: str = "fast") -> None:
        """fast: connections are closed; immediate: as if it had been killed."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", mode, "stop")
        self._keeper.communicate(b"\n")

    def url(self, database: str = "postgres") -> str:
        """Of a database on it."""
        return f"postgresql://{USER}:{_IN_URL}@127.0.0.1:{self.port}/{database}"

    def make_database(self, template: str = "template0") -> str:
        """The URL of a new one, empty or a copy of another."""
        name = f"test{next(_NUMBERS)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> None:
        """A statement outside of a transaction."""
        url = self.url(database).replace("postgresql:", "postgresql+psycopg:")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()

    def log(self) -> str:
        """What it wrote."""
        return (self._folder / "log").read_text()

    def _run(self, program: str, *arguments: str) -> None:
        with (self._folder / "out").open("a") as out:  # a pipe would stay open as long as the server runs
            done = subprocess.run(
                [self._programs / program, *arguments],
                stdout=out,
                stderr=out,
                cwd=self._folder,
                user=self._owner,
                extra_groups=None if self._owner is None else [],
                check=False,
                timeout=60,
            )
        assert done.returncode == 0, (self._folder / "out").read_text()


def _owner() -> str | None:
    """Who the server runs as, where it is not us: it refuses root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def find_programs() -> Path | None:
    """The folder of initdb and pg_ctl, of the newest version; Debian has them outside of PATH."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


@contextmanager
def run_server() -> Iterator[Server]:
    """A server that ends with the block; skips the test where PostgreSQL is not installed."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (make postgresql): what needs it is not tested")
    folder = Path(tempfile.mkdtemp(prefix="nas-postgres-"))
    try:
        server = Server(programs, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
