"""A TCP proxy on this machine whose link a test can cut: what is sent meanwhile arrives after it.

That is what a partition does to TCP: connections stay, nothing comes through, and what was sent is
sent again until it does.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_BYTES: Final = 65536


class TcpProxy:
    """Forwards connections to a port of this machine.

    Attributes:
        port: where it listens.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._whole = threading.Event()
        self._whole.set()
        self._sockets: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Let nothing through any more, in either direction; connections stay as they are."""
        self._whole.clear()

    def heal(self) -> None:
        """Let everything through again, what was sent meanwhile first."""
        self._whole.set()

    def close(self) -> None:
        """End it with every connection."""
        self._whole.set()
        for each in (self._listening, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target), timeout=10)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                self._sockets += (near, far)
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_BYTES):
                self._whole.wait()
                sink.sendall(data)
        self._whole.wait()
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def tcp_proxy(target: int) -> Iterator[TcpProxy]:
    """Run a proxy until the block is left."""
    proxy = TcpProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
