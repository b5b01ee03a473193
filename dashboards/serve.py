"""optuna-dashboard on our database, on the loopback address, for this machine's own browser alone."""

from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna_dashboard import wsgi

from dashboards.overlay import Overlay
from search_spaces import NasError
from trials.store import Store

HOST = "127.0.0.1"
_Environ: TypeAlias = dict[str, Any]
_Start: TypeAlias = Callable[..., Any]
_App: TypeAlias = Callable[[_Environ, _Start], Iterable[bytes]]


class ServeError(NasError):
    """An address that cannot be served."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    overlay: Overlay

    def server_close(self) -> None:
        super().server_close()
        if hasattr(self, "overlay"):  # not where the port could not be taken
            self.overlay.close()


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """The page polls every few seconds; a line for each would bury the address."""


def only_own_pages(app: _App, port: int) -> _App:
    """Refuses requests that name another host or come from another site's page.

    optuna-dashboard checks neither, so without this any page open in the browser could delete a study
    (cross-site requests, or a foreign name that resolves to the loopback address).
    """
    hosts = {f"{HOST}:{port}", f"localhost:{port}"} | ({HOST, "localhost"} if port == 80 else set())

    def guarded(environ: _Environ, start: _Start) -> Iterable[bytes]:
        origin = environ.get("HTTP_ORIGIN")
        foreign = origin is not None and urlsplit(origin).netloc not in hosts
        if environ.get("HTTP_HOST") not in hosts or foreign:
            start("403 Forbidden", [("Content-Type", "text/plain")])
            return [f"Open http://{HOST}:{port}/ in a browser on this machine.\n".encode()]
        return app(environ, start)

    return guarded


def make_dashboard(store: Store, port: int) -> WSGIServer:
    """A server of the dashboard, bound but not yet serving; port 0 takes a free one."""
    try:
        server = make_server(HOST, port, _no_page, server_class=_Server, handler_class=_Quiet)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "there is no such port"
        raise ServeError(f"port {port} must be free on {HOST}, but: {reason}; choose another with --port") from error
    server.overlay = Overlay(store)
    server.set_app(only_own_pages(server.overlay.cover(wsgi(store.optuna_storage)), server.server_port))
    return server


def _no_page(environ: _Environ, start: _Start) -> Iterable[bytes]:
    start("503 Service Unavailable", [])
    return []
