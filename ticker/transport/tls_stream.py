"""The stream under one WebSocket over TLS, where no frame can be written directly.

The hub's door is a place for one frame; a writer task encrypts and sends what is put there. It
does everything `SocketStream` does, a task and some microseconds slower.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from ticker import limits
from ticker.encodings.websocket import CLOSE_OPCODE
from ticker.transport.socket_stream import peer_of


class TlsStream(trio.abc.HalfCloseableStream):
    """A TLS connection with a place for one frame.

    Attributes:
        on_partial_write: never called: the writer finishes every frame by itself.
        heard_at: when the peer last sent anything, in trio's time.
        stalled: whether it was cut off for reading nothing.
    """

    on_partial_write: Callable[[], None]

    def __init__(self, transport: trio.SSLStream[trio.SocketStream]) -> None:
        """Wrap an accepted connection after its TLS handshake."""
        self._transport = transport
        self._turn = trio.Lock()
        # What the hub gave, until all of it is sent.
        self._frame = b""
        self._given = trio.lowlevel.ParkingLot()
        self._sent = trio.lowlevel.ParkingLot()
        self._finished = False
        self._closed = False
        self.stalled = False
        self.heard_at = trio.current_time()

    @property
    def peer(self) -> str:
        """The address at the other end."""
        return peer_of(self._transport.transport_stream.socket)

    def send_nowait(self, frame: bytes, /) -> None:
        """Hand one whole frame to the writer; raises as `SocketStream.send_nowait` does."""
        if self._closed:
            raise trio.BrokenResourceError("this stream has ended")
        if self._frame or self._finished:
            raise trio.WouldBlock
        self._frame = frame
        self._given.unpark()

    async def wait_ready(self) -> None:
        """Wait until the writer has sent what it had."""
        while self._frame:
            await self._sent.park()
        async with self._turn:
            if self._finished:
                raise trio.BrokenResourceError("this stream has ended")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write everything, after the frame that was given before.

        Raises:
            trio.BrokenResourceError: the peer has gone, took nothing for
                `limits.STALL_SECONDS` and was cut off, or the close frame has gone out.
        """
        async with self._turn:
            await self._send_frame()
            if self._finished:
                raise trio.BrokenResourceError("the close frame has gone out")
            payload = bytes(data)
            self._finished = payload[:1] == bytes((CLOSE_OPCODE,))
            await self._write(payload)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until a write would go somewhere; part of trio's stream interface."""
        await self._transport.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Return what the peer sent next; empty at its end."""
        received = await self._transport.receive_some(max_bytes or limits.RECEIVE_BYTES)
        self.heard_at = trio.current_time()
        return received

    async def send_eof(self) -> None:
        """TLS cannot close one side alone; the close frame says the same."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close; as HTTPS does, without TLS's own goodbye, since the close frame has said it."""
        with trio.move_on_after(limits.CLOSE_SECONDS):
            self._end()
            await self._transport.aclose()

    def abort(self) -> None:
        """Cut the connection at once; whoever waits on it wakes up."""
        self._end()
        self._transport.transport_stream.socket.close()

    async def write_frames(self) -> None:
        """Be the writer, for as long as the stream is open."""
        try:
            while not self._closed:
                if not self._frame:
                    await self._given.park()
                async with self._turn:
                    await self._send_frame()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            # The reader learns of it too, and ends the session.
            self.abort()

    def _end(self) -> None:
        self._closed = self._finished = True
        self._frame = b""
        self._given.unpark_all()
        self._sent.unpark_all()

    async def _send_frame(self) -> None:
        """Send the frame that was given, holding the turn."""
        if self._frame:
            await self._write(self._frame)
            self._frame = b""
            self._sent.unpark_all()

    async def _write(self, payload: bytes) -> None:
        """Encrypt and send, holding the turn; a connection on which that fails is cut off."""
        complete = False
        try:
            with trio.move_on_after(limits.STALL_SECONDS):
                await self._transport.send_all(payload)
                complete = True
                return
        finally:
            if not complete:
                # Half a record cannot be taken back, nor finished by anybody else.
                self.abort()
        self.stalled = True
        raise trio.BrokenResourceError("the peer has stalled")
