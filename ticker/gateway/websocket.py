"""The server's side of one WebSocket (RFC 6455), from the answered handshake on.

wsproto tells what the peer's bytes mean. It is used without trio-websocket around it, which
would give each connection a task, a nursery and a queue of its own: two thirds of what a
subscriber would cost in memory, and half of a handshake's time (docs/fan-out.md). Here there is
no task; whoever waits for the next message reads the bytes, and answers pings and the peer's
goodbye on the way.

Rules for this module: one task reads. Anybody may write through the stream, which keeps frames
apart.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

import trio
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from ticker import limits
from ticker.close_codes import CloseCode
from ticker.gateway.inbound import FrameMeter
from ticker.gateway.protocol import close_frame, pong_frame

#: What a stream that ended without a close frame is counted as (RFC 6455 §7.1.5).
ABNORMAL = 1006


class ByteStream(Protocol):
    """What is needed of the stream beneath."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Return what came next; empty at the end."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write whole frames."""

    async def aclose(self) -> None:
        """Close without losing what was sent last."""


class EndedError(Exception):
    """The conversation is over: the peer said goodbye, broke the protocol, or has gone.

    Attributes:
        code: its close code; 1005 where it named none, 1006 where it said nothing.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class RefusedMessageError(Exception):
    """The peer sends what is not taken; `code` is what to close with."""

    def __init__(self, code: CloseCode) -> None:
        super().__init__(code.reason)
        self.code = code


class WebSocket:
    """A WebSocket over a stream on which frames begin with the next byte in either direction.

    Attributes:
        over: whether the peer has ended the conversation, so that no goodbye is owed to it.
    """

    __slots__ = ("_message", "_meter", "_protocol", "_size", "_stream", "over")

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._protocol = Connection(ConnectionType.SERVER)
        self._meter = FrameMeter()
        self._message: list[str | bytes] = []
        self._size = 0
        self.over = False

    async def receive(self) -> str | bytes:
        """Return the next whole message.

        When it is cancelled nothing is lost but a message that was half there.

        Raises:
            EndedError: there is none; where the peer is owed a close frame it was sent.
            RefusedMessageError: the message is too big, or the frames are too many.
            trio.BrokenResourceError, trio.ClosedResourceError: the peer has gone, or takes
                nothing of what it is answered.
        """
        while True:
            for event in self._protocol.events():
                match event:
                    case TextMessage() | BytesMessage():
                        message = self._put_together(event)
                        if message is not None:
                            return message
                    case Ping():
                        await self._stream.send_all(pong_frame(bytes(event.payload)))
                    case CloseConnection():
                        await self._answer_goodbye(event)
                        raise EndedError(event.code)
            data = await self._stream.receive_some(limits.RECEIVE_BYTES)
            if not data:
                self.over = True
                raise EndedError(ABNORMAL)
            if not self._meter.within(data, trio.current_time()):
                raise RefusedMessageError(CloseCode.TOO_MANY_MESSAGES)
            self._protocol.receive_data(bytes(data))

    async def close(self, code: CloseCode) -> None:
        """Say goodbye, wait for the peer's, and close the stream.

        What the peer sends before its goodbye is dropped. Nothing limits how long that takes.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: the peer has gone.
        """
        await self._stream.send_all(
            self._protocol.send(CloseConnection(code=code, reason=code.reason))
        )
        while self._protocol.state is not ConnectionState.CLOSED:
            data = await self._stream.receive_some(limits.RECEIVE_BYTES)
            if not data:
                break
            self._protocol.receive_data(bytes(data))
            if any(isinstance(event, CloseConnection) for event in self._protocol.events()):
                break
        self.over = True
        await self._stream.aclose()

    async def _answer_goodbye(self, event: CloseConnection) -> None:
        """Send the close frame that is owed for the peer's, or for what it did wrong.

        wsproto tells of both by the same event, and only its state tells them apart.
        """
        self.over = True
        if self._protocol.state is ConnectionState.REMOTE_CLOSING:
            answer = self._protocol.send(event.response())
        else:
            answer = close_frame(event.code)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._stream.send_all(answer)

    def _put_together(self, event: TextMessage | BytesMessage) -> str | bytes | None:
        """Take in a part of a message; return the message once it is whole."""
        part = event.data if isinstance(event.data, str) else bytes(event.data)
        self._size += len(part.encode()) if isinstance(part, str) else len(part)
        if self._size > limits.MESSAGE_BYTES:
            raise RefusedMessageError(CloseCode.TOO_BIG)
        self._message.append(part)
        if not event.message_finished:
            return None
        parts, self._message, self._size = self._message, [], 0
        # One kind throughout, which wsproto sees to.
        return "".join(parts) if isinstance(part, str) else b"".join(parts)  # type: ignore[arg-type]
