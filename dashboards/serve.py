"""optuna-dashboard on our database: on the loopback address unless told otherwise, behind `dashboards.door`."""

import socket
from collections.abc import Iterable
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna_dashboard import wsgi

from dashboards.door import Door, Environ, Start
from dashboards.overlay import Overlay
from search_spaces import NasError
from trials.store import Store

HOST = "127.0.0.1"
LOOPBACK = (HOST, "localhost", "::1")


class ServeError(NasError):
    """An address that cannot be served."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    overlay: Overlay

    def server_close(self) -> None:
        super().server_close()
        if hasattr(self, "overlay"):  # not where the port could not be taken
            self.overlay.close()


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    timeout = 60  # s without a byte: a connection that says nothing keeps no thread for ever

    def log_message(self, *_: object) -> None:
        """The page polls every few seconds; a line for each would bury the address."""


def make_dashboard(
    store: Store, port: int, *, token: str, host: str = HOST, names: tuple[str, ...] = ()
) -> tuple[WSGIServer, Door]:
    """A server of the dashboard, bound but not yet serving, and the door to it; port 0 takes a free one.

    `names` are hosts that it is known by beside `host`, as of a proxy. Raises ServeError for an address that is not
    free, or none of this machine; DoorError for a name that is none.
    """
    Door(host=host, port=port, token=token, names=names)  # before anything listens
    kind = _Server6 if ":" in host else _Server
    try:
        server = make_server(host, port, _no_page, server_class=kind, handler_class=_Quiet)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "there is no such port or address"
        raise ServeError(
            f"port {port} must be free on {host}, but: {reason}; choose another with --port or --host"
        ) from error
    door = Door(host=host, port=server.server_port, token=token, names=names)
    server.overlay = Overlay(store)
    server.set_app(door.guard(server.overlay.cover(wsgi(store.optuna_storage, store.artifacts))))
    return server, door


def exposed(door: Door) -> str:
    """Who else can reach it, in plain words; nothing where it listens on the loopback address alone."""
    if door.host in LOOPBACK:
        return ""
    return (
        f"EXPOSED on {door.host}: whoever reaches port {door.port} of this machine over the network and has the token "
        "can see, change and delete every search; token and pages travel unencrypted. Put a proxy with TLS in front of "
        "it (docs/security.md)."
    )


def _no_page(environ: Environ, start: Start) -> Iterable[bytes]:
    start("503 Service Unavailable", [])
    return []
