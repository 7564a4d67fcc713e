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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast
from unittest.mock import patch

import trio

from tests.support.frames import CLOSE, PING, PONG, TEXT, Frame, FrameParser, client_frame
from ticker.market.published import Published
from ticker.market.quote import Quote
from ticker.protocol.details import Mode
from ticker.transport.socket_stream import SocketStream

#: The market's tick: long, so that half a minute is not thousands of steps.
TICK = 0.25
#: What the kernel holds for a reader that has stalled: about ten ticks.
CAPACITY = 2048


#: What is held of the market: price and timestamp, by symbol.
Held = dict[str, tuple[str, int]]


class Books(dict[tuple[str, int], Held]):
    """The market of every tick, by epoch and seq: what has been taken in, added up."""

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep those of all ticks that come within the block."""
        tick = Published.tick

        def kept(
            published: Published,
            seq: int,
            time_ms: int,
            taken: Iterable[Quote] | None = None,
            *more: Any,
        ) -> None:
            quotes = published._book.take()[0] if taken is None else taken
            before = self.get((published.epoch, published.seq), {})
            self[published.epoch, seq] = before | {
                quote.symbol: (str(quote.price), quote.time_ms // 1000) for quote in quotes
            }
            tick(published, seq, time_ms, quotes, *more)

        with patch.object(Published, "tick", kept):
            yield


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
        #: Raised, once, by the server's next write: a fault of the server.
        self.fault: Exception | None = None
        self.deliver: Callable[[bytes], None] | None = None
        #: What the subscriber found wrong first.
        self.wrong: Exception | None = None
        self._changed = trio.lowlevel.ParkingLot()
        #: The server's end, once it is accepted.
        self.stream: SocketStream | None = None

    def accept(self) -> SocketStream:
        """Make the server's end, as its listener does."""
        self.stream = SocketStream(cast("socket.socket", self))
        return self.stream

    def changed(self) -> None:
        """Wake the task that waits for this connection."""
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
            try:
                self.deliver(data)
            except Exception as wrong:  # noqa: BLE001 - it is not the server's to take for a fault
                self.wrong = self.wrong or wrong
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
        every: the interval of its subscription, in ticks.
        seq: of the newest ticker message.
        mode, detail, symbols: what of the market it is sent, as `subscribed` said.
        held: what its frames have come to, by symbol.
        position: the epoch and the seq as of which it holds that; None before a snapshot.
        heard_at: when the newest ticker message came.
        resumed: what the last `subscribed` said of that.
        close_code: from the server, once it came.
        last_status: what it was told of each source last.
        stalled_at, silent_at, gone: what it was told to do, and since when.
    """

    def __init__(
        self,
        name: str,
        token: str,
        now: Callable[[], float],
        books: Books,
        query: str = "",
    ) -> None:
        self.name = name
        self.token = token
        self.query = query
        self._books = books
        self.mode: Mode = "latest"
        self.symbols: frozenset[str] | None = None
        self.held: Held = {}
        self.position: tuple[str, int] | None = None
        self.heard_at = now()
        self.resumed: bool | None = None
        self._epoch = ""
        self.wire = Wire(now)
        self.wire.deliver = self._receive
        self.response = b""
        self.wanted = False
        self.every = 1
        self.seq = 0
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
            f"GET /ws/ticker{self.query} HTTP/1.1\r\nHost: simulated\r\nUpgrade: websocket\r\n"
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
        if self.response[9:12] != b"101":
            return
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
                self.every = round(message["interval_ms"] / 1000 / TICK)
                self.mode = message["mode"]
                self.symbols = frozenset(message["symbols"])
                self.resumed = message.get("resumed")
                self._epoch = message["epoch"]
                self.heard_at = self._now()
                if not self.resumed:
                    self.position = None
            case "unsubscribed":
                self.wanted = False
                self.position = None
            case "welcome":
                self.wanted = True
                self._epoch = message["epoch"]
        self.answers.append(message)
        del self.answers[:-5]

    def _tick(self, message: dict[str, Any]) -> None:
        assert self.wanted, f"{self.name}: a tick without a subscription"
        seq, snapshot = message["seq"], message.get("snapshot", False)
        assert seq >= self.seq, f"{self.name}: {seq} follows {self.seq}"
        if self.mode == "latest":
            assert snapshot or seq > self.seq, f"{self.name}: {seq} came twice"
            assert snapshot or seq % self.every == 0, f"{self.name}: {seq} is out of its interval"
        self.seq = seq
        self.heard_at = self._now()
        self._apply(message)

    def _apply(self, frame: dict[str, Any]) -> None:
        """Hold what a frame leads to, which must be the market as of its tick."""
        seq, prev = frame["seq"], frame.get("prev")
        entries = {
            each["symbol"]: (str(each["price"]), each["timestamp"]) for each in frame["data"]
        }
        if frame.get("snapshot") or self.mode == "latest":
            assert prev is None, f"{self.name}: {frame}"
            self.held = entries
        else:
            assert self.position is not None, f"{self.name}: changes of nothing"
            assert prev is not None, f"{self.name}: {frame}"
            assert prev <= self.position[1], f"{self.name}: a gap after {self.position}: {frame}"
            if self.mode == "every":
                self._nothing_between(seq)
            self.held = self.held | entries
        self.position = (self._epoch, seq)
        assert self.held == self._book(seq), f"{self.name}: not the market of {self.position}"

    def _nothing_between(self, seq: int) -> None:
        """A subscriber of every tick holds what each tick before this one led to."""
        assert self.position is not None
        for missed in range(self.position[1] + 1, seq):
            assert self.held == self._book(missed), f"{self.name}: no frame of {missed}"

    def _book(self, seq: int) -> Held:
        book = self._books[self._epoch, seq] if seq else {}
        wanted = self.symbols
        return book if wanted is None else {each: book[each] for each in book if each in wanted}
