"""What Hypercorn gets to see of a connection: HTTP requests, one head at a time.

Every request head on a connection passes the seam, the second on a kept-alive connection
like the first, so that a WebSocket upgrade never reaches Hypercorn and no request outlasts
its deadlines. Hypercorn's own `send_all` cannot be cancelled (it is shielded), so the
deadline of a write is kept here, beneath the shield.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import trio

from ticker import limits
from ticker.http.head import Head, read_head
from ticker.http.refusal import RefusedError


class HttpStream(trio.abc.HalfCloseableStream):
    """An accepted stream with requests cut apart and every wait bounded.

    Attributes:
        handed_over: the head of an upgrade that ended the HTTP part of this connection, if
            one came. From then on Hypercorn sees the end of the stream, and can neither
            write nor close.
        broken: whether a write has failed, so that nobody will hear of anything more.
    """

    def __init__(
        self,
        transport: trio.SocketStream | trio.SSLStream[trio.SocketStream],
        head: Head,
        takes: Callable[[Head], bool],
        admit: Callable[[Head], Awaitable[None]],
    ) -> None:
        """Wrap a stream of which one head was read.

        Args:
            transport: the accepted stream.
            head: the head of its first request.
            takes: whether a head is to be handed over instead of being shown to Hypercorn.
            admit: returns once a later request may be shown to it, or raises RefusedError.
        """
        self.transport_stream = transport
        self.handed_over: Head | None = None
        self.broken = False
        self._takes = takes
        self._admit = admit
        self._answered = trio.Event()
        self._unread = b""
        self._ready = b""
        self._body_left = 0.0
        self._body_deadline = math.inf
        self._begin(head)

    @property
    def socket(self) -> trio.socket.SocketType:
        """The socket beneath, of which Hypercorn reads the addresses."""
        stream = self.transport_stream
        return (
            stream.socket
            if isinstance(stream, trio.SocketStream)
            else stream.transport_stream.socket
        )

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
        with trio.move_on_at(self._body_deadline):
            data = bytes(await self.transport_stream.receive_some(max_bytes))
            return self._body(data)
        return b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write a response, or cut off a reader that takes nothing of it."""
        if self.handed_over is not None:
            return
        # Taken back where it succeeds: however a write fails, nothing can follow it.
        self.broken = True
        with trio.move_on_after(limits.WRITE_SECONDS):
            try:
                await self.transport_stream.send_all(data)
            except trio.BusyResourceError:
                # Hypercorn closes a connection while it still answers; it expects this error.
                raise trio.BrokenResourceError("this side is being closed") from None
            self.broken = False
            return
        self.abort()
        raise trio.BrokenResourceError("the reader of a response has stalled")

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until a write would go somewhere; part of trio's stream interface."""
        await self.transport_stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Say that nothing more will be sent."""
        if self.handed_over is None and isinstance(self.transport_stream, trio.SocketStream):
            await self.transport_stream.send_eof()

    async def aclose(self) -> None:
        """Close, unless the connection went on to be a stream."""
        if self.handed_over is None:
            self._forget()
            with trio.move_on_after(limits.CLOSE_SECONDS):
                await self.transport_stream.aclose()

    def abort(self) -> None:
        """Cut the connection at once; whoever waits on it wakes up."""
        self._forget()
        self.socket.close()

    def _forget(self) -> None:
        """Drop the requests that came early, and wake the reader, who finds the end."""
        self._unread = b""
        self._answered.set()

    def _begin(self, head: Head) -> None:
        """Show a request to Hypercorn: its head, and of what came with it just its own body."""
        head = head.redacted()  # or an access log would keep a secret
        size = head.body_bytes if head.method else None
        self._body_left = math.inf if size is None else size
        self._answered = trio.Event()
        self._body_deadline = math.inf if size == 0 else trio.current_time() + limits.BODY_SECONDS
        # HTTP/2 over cleartext would take the connection past the seam; a server may ignore the
        # wish (RFC 9113 §3.1 retired it), and Hypercorn grants it to `Upgrade` alone, whatever
        # `Connection` says. So would a request that follows chunks, whose end is not looked
        # for here.
        last = bool(head.method) and (size is None or head.first(b"upgrade") is not None)
        self._ready = (head.last_request() if last else head.raw) + self._body(head.rest)

    def _body(self, data: bytes) -> bytes:
        """Cut a body off from what follows it, which waits for its turn as a head."""
        left = self._body_left
        if len(data) < left:
            self._body_left -= len(data)
            return data
        mine = data[: int(left)]
        self._unread += data[int(left) :]
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
                self._unread = bytes(await self.transport_stream.receive_some(limits.HEAD_BYTES))
                if not self._unread:
                    return b""
        head = None
        with trio.CancelScope() as scope:
            head = await read_head(self.transport_stream, scope, self._unread)
        self._unread = b""
        if head is None:
            return b""
        if self._takes(head):
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
