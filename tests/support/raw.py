"""A subscriber made of a bare socket, which can misbehave in any way.

Everything it receives is parsed strictly, so that a test with it also shows that every frame
came whole.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import trio

from tests.support.frames import CLOSE, PING, PONG, TEXT, Frame, FrameParser, client_frame
from tests.support.server import Server

#: SO_LINGER with no time: closing sends a reset.
RESET: Final = struct.pack("ii", 1, 0)
_READ: Final = 65536


def handshake(
    server: Server,
    token: str | None = None,
    *,
    path: str = "/ws/ticker",
    method: str = "GET",
    headers: Mapping[str, str | None] | None = None,
    more: str = "",
) -> bytes:
    """Write a request for a stream; a header given as None is left out."""
    fields: dict[str, str | None] = {
        "Host": f"127.0.0.1:{server.port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Authorization": None if token is None else f"Bearer {token}",
        **(headers or {}),
    }
    lines = [f"{name}: {value}\r\n" for name, value in fields.items() if value is not None]
    return f"{method} {path} HTTP/1.1\r\n{''.join(lines)}{more}\r\n".encode("latin-1")


class RawResponse:
    """An HTTP response read from a bare socket."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines if line)
        }
        self.body = body

    @property
    def error(self) -> str:
        """The text of an error."""
        text: str = json.loads(self.body)["error"]
        return text


async def connect(server: Server, *, receive_buffer: int | None = None) -> trio.SocketStream:
    """Open a TCP connection, with a small receive buffer where one is asked for."""
    connection = trio.socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await connection.connect(("127.0.0.1", server.port))
    except BaseException:
        connection.close()
        raise
    return trio.SocketStream(connection)


async def read_response(
    stream: trio.abc.ReceiveStream, seconds: float = 10
) -> tuple[RawResponse, bytes]:
    """Read one response with its body; what came after it is returned too."""
    data = b""
    with trio.fail_after(seconds):
        while b"\r\n\r\n" not in data:
            more = await stream.receive_some(_READ)
            assert more, f"the server hung up after {data!r}"
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        response = RawResponse(head, b"")
        size = 0 if response.status == 101 else int(response.headers.get("content-length", 0))
        while len(rest) < size:
            more = await stream.receive_some(_READ)
            assert more, f"the server hung up after {data!r}"
            rest += more
    response.body = rest[:size]
    return response, rest[size:]


async def ask(server: Server, request: bytes) -> RawResponse:
    """Send one request on a connection of its own and read the answer."""
    async with await connect(server) as stream:
        await stream.send_all(request)
        response, _ = await read_response(stream)
        return response


class RawStream:
    """An open stream over a bare socket.

    Attributes:
        stream: the socket.
        response: of the handshake.
    """

    def __init__(self, stream: trio.SocketStream, response: RawResponse, rest: bytes) -> None:
        self.stream = stream
        self.response = response
        compression = "sec-websocket-extensions" in response.headers
        self._parser = FrameParser(compression=compression)
        self._frames = deque(self._parser.feed(rest))

    @property
    def partial(self) -> bytes:
        """What has come of a frame that is not complete."""
        return self._parser.partial

    async def frame(self, seconds: float = 10.0) -> Frame | None:
        """Return the next frame; None at the end of the stream. A ping is answered."""
        with trio.fail_after(seconds):
            while True:
                while not self._frames:
                    data = await self.stream.receive_some(_READ)
                    if not data:
                        return None
                    self._frames.extend(self._parser.feed(data))
                frame = self._frames.popleft()
                if frame.opcode != PING:
                    return frame
                await self.stream.send_all(client_frame(PONG, frame.payload))

    async def message(self, seconds: float = 10.0) -> dict[str, Any]:
        """Return the next message."""
        frame = await self.frame(seconds)
        assert frame is not None, "the stream has ended"
        return frame.message

    async def until(self, kind: str, seconds: float = 10.0, **fields: object) -> dict[str, Any]:
        """Return the next message of a type, with these fields, passing over others."""
        with trio.fail_after(seconds):
            while True:
                message = await self.message(seconds)
                if message["type"] == kind and fields.items() <= message.items():
                    return message

    async def closed(self, seconds: float = 10.0) -> int:
        """Read up to the close frame, and to the end after it; return the code."""
        with trio.fail_after(seconds):
            while True:
                frame = await self.frame(seconds)
                assert frame is not None, "the stream ended without a close frame"
                if frame.opcode == CLOSE:
                    # The server waits a second for the answer, which a busy machine may exceed.
                    with suppress(trio.BrokenResourceError):
                        await self.stream.send_all(client_frame(CLOSE, frame.payload[:2]))
                        last = await self.frame(seconds)
                        assert last is None, "something follows the close frame"
                    return frame.code

    async def send(self, message: object) -> None:
        """Send a message: text as it is, bytes as text, anything else as JSON."""
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        await self.stream.send_all(client_frame(TEXT, text))

    def reset(self) -> None:
        """Cut the connection with a reset."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.stream.socket.close()


@asynccontextmanager
async def opened(
    server: Server,
    token: str | None = None,
    *,
    receive_buffer: int | None = None,
    headers: Mapping[str, str | None] | None = None,
    path: str = "/ws/ticker",
) -> AsyncIterator[RawStream]:
    """Open a stream with a token, the demo key's by default."""
    async with await connect(server, receive_buffer=receive_buffer) as stream:
        request = handshake(server, token or server.token(), headers=headers, path=path)
        await stream.send_all(request)
        response, rest = await read_response(stream)
        assert response.status == 101, response.body
        yield RawStream(stream, response, rest)
