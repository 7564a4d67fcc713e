"""A TCP connection in memory, with the server's real `SocketStream` at one end.

What the kernel would do is imitated where `SocketStream` and the router touch a socket: a
bounded send buffer that takes a part of what does not fit, resets, half-closes. The other end
is a subscriber that parses every frame strictly and answers pings and closes, unless told
to stall or to fall silent.
"""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast
from unittest.mock import patch

import trio

from tests.support.frames import CLOSE, PING, PONG, TEXT, Frame, FrameParser, client_frame
from ticker.transport.socket_stream import SocketStream

#: What the kernel holds for a reader that has stalled: about ten ticks.
CAPACITY = 2048


class Wire:
    """Both directions of one connection, seen by the kernel."""

    family = socket.AF_INET

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        #: Since when the server has found no room.
        self.full_since: float | None = None
        self.to_server = bytearray()
        self.to_client = bytearray()
        self.client_done = False
        self.client_reset = False
        self.server_open = True
        #: Raised, once, by the server's next write: a fault of ours.
        self.fault: Exception | None = None
        self.deliver: Callable[[bytes], None] | None = None
        self._changed = trio.lowlevel.ParkingLot()
        #: The server's end, once it is accepted.
        self.stream: SocketStream | None = None

    def accept(self) -> SocketStream:
        """Make the server's end, as its listener does."""
        self.stream = SocketStream(cast("socket.socket", self))
        return self.stream

    def changed(self) -> None:
        """Wake whoever waits for this connection."""
        self._changed.unpark_all()

    # What a socket offers to `SocketStream`.

    def fileno(self) -> int:
        return 0 if self.server_open else -1

    def setsockopt(self, *_ignored: object) -> None:
        """Change nothing."""

    def shutdown(self, _how: int) -> None:
        """Say nothing: the client learns of the end by other means."""

    def getpeername(self) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    def send(self, data: bytes, _flags: int = 0) -> int:
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        if not self.server_open:
            raise OSError(errno.EBADF, "closed")
        if self.client_reset:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        if self.deliver is not None:
            self.deliver(data)
            return len(data)
        room = CAPACITY - len(self.to_client)
        if room < len(data) and self.full_since is None:
            self.full_since = self._now()
        if room <= 0:
            raise BlockingIOError
        self.to_client += data[:room]
        return min(room, len(data))

    def close(self) -> None:
        self.server_open = False
        self.changed()

    async def writable(self) -> None:
        while self.server_open and not self.client_reset and not self._room():
            await self._changed.park()
        await trio.lowlevel.checkpoint()
        if not self.server_open:
            raise trio.ClosedResourceError

    def recv(self, max_bytes: int) -> bytes:
        if not self.server_open:
            raise OSError(errno.EBADF, "closed")
        if self.client_reset:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        if not self.to_server and not self.client_done:
            raise BlockingIOError
        data = bytes(self.to_server[:max_bytes])
        del self.to_server[:max_bytes]
        return data

    async def readable(self) -> None:
        while self.server_open and not (self.client_reset or self.client_done or self.to_server):
            await self._changed.park()
        await trio.lowlevel.checkpoint()
        if not self.server_open:
            raise trio.ClosedResourceError

    def _room(self) -> bool:
        return self.deliver is not None or len(self.to_client) < CAPACITY


@contextmanager
def kernel() -> Iterator[None]:
    """Have trio wait for wires instead of descriptors."""
    with (
        patch("trio.lowlevel.wait_readable", Wire.readable),
        patch("trio.lowlevel.wait_writable", Wire.writable),
        patch("trio.lowlevel.notify_closing", Wire.changed),
    ):
        yield


class Client:
    """A subscriber at the other end of a wire.

    Attributes:
        wanted: whether the server has confirmed that it subscribes.
        every: the interval it asked for last, in ticks.
        seq: of the newest ticker message.
        close_code: from the server, once it came.
        last_status: what it was told of each source last.
        stalled_at, silent_at, gone: what it was told to do, and since when.
    """

    def __init__(self, name: str, token: str, now: Callable[[], float]) -> None:
        self.name = name
        self.token = token
        self.wire = Wire(now)
        self.wire.deliver = self._receive
        self.response = b""
        self.wanted = False
        self.every = 1
        self.seq = 0
        self.newest: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self.last_status: dict[str, str] = {}
        self.answers: list[dict[str, Any]] = []
        self.stalled_at: float | None = None
        self.silent_at: float | None = None
        self.gone = False
        self.bad_messages = 0
        self.faulted = False
        self.revoked_at: float | None = None
        self.expires_at = float("inf")
        self._now = now
        self._parser = FrameParser()

    def request(self) -> bytes:
        """Write the handshake."""
        return (
            "GET /ws/ticker HTTP/1.1\r\nHost: simulated\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Authorization: Bearer {self.token}\r\n\r\n"
        ).encode()

    @property
    def reading(self) -> bool:
        """Whether it takes what the server sends."""
        return self.stalled_at is None and not self.gone

    @property
    def healthy(self) -> bool:
        """Whether nothing it did, or that was done to it, may end its stream."""
        return (
            self.reading
            and self.silent_at is None
            and self.revoked_at is None
            and not self.faulted
            and self._now() < self.expires_at
            and self.close_code is None
        )

    def send(self, data: bytes) -> None:
        self.wire.to_server += data
        self.wire.changed()

    def ask(self, message: object) -> None:
        self.send(client_frame(TEXT, json.dumps(message)))

    def stall(self) -> None:
        self.stalled_at = self._now()
        self.wire.deliver = None

    def resume(self) -> None:
        self.stalled_at = self.wire.full_since = None
        self.wire.deliver = self._receive
        data = bytes(self.wire.to_client)
        self.wire.to_client.clear()
        self._receive(data)
        self.wire.changed()

    def reset(self) -> None:
        self.gone = True
        self.wire.client_reset = True
        self.wire.to_server.clear()
        self.wire.changed()

    def finish(self) -> None:
        """Close its side, as FIN does."""
        self.wire.client_done = True
        self.gone = True
        self.wire.changed()

    def _receive(self, data: bytes) -> None:
        if not self.response.endswith(b"\r\n\r\n"):
            head, end, data = (self.response + data).partition(b"\r\n\r\n")
            self.response = head + end
        for frame in self._parser.feed(data):
            assert self.close_code is None, f"{self.name}: {frame} follows the close frame"
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        if frame.opcode == CLOSE:
            self.close_code = frame.code
            if not self.gone:
                self.send(client_frame(CLOSE, frame.payload[:2]))
                self.wire.client_done = True
        elif frame.opcode == PING:
            if self.silent_at is None:
                self.send(client_frame(PONG, frame.payload))
        elif frame.opcode == TEXT:
            self._hear(frame.message)

    def _hear(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "ticker":
                self._tick(message)
            case "status":
                self.last_status[message["source"]] = message["state"]
            case "subscribed":
                self.wanted = True
            case "unsubscribed":
                self.wanted = False
            case "welcome":
                self.wanted = True
        self.answers.append(message)
        del self.answers[:-5]

    def _tick(self, message: dict[str, Any]) -> None:
        assert self.wanted, f"{self.name}: a tick without a subscription"
        seq, snapshot = message["seq"], message.get("snapshot", False)
        assert seq >= self.seq, f"{self.name}: {seq} follows {self.seq}"
        assert snapshot or seq > self.seq, f"{self.name}: {seq} came twice"
        assert snapshot or seq % self.every == 0, f"{self.name}: {seq} is out of its interval"
        self.seq = seq
        self.newest = message["data"]
