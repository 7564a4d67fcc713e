"""The stream under one WebSocket over TLS, where no frame can be written directly.

The hub's door is a memory channel with a single place; a writer task encrypts and sends what
comes through it. It does everything `FrameStream` does, a task and some microseconds slower.
"""

from __future__ import annotations

import trio

from ticker import limits
from ticker.gateway.frame_stream import peer_of
from ticker.gateway.protocol import CLOSE_OPCODE


class SecureFrameStream(trio.abc.HalfCloseableStream):
    """A TLS connection with a place for one frame.

    Attributes:
        heard_at: when the peer last sent anything, in trio's time.
        stalled: whether it was cut off for reading nothing.
    """

    def __init__(self, transport: trio.SSLStream[trio.SocketStream]) -> None:
        """Wrap an accepted connection after its TLS handshake."""
        self._transport = transport
        self._turn = trio.Lock()
        self._send_frame, self._frames = trio.open_memory_channel[bytes](1)
        self._sent = trio.lowlevel.ParkingLot()
        self._writing = False
        self._finished = False
        self.stalled = False
        self.heard_at = trio.current_time()

    @property
    def peer(self) -> str:
        """The address at the other end."""
        return peer_of(self._transport.transport_stream.socket)

    def send_nowait(self, frame: bytes, /) -> None:
        """Hand one whole frame to the writer; raises as `FrameStream.send_nowait` does."""
        if self._writing:
            raise trio.WouldBlock
        self._send_frame.send_nowait(frame)

    async def wait_ready(self) -> None:
        """Wait until the writer has sent what it had."""
        while self._writing or self._send_frame.statistics().current_buffer_used:
            await self._sent.park()
        await trio.lowlevel.checkpoint()
        if self._finished:
            raise trio.BrokenResourceError("this stream has ended")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write everything, after the frame under way.

        Raises:
            trio.BrokenResourceError: the peer has gone, took nothing for
                `limits.STALL_SECONDS` and was cut off, or the close frame has gone out.
        """
        async with self._turn:
            if self._finished:
                raise trio.BrokenResourceError("the close frame has gone out")
            payload = bytes(data)
            self._finished = payload[:1] == bytes((CLOSE_OPCODE,))
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
        """Close with TLS's own goodbye, for which the peer has `limits.CLOSE_SECONDS`."""
        with trio.move_on_after(limits.CLOSE_SECONDS):
            self._finished = True
            self._send_frame.close()
            self._sent.unpark_all()
            await self._transport.aclose()

    def abort(self) -> None:
        """Cut the connection at once; whoever waits on it wakes up."""
        self._finished = True
        self._send_frame.close()
        self._sent.unpark_all()
        self._transport.transport_stream.socket.close()

    async def write_frames(self) -> None:
        """Be the writer, for as long as the stream is open."""
        try:
            async for frame in self._frames:
                self._writing = True
                await self.send_all(frame)
                self._writing = False
                self._sent.unpark_all()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            # The reader learns of it too, and ends the session.
            self.abort()
