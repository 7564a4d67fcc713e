"""The server's side of one WebSocket (RFC 6455), from the answered handshake on.

It is wsproto without trio-websocket around it, which would give each connection a task, a
nursery and a queue of its own: half of what a subscriber would cost in memory, and a third of a
handshake's time (docs/fan-out.md). Here there is no task; waiting for the next message reads
the bytes, and answers pings and the peer's close frame on the way.

Rules for this module: one task reads. Any task may write through the stream, which keeps frames
apart.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Protocol

import trio
from wsproto.events import CloseConnection, Ping

from ticker import limits
from ticker.encodings.websocket_frames import pong_frame
from ticker.protocol.close_codes import CloseCode
from ticker.streams.inbound import Inbound, RefusedMessageError

#: What a stream that ended without a close frame is counted as (RFC 6455 §7.1.5).
ABNORMAL: Final = 1006


class ByteStream(Protocol):
    """What is needed of the stream beneath."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Return what came next; empty at the end."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write whole frames."""

    async def send_last(self, data: bytes) -> None:
        """Write the close frame, which nothing follows."""

    async def aclose(self) -> None:
        """Close without losing what was sent last."""


class EndedError(Exception):
    """The conversation is over: the peer closed it, broke the protocol, or has gone.

    Attributes:
        code: its close code; 1005 where it named none, 1006 where it said nothing.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class WebSocket:
    """A WebSocket over a stream on which frames begin with the next byte in either direction.

    Attributes:
        over: whether the peer has ended the conversation, so that no close frame is owed to it.
    """

    __slots__ = ("_compressed", "_inbound", "_stream", "over")

    def __init__(self, stream: ByteStream, *, compressed: bool = False) -> None:
        """Begin after the handshake; `compressed` where that agreed on permessage-deflate."""
        self._stream = stream
        self._compressed = compressed
        # Made with the first byte: most subscribers never say a word.
        self._inbound: Inbound | None = None
        self.over = False

    async def receive(self) -> str | bytes:
        """Return the next whole message; can be cancelled without losing one.

        Raises:
            EndedError: there is none; where the peer is owed a close frame it was sent.
            RefusedMessageError: the message is too big, or the frames are too many.
            trio.BrokenResourceError, trio.ClosedResourceError: the peer has gone, or takes
                nothing of what it is answered.
        """
        while True:
            for event in self._inbound.events() if self._inbound is not None else ():
                if isinstance(event, Ping):
                    await self._stream.send_all(pong_frame(bytes(event.payload)))
                elif isinstance(event, CloseConnection):
                    await self._answer(event)
                    raise EndedError(event.code)
                else:
                    return event
            await self._receive()
            if self.over:
                raise EndedError(ABNORMAL)

    async def close(self, code: CloseCode) -> None:
        """Send a close frame, wait for the peer's, and close the stream.

        What the peer sends before its close frame is dropped. Nothing limits how long that takes.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: the peer has gone.
        """
        inbound = self._inbound = self._inbound or self._new_inbound()
        await self._stream.send_last(inbound.close(code))
        with suppress(RefusedMessageError):
            # What was read before may hold it already.
            while not (inbound.answered() or self.over):
                await self._receive()
        self.over = True
        await self._stream.aclose()

    def end(self) -> None:
        """Let go of what was under way, at the end of the connection."""
        if self._inbound is not None:
            self._inbound.end()

    def _new_inbound(self) -> Inbound:
        return Inbound(compressed=self._compressed)

    async def _receive(self) -> None:
        """Take in what comes next, or note that nothing will."""
        data = await self._stream.receive_some(limits.RECEIVE_BYTES)
        if not data:
            self.over = True
            return
        if self._inbound is None:
            self._inbound = self._new_inbound()
        self._inbound.feed(bytes(data), trio.current_time())

    async def _answer(self, closing: CloseConnection) -> None:
        assert self._inbound is not None  # noqa: S101 - it is where it came from
        self.over = True
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._stream.send_last(self._inbound.answer(closing))
