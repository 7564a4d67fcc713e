"""A healthy subscriber that measures what it gets, in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import attrs

from tests.support.frames import TEXT
from tests.support.raw import handshake
from tests.support.server import Server
from tests.support.waiting import wait_until

_READ: Final = 262_144
_TICKER: Final = b'{"type":"ticker"'
#: The length in the second byte of a frame that says that two, or eight, bytes of length follow.
_TWO_BYTES, _EIGHT_BYTES = 126, 127


@attrs.frozen
class Figures:
    """What a subscriber got in a stretch of time.

    Attributes:
        per_second: ticks a second.
        longest: the longest wait for a tick, in seconds.
    """

    per_second: float
    longest: float

    def __str__(self) -> str:
        return f"{self.per_second:5.1f} ticks/s, longest gap {self.longest * 1000:5.1f} ms"


class Neighbour:
    """A subscriber to everything, reading as fast as it can."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._began = self._last = 0.0
        self._count = 0
        self._longest = 0.0
        self._ended = False

    @property
    def ticks(self) -> int:
        """How many ticks it got since `begin`, or since it connected."""
        return self._count

    def begin(self) -> None:
        """Forget what was measured, and measure from now on."""
        with self._lock:
            self._began = self._last = time.monotonic()
            self._count, self._longest = 0, 0.0

    def figures(self) -> Figures:
        """Return what was measured since `begin`; a gap that lasts still counts."""
        with self._lock:
            now = time.monotonic()
            assert not self._ended, "the healthy subscriber was cut off"
            return Figures(self._count / (now - self._began), max(self._longest, now - self._last))

    def read(self) -> None:
        """Read until the connection ends."""
        buffer = bytearray()
        while True:
            try:
                data = self._connection.recv(_READ)
            except OSError:
                data = b""
            if not data:
                self._ended = True
                return
            buffer += data
            ticks = _take_ticks(buffer)
            if ticks:
                self._note(ticks)

    def _note(self, ticks: int) -> None:
        with self._lock:
            now = time.monotonic()
            self._longest, self._last = max(self._longest, now - self._last), now
            self._count += ticks


def _take_ticks(buffer: bytearray) -> int:
    """Take the whole frames off a buffer; return how many of them are ticks."""
    ticks = start = 0
    while len(buffer) - start >= 2:
        size, body = buffer[start + 1] & 0x7F, start + 2
        extra = {_TWO_BYTES: 2, _EIGHT_BYTES: 8}.get(size, 0)
        if extra:
            if len(buffer) < body + extra:
                break
            size = int.from_bytes(buffer[body : body + extra], "big")
            body += extra
        if len(buffer) < body + size:
            break
        if buffer[start] & 0x0F == TEXT and buffer.startswith(_TICKER, body):
            ticks += 1
        start = body + size
    del buffer[:start]
    return ticks


@contextmanager
def neighbour(server: Server) -> Iterator[Neighbour]:
    """Keep a healthy subscriber until the block is left."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(handshake(server, server.token()))
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1)
        assert head.startswith(b"HTTP/1.1 101"), head
        connection.settimeout(None)
        subscriber = Neighbour(connection)
        subscriber.begin()
        thread = threading.Thread(target=subscriber.read, daemon=True)
        thread.start()
        try:
            wait_until(lambda: subscriber.ticks, "the first tick")
            yield subscriber
        finally:
            connection.shutdown(socket.SHUT_RDWR)
            thread.join(5)
