"""Stands in front of a server and cuts the line when that has done what it was asked, but has not said so yet."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class CuttingProxy:
    """Passes bytes on in both directions; `cut_after` names what the client says before the line is cut, once."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut_after: bytes | None = None
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """No more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            cut = threading.Event()
            threading.Thread(target=self._ask, args=(client, server, cut), daemon=True).start()
            threading.Thread(target=self._answer, args=(client, server, cut), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        try:
            while said := client.recv(65536):
                if self.cut_after is not None and self.cut_after in said:
                    self.cut_after = None
                    self.cuts += 1
                    cut.set()
                server.sendall(said)
        except OSError:
            pass
        _end(server)

    def _answer(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        try:
            while answer := server.recv(65536):
                if cut.is_set():  # the server has done it
                    break
                client.sendall(answer)
        except OSError:
            pass
        _end(client)
        _end(server)


def _end(line: socket.socket) -> None:
    """To both sides, and to the thread that waits for what it says."""
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
    line.close()


@contextmanager
def run_proxy(port: int) -> Iterator[CuttingProxy]:
    """A proxy of the server at this port of the loopback address."""
    proxy = CuttingProxy(port)
    yield proxy
    proxy.close()
