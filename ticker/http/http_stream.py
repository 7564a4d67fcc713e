"""A connection as Hypercorn gets to see it: its requests cut apart, and every wait bounded.

Every request head on a connection passes here, the second on a kept-alive connection like the
first, so that a WebSocket upgrade never reaches Hypercorn and no request outlasts its deadlines.
Hypercorn's own `send_all` cannot be cancelled (it is shielded), so the deadline of a write is kept
here, beneath the shield.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Self

import trio

from ticker import limits
from ticker.http.bearer import carried_in_header
from ticker.http.chunked import ChunkedBody
from ticker.http.head import Head, is_for_streams, read_head
from ticker.http.refusal import RefusedError
from ticker.protocol.paths import HTTP_STREAM_PATH
from ticker.settings.readers import TokenPlace
from ticker.transport.socket_stream import SocketStream

#: The one protocol that is offered over TLS (RFC 7301): browsers would send WebSockets over HTTP/2
#: (RFC 8441), past the streams.
HTTP_1: Final = "http/1.1"


class HttpStream(trio.abc.HalfCloseableStream):
    """A connection with its requests cut apart and every wait bounded.

    Attributes:
        handed_over: the head of an upgrade that ended the HTTP part of this connection, if
            one came. From then on Hypercorn sees the end of the stream, and can neither
            write nor close.
        broken: whether a write has failed, so that nothing more arrives.
        late: whether a body did not come in time.
    """

    def __init__(
        self,
        stream: SocketStream,
        head: Head,
        admit: Callable[[Head], Awaitable[None]],
        placed: Callable[[Head], Head],
        token_from: Sequence[TokenPlace] = ("header",),
    ) -> None:
        """Wrap a connection of which one head was read.

        Args:
            stream: the connection.
            head: the head of its first request.
            admit: returns once a later request may be shown to Hypercorn, or raises RefusedError.
            placed: returns a later request with the path below which the service is.
            token_from: where a request for a stream may carry its token.
        """
        self._stream = stream
        self._admit = admit
        self._placed = placed
        self._token_from = token_from
        self.handed_over: Head | None = None
        self.broken = False
        self.late = False
        self._answered = trio.Event()
        self._unread = b""
        self._ready = b""
        self._body_left = 0.0
        self._chunks: ChunkedBody | None = None
        self._body_deadline = math.inf
        self._begin(head)

    @property
    def socket(self) -> socket.socket:
        """The socket beneath, of which Hypercorn reads the addresses."""
        return self._stream.raw

    def request_done(self) -> None:
        """Note that a request was answered whole, so that what comes next is a head."""
        self._answered.set()
        self._body_deadline = math.inf

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Return the next bytes of a head or a body; empty at the end of the HTTP part."""
        if self.handed_over is not None:
            return b""
        if self._ready:
            data, self._ready = self._ready, b""
            await trio.lowlevel.checkpoint()
            return data
        if self._body_left == 0:
            return await self._next_head()
        if self._chunks is not None:
            # Looking for the end in many tiny chunks takes a thousand times as long as copying.
            max_bytes = limits.CHUNKED_READ_BYTES
        with trio.move_on_at(self._body_deadline):
            data = bytes(await self._stream.receive_some(max_bytes))
            return self._body(data)
        self.late = True
        return b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write a response, or cut off a reader that takes nothing of it."""
        if self.handed_over is not None:
            return
        # Taken back where it succeeds: however a write fails, nothing can follow it.
        self.broken = True
        with trio.move_on_after(limits.WRITE_SECONDS):
            await self._stream.send_all(data)
            self.broken = False
            return
        self.abort()
        raise trio.BrokenResourceError("the reader of a response has stalled")

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until a write would go somewhere; part of trio's stream interface."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Say that nothing more will be sent."""
        if self.handed_over is None:
            await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close, unless the connection went on to be a stream."""
        if self.handed_over is None:
            self._forget()
            self._stream.close()
            await trio.lowlevel.checkpoint()

    def abort(self) -> None:
        """Cut the connection at once; every task that waits on it wakes up."""
        self._forget()
        self._stream.abort()

    def _forget(self) -> None:
        """Drop the requests that came early, and wake the reader, who finds the end."""
        self._unread = b""
        self._answered.set()

    def _begin(self, head: Head) -> None:
        """Show a request to Hypercorn: its head, and of what came with it just its own body."""
        if head.path == HTTP_STREAM_PATH:
            # What the kernel holds for a slow reader is bounded as for a WebSocket.
            self._stream.tune()
            head = carried_in_header(head, self._token_from)
        head = head.redacted()  # or an access log would keep a secret
        size = head.body_bytes
        self._body_left = math.inf if size is None else size
        self._chunks = ChunkedBody(head.raw) if size is None else None
        self._answered = trio.Event()
        self._body_deadline = math.inf if size == 0 else trio.current_time() + limits.BODY_SECONDS
        # HTTP/2 over cleartext would take the connection past the seam; a server may ignore the
        # wish (RFC 9113 §3.1 retired it), and Hypercorn grants it to `Upgrade` alone, whatever
        # `Connection` says. After chunks the connection ends, since it has to where a length came
        # with them (RFC 9112 §6.1), and no client of this service sends any.
        last = size is None or head.first(b"upgrade") is not None
        self._ready = (head.last_request() if last else head.raw) + self._body(head.rest)

    def _body(self, data: bytes) -> bytes:
        """Cut a body off from what follows it, which waits for its turn as a head."""
        end = self._body_left if self._chunks is None else self._chunks.end_in(data)
        if end is None or len(data) < end:
            self._body_left -= len(data)
            return data
        mine = data[: int(end)]
        self._unread += data[int(end) :]
        self._body_left = 0
        self._body_deadline = math.inf
        return mine

    async def _next_head(self) -> bytes:
        """Wait for the next request, which is Hypercorn's to see once this one is answered."""
        while not self._answered.is_set():
            if self._unread:
                # Pipelined: it waits, and so does whatever the peer sends after it.
                await self._answered.wait()
            else:
                self._unread = bytes(await self._stream.receive_some(limits.HEAD_BYTES))
                if not self._unread:
                    return b""
        head = None
        with trio.CancelScope() as scope:
            head = await read_head(self._stream, scope, self._unread)
        self._unread = b""
        if head is None:
            return b""
        head = self._placed(head)
        if is_for_streams(head):
            self.handed_over = head
            return b""
        try:
            await self._admit(head)
        except RefusedError as refused:
            await self.send_all(refused.refusal.response())
            return b""
        self._begin(head)
        data, self._ready = self._ready, b""
        return data


class SecureHttpStream(HttpStream):
    """The same over TLS, in the shape in which Hypercorn looks for it (`TCPServer.run`)."""

    @property
    def transport_stream(self) -> Self:
        """What has the socket."""
        return self

    async def do_handshake(self) -> None:
        """Do nothing: the handshake was before the first request."""

    def selected_alpn_protocol(self) -> str:
        """Return the one protocol that is offered."""
        return HTTP_1
