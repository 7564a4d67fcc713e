"""An engine, and subscribers to it, without sockets, threads or real time.

`MemorySocketStream` stands in for `SocketStream`: the same narrow interface over
memory channels, with a switch for a peer that does not read.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import trio
import trio.testing

from tests.support.frames import TEXT, Frame, FrameParser, client_frame
from tests.support.made_up import WALL, FakeAuthority, ScriptedSource, grant
from tests.support.waiting import eventually
from ticker.cluster.siblings import Siblings
from ticker.connections import OpenConnection
from ticker.market.sources import Source, SourceContext
from ticker.market.sources.spec import SourceSpec
from ticker.protocol.requests import Subscribe
from ticker.security.authority import Authority, Grant
from ticker.service import make_service
from ticker.settings.model import Settings
from ticker.streams.session import Session
from ticker.streams.websocket import WebSocket


class MemorySocketStream(trio.abc.HalfCloseableStream):
    """A connection in memory.

    Attributes:
        on_partial_write: never called: here frames are written whole.
        full: whether the peer reads nothing now; see `read_again`.
        aborted: whether it was cut off.
    """

    on_partial_write: Callable[[], None]

    def __init__(self) -> None:
        self.heard_at = trio.current_time()
        self.stalled = False
        self.full = False
        self.aborted = False
        self.broken = False
        self._room = trio.lowlevel.ParkingLot()
        self.from_client, self._to_server = trio.open_memory_channel[bytes](math.inf)
        self._to_client, self.to_client = trio.open_memory_channel[bytes](math.inf)

    def read_again(self) -> None:
        """Let the peer read."""
        self.full = False
        self._room.unpark_all()

    def send_nowait(self, frame: bytes, /) -> None:
        """Deliver at once, or raise as the real one does."""
        self._check()
        if self.full:
            raise trio.WouldBlock
        self._to_client.send_nowait(frame)

    def _check(self) -> None:
        if self.broken or self.aborted:
            raise trio.BrokenResourceError

    async def wait_ready(self) -> None:
        """Wait until the peer reads."""
        while self.full:
            await self._room.park()
            self._check()
        await trio.lowlevel.checkpoint()
        self._check()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Deliver once the peer reads."""
        await self.wait_ready()
        self._to_client.send_nowait(bytes(data))

    async def send_last(self, data: bytes) -> None:
        """Deliver once the peer reads."""
        await self.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Do as `wait_ready`."""
        await self.wait_ready()

    async def receive_some(self, _max_bytes: int | None = None) -> bytes:
        """Return what the client sent."""
        try:
            data = await self._to_server.receive()
        except trio.EndOfChannel:
            return b""
        except trio.ClosedResourceError:
            raise trio.ClosedResourceError from None
        self.heard_at = trio.current_time()
        return data

    async def send_eof(self) -> None:
        """Say that nothing more will be sent."""
        await trio.lowlevel.checkpoint()
        self._to_client.close()

    async def aclose(self) -> None:
        """Close."""
        await trio.lowlevel.checkpoint()
        self._close()

    def abort(self) -> None:
        """Cut off."""
        self.aborted = True
        self._close()

    def _close(self) -> None:
        self._to_client.close()
        self._to_server.close()
        self._room.unpark_all()


class Client:
    """The other end of a `MemorySocketStream`, after its handshake."""

    def __init__(self, stream: MemorySocketStream) -> None:
        self.stream = stream
        self._parser = FrameParser()
        self._frames: deque[Frame] = deque()
        self.code: int | None = None  # once its session is over
        self.connection = trio.CancelScope()

    async def frame(self, seconds: float = 60.0) -> Frame | None:
        """Return the next frame; None at the end."""
        with trio.fail_after(seconds):
            while not self._frames:
                try:
                    self._frames.extend(self._parser.feed(await self.stream.to_client.receive()))
                except trio.EndOfChannel:
                    assert self._parser.partial == b""
                    return None
        return self._frames.popleft()

    def arrived(self) -> list[Frame]:
        """Return every frame that has come, without waiting."""
        while True:
            try:
                self._frames.extend(self._parser.feed(self.stream.to_client.receive_nowait()))
            except (trio.WouldBlock, trio.EndOfChannel):
                break
        found = list(self._frames)
        self._frames.clear()
        return found

    async def message(self) -> dict[str, Any]:
        """Return the next message."""
        frame = await self.frame()
        assert frame is not None, "the stream has ended"
        return frame.message

    async def until(self, kind: str) -> dict[str, Any]:
        """Return the next message of a type."""
        while True:
            frame = await self.frame()
            assert frame is not None, f"the stream ended before a {kind}"
            if frame.opcode == TEXT and frame.message["type"] == kind:
                return frame.message

    async def closed(self) -> int:
        """Read up to the close frame, answer it and return its code."""
        while True:
            frame = await self.frame()
            assert frame is not None, "the stream ended without a close frame"
            if frame.opcode == 0x8:
                self.raw(client_frame(0x8, frame.payload[:2]))
                return frame.code

    def send(self, message: object) -> None:
        """Send a message."""
        self.raw(client_frame(TEXT, message if isinstance(message, str) else json.dumps(message)))

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        self.stream.from_client.send_nowait(data)


class World:
    """A running engine with what a test needs of it."""

    def __init__(
        self,
        settings: Settings,
        siblings: Siblings | None = None,
        load: Callable[[str, SourceContext], Source] | None = None,
    ) -> None:
        self.source = ScriptedSource()
        self.authority = FakeAuthority(self.wall)
        self.wall_offset = 0.0
        self._began = trio.current_time()
        self.service = make_service(
            settings,
            cast("Authority", self.authority),
            siblings=siblings,
            load=load or self.source.load,
            wall=self.wall,
        )
        self.engine = self.service.engine
        self.market = self.service.market
        self.context = self.service.router.streams.context

    def wall(self) -> float:
        """Return the wall clock, which a test may let jump."""
        return WALL + self.wall_offset + trio.current_time() - self._began

    @asynccontextmanager
    async def client(
        self, granted: Grant | None = None, asked: Subscribe | None = None
    ) -> AsyncIterator[Client]:
        """Open a stream; leaving the block waits for the end of its session."""
        # The source has brought its first prices, unless a test keeps it from it.
        await trio.testing.wait_all_tasks_blocked()
        stream = MemorySocketStream()
        client = Client(stream)
        over = trio.Event()
        nursery = self.engine.nursery
        nursery.start_soon(self._serve, stream, granted or grant(), client, over, asked)
        yield client
        if not over.is_set():
            stream.from_client.close()
            with trio.fail_after(60):
                await over.wait()

    async def _serve(
        self,
        stream: MemorySocketStream,
        granted: Grant,
        client: Client,
        over: trio.Event,
        asked: Subscribe | None,
    ) -> None:
        try:
            with OpenConnection(self.service.connections, "::1") as connection, connection.scope:
                connection.asked()
                client.connection = connection.scope
                session = Session(
                    self.context,
                    WebSocket(stream),
                    stream,
                    granted,
                    self.engine.nursery,
                    asked=asked,
                )
                client.code = await session.run(b"")
        finally:
            stream.abort()
            over.set()


@asynccontextmanager
async def world(siblings: Siblings | None = None, **settings: Any) -> AsyncIterator[World]:
    """Run an engine whose one source is a `ScriptedSource`; one of several with `siblings`."""
    chosen = Settings(**{"source": (SourceSpec("scripted"),), "stale_after": 1e6, **settings})
    async with trio.open_nursery() as nursery:
        result = World(chosen, siblings)
        await nursery.start(result.engine.run)
        await eventually(lambda: result.market.not_ready() is None, "the first prices")
        yield result
        nursery.cancel_scope.cancel()
