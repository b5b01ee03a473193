"""Who may see the dashboard: requests with its token, for a host of its own, from no other site's page.

optuna-dashboard checks none of it, so without this every page that is open in the browser could delete a study
(a form of another site, or a foreign name that resolves to the loopback address), and every user of the machine, too.
"""

import hmac
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from search_spaces import NasError

TOKEN, TOKEN_FILE = "NAS_DASHBOARD_TOKEN", "NAS_DASHBOARD_TOKEN_FILE"
Environ: TypeAlias = dict[str, Any]
Start: TypeAlias = Callable[..., Any]
App: TypeAlias = Callable[[Environ, Start], Iterable[bytes]]
_PLAIN = re.compile(r"[A-Za-z0-9_-]{16,256}")
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_HEADERS = (
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", "frame-ancestors 'none'"),  # beside optuna-dashboard's own: both hold
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),  # the first address holds the token
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


class DoorError(NasError):
    """A token or a name of a host that cannot be used."""


def choose_token(environment: dict[str, str]) -> tuple[str, bool]:
    """The token of the environment (or of the file that it names), or a fresh one; and whether it is fresh.

    Raises DoorError for one that is short or would not stand in a URL, and for a file that others may read.
    """
    given, file = environment.get(TOKEN), environment.get(TOKEN_FILE)
    if given is not None and file is not None:
        raise DoorError(f"only one of {TOKEN} and {TOKEN_FILE} may be set, but both are; unset one")
    if file is not None:
        given = _read_token(Path(file))
    if given is None:
        return secrets.token_urlsafe(32), True
    if not _PLAIN.fullmatch(given):
        name = TOKEN if file is None else f"the token in {file}"
        raise DoorError(
            f"{name} must be 16 to 256 letters, digits, '-' or '_', but is not (its {len(given)} characters are not "
            "shown); make one with: openssl rand -hex 32"
        )
    return given, False


def _read_token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno())
            content = file.read(1024)
    except (OSError, ValueError) as error:
        raise DoorError(f"{TOKEN_FILE} must be a readable file, but {path}: {_reason(error)}") from error
    if stat.S_IMODE(mode.st_mode) & 0o077:
        raise DoorError(
            f"{TOKEN_FILE} must be readable by its owner alone, but {path} has mode {stat.S_IMODE(mode.st_mode):04o}; "
            f"run: chmod 600 {path}"
        )
    return content.decode(errors="replace").strip()


def _reason(error: Exception) -> str:
    return error.strerror or "it cannot be read" if isinstance(error, OSError) else "there is no such name"


@dataclass(frozen=True, kw_only=True)
class Door:
    """Lets requests through to the dashboard on `host` and `port`.

    `names` are other hosts that it is known by, as of a proxy in front: NAME, or NAME:PORT where the port is not the
    usual one. Raises DoorError for what is no name of a host.
    """

    host: str
    port: int
    token: str
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host) and not _is_address(self.host):
            raise DoorError(f"--host must be an address of this machine, as 127.0.0.1 or 0.0.0.0, but is {self.host!r}")
        for name in self.names:
            if not _HOST.fullmatch(name):
                raise DoorError(f"--allow-host must be a name such as nas.example.org, or NAME:PORT, but is {name!r}")

    @property
    def address(self) -> str:
        """Where it is opened, without the token."""
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{f'[{shown}]' if ':' in shown and '[' not in shown else shown}:{self.port}/"

    @property
    def _cookie(self) -> str:
        """Its name: cookies know no ports, and there may be two dashboards on one machine."""
        return f"nas_dashboard_{self.port}"

    @property
    def _secret(self) -> str:
        """What the cookie holds: a browser sends it to whatever else listens on this host, so not the token itself."""
        return hmac.digest(self.token.encode(), b"nas dashboard cookie", "sha256").hex()

    def guard(self, app: App) -> App:
        """The same pages, for those who may see them."""

        def guarded(environ: Environ, start: Start) -> Iterable[bytes]:
            added: tuple[tuple[str, str], ...] = _HEADERS
            if environ.get("PATH_INFO", "").startswith("/artifacts/"):  # whatever was put there, as pages with scripts
                added = (*_HEADERS, ("Content-Security-Policy", "sandbox"))

            def start_safely(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
                return start(status, [*headers, *added], *rest)

            if not self._is_own(environ):
                return _refuse(start_safely, f"Open {self.address} itself; a proxy's name is given by --allow-host.")
            query = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
            if "token" in dict(query):
                if environ["REQUEST_METHOD"] == "GET" and self._is_token(dict(query)["token"]):
                    return self._enter(environ, start_safely, query)
            elif self._knows(environ):
                return app(environ, start_safely)
            return _refuse(start_safely, "Paste the whole address that nas dashboard printed, with its token.")

        return guarded

    def _is_own(self, environ: Environ) -> bool:
        """Whether a request names this host, and comes from no other site's page."""
        origin = environ.get("HTTP_ORIGIN")
        return self._is_named(environ.get("HTTP_HOST", "")) and (
            origin is None or self._is_named(urlsplit(origin).netloc)
        )

    def _is_named(self, netloc: str) -> bool:
        name, _, port = netloc.lower().rpartition(":") if re.search(r":[0-9]+$", netloc) else (netloc.lower(), "", "80")
        if netloc.lower() in {allowed.lower() for allowed in self.names}:
            return True
        if port != str(self.port):
            return False
        # a name can be made to resolve to any address, but an address is what was typed: no rebinding
        wide = self.host in ("0.0.0.0", "::") and _is_address(name.removeprefix("[").removesuffix("]"))
        return wide or name in {"127.0.0.1", "[::1]", "localhost", self.host.lower(), f"[{self.host.lower()}]"}

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _knows(self, environ: Environ) -> bool:
        """Whether a request has the cookie."""
        try:
            cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
        except CookieError:
            return False
        given = cookies.get(self._cookie)
        return given is not None and hmac.compare_digest(given.value.encode(), self._secret.encode())

    def _enter(self, environ: Environ, start: Start, query: list[tuple[str, str]]) -> Iterable[bytes]:
        """To the same page without the token in its address, which a browser would keep in its history."""
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        # one slash in front: "//name" would be another host
        path = "/" + quote(environ.get("PATH_INFO", "").encode("latin-1", "replace")).lstrip("/\\")
        secure = "; Secure" if environ.get("HTTP_X_FORWARDED_PROTO") == "https" else ""
        start(
            "303 See Other",
            [
                ("Location", f"{path}?{rest}" if rest else path),
                ("Set-Cookie", f"{self._cookie}={self._secret}; Path=/; HttpOnly; SameSite=Strict{secure}"),
                ("Cache-Control", "no-store"),
                ("Content-Length", "0"),
            ],
        )
        return []


def _refuse(start: Start, way_out: str) -> Iterable[bytes]:
    start("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")])
    return [f"{way_out}\n".encode()]


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
