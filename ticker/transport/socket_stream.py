"""The stream under one WebSocket: whole frames from the hub, answers from the session.

Both write to one socket and must never interleave. The rule that keeps them apart: what
could not be written at once waits in `_rest`, and while there is a rest nobody but the one
task that holds `_turn` may write. `send_nowait` is the hub's door, synchronous and without a
queue, and a ring may stand in for it while nothing is `blocked`; `send_all` is the session's.
What either could not write whole is finished by a task that waits for room, never by chance.
Every wait for the peer has a deadline, and a peer that misses it is cut off with a reset, since
nothing can be delivered to it.

Rules for this module: the only one that touches a stream's socket. It knows of RFC 6455 just
that nothing follows a close frame (§5.5.1).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from socket import MSG_EOR

import trio

from ticker import limits
from ticker.addresses import UNKNOWN
from ticker.encodings.websocket import CLOSE_OPCODE
from ticker.transport.lingering_close import linger

#: SO_LINGER with a time of zero: `close` sends a reset and drops what is queued.
_RESET = struct.pack("ii", 1, 0)
_CLOSE = bytes((CLOSE_OPCODE,))


def _nobody() -> None:
    """Ask nobody: whoever writes with `send_all` finishes what it began."""


def peer_of(connected: socket.socket | trio.socket.SocketType) -> str:
    """Return the address at the other end of a socket."""
    name = connected.getpeername()
    return str(name[0]) if isinstance(name, tuple) else UNKNOWN


class SocketStream(trio.abc.HalfCloseableStream):
    """A connected TCP socket with a direct, synchronous way in for whole frames.

    Attributes:
        blocked: whether nothing may be written directly now: one look for the hot path.
        on_partial_write: called when a frame was taken in part, for somebody to `wait_ready`.
        heard_at: when the peer last sent anything, in trio's time.
        stalled: whether it was cut off for reading nothing.
    """

    __slots__ = (
        "_closed",
        "_finished",
        "_reading",
        "_rest",
        "_send",
        "_socket",
        "_turn",
        "blocked",
        "heard_at",
        "on_partial_write",
        "stalled",
    )

    def __init__(self, raw: socket.socket) -> None:
        """Begin with nothing written, on a connected, non-blocking socket; see `tune`."""
        self._socket = raw
        self._send = raw.send
        self._rest = b""
        self._turn: trio.Lock | None = None
        self._reading = False
        self._finished = False
        self._closed = False
        self.blocked = False
        self.on_partial_write: Callable[[], None] = _nobody
        self.stalled = False
        self.heard_at = trio.current_time()

    @classmethod
    def over(cls, accepted: trio.SocketStream) -> SocketStream:
        """Take a socket over from a stream of trio's, which is closed by that."""
        old = accepted.socket
        raw = socket.socket(old.family, old.type, old.proto, fileno=old.detach())
        raw.settimeout(0)
        return cls(raw)

    def detach(self) -> trio.SocketStream:
        """Hand the socket over to a stream of trio's; this one is closed by that."""
        self._closed = self._finished = self.blocked = True
        old = self._socket
        raw = socket.socket(old.family, old.type, old.proto, fileno=old.detach())
        return trio.SocketStream(trio.socket.from_stdlib_socket(raw))

    def tune(self) -> None:
        """Ready the socket for ticks.

        What the kernel holds for a slow reader is bounded twice: the buffer as such, and, over
        TCP, what waits in it unsent. With a low-water mark of one byte and each frame a record
        of its own (`MSG_EOR`, which keeps the kernel from appending to the last one), a frame is
        taken only once all before it are on their way. So a reader that resumes finds no queue.
        """
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.SEND_BUFFER_BYTES)
        if self._socket.family != socket.AF_UNIX:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            lowat = limits.NOT_SENT_BYTES
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, lowat)

    @property
    def peer(self) -> str:
        """The address at the other end."""
        return peer_of(self._socket)

    def fileno(self) -> int:
        """Return the socket's descriptor; -1 once it is closed."""
        return self._socket.fileno()

    def send_nowait(self, frame: bytes, /) -> None:
        """Write one whole frame, or none of it.

        A frame of which the kernel takes only a part counts as written: its rest goes out
        before anything else does, in `wait_ready`, which `on_partial_write` asks for.

        Raises:
            trio.WouldBlock: the socket is full, or the rest of another write waits.
            trio.BrokenResourceError: the peer has gone, or the close frame went out.
            trio.ClosedResourceError: this side is closed.
        """
        if self.blocked:
            if self._finished and (self._closed or not self._rest):
                raise trio.BrokenResourceError("the close frame has gone out")
            raise trio.WouldBlock
        # A local name: CPython 3.11 specialises the attribute load, not a call through a slot.
        send = self._send
        try:
            sent = send(frame, MSG_EOR)
        except BlockingIOError:
            raise trio.WouldBlock from None
        except OSError as error:
            raise self._translated(error) from error
        if sent != len(frame):
            self._keep_rest(frame[sent:])
            self.on_partial_write()

    def complete_send(self, frame: bytes, result: int) -> None:
        """Take note of what became of a frame that a ring has sent, but for one sent whole.

        Args:
            frame: what was to be sent.
            result: how many bytes of it were, or minus an `errno`.

        Raises:
            trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError: as `send_nowait`.
        """
        if result >= 0:
            self._keep_rest(frame[result:])
            self.on_partial_write()
        elif -result in {errno.EAGAIN, errno.EINTR}:
            raise trio.WouldBlock
        else:
            raise self._translated(OSError(-result, os.strerror(-result)))

    async def wait_ready(self) -> None:
        """Wait until the socket takes a whole frame again, finishing the rest of the last.

        Raises:
            trio.BrokenResourceError: the peer has gone, or took nothing for
                `limits.STALL_SECONDS` and was cut off.
            trio.ClosedResourceError: this side is closed.
        """
        async with self._lock():
            await self._finish_rest()
            await self._wait_writable()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write everything, after the rest of whatever was cut short before.

        When it is cancelled in between, what is left goes out before anything else does.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: as `wait_ready`.
        """
        payload = bytes(data)
        waiting = self._turn is not None and self._turn.locked()
        if not waiting and not self.blocked and payload[:1] != _CLOSE:
            # The usual case: there is room, and nobody to stand in line with.
            try:
                self.send_nowait(payload)
            except trio.WouldBlock:
                pass
            else:
                payload = b""
                if not self.blocked:
                    await trio.lowlevel.checkpoint()
                    return
        async with self._lock():
            await self._finish_rest()
            if payload:
                await self._send_in_turn(payload)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until a write would go somewhere; part of trio's stream interface."""
        await self.wait_ready()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Return what the peer sent next; empty at its end.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: as trio's streams.
        """
        if self._reading:
            raise trio.BusyResourceError("another task is reading")
        self._reading = True
        try:
            received = await self._receive(max_bytes or limits.RECEIVE_BYTES)
        finally:
            self._reading = False
        self.heard_at = trio.current_time()
        return received

    async def send_eof(self) -> None:
        """Say that nothing more will be sent."""
        async with self._lock():
            await self._finish_rest()
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                raise self._translated(error) from error

    async def aclose(self) -> None:
        """Close without losing what was sent last; see `linger`."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = self._finished = self.blocked = True
        try:
            if not self._rest:
                await linger(self)
        finally:
            self.close()

    def abort(self) -> None:
        """Cut the connection at once, with a reset; whoever waits on it wakes up."""
        if self._socket.fileno() != -1:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def close(self) -> None:
        """Close at once, without a goodbye; whoever waits on it wakes up."""
        self._closed = self._finished = self.blocked = True
        if self._socket.fileno() != -1:
            # Wakes them with trio's ClosedResourceError.
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    def _keep_rest(self, rest: bytes) -> None:
        self._rest = rest
        self.blocked = True

    def _lock(self) -> trio.Lock:
        # Made when first needed: most streams of an idle audience never wait.
        if self._turn is None:
            self._turn = trio.Lock()
        return self._turn

    async def _send_in_turn(self, payload: bytes) -> None:
        """Write a payload, holding the turn, with no rest before it."""
        if self._finished:
            raise trio.BrokenResourceError("the close frame has gone out")
        self._keep_rest(payload)
        self._finished = payload[:1] == _CLOSE
        await self._finish_rest()

    async def _finish_rest(self) -> None:
        """Write what waits, holding the turn."""
        while self._rest:
            try:
                sent = self._send(self._rest, MSG_EOR)
            except BlockingIOError:
                await self._wait_writable()
            except OSError as error:
                raise self._translated(error) from error
            else:
                self._rest = self._rest[sent:]
        self.blocked = self._finished

    async def _receive(self, max_bytes: int) -> bytes:
        """Receive once something is there; to look before would nearly always be in vain."""
        while True:
            if self._socket.fileno() == -1:
                raise trio.ClosedResourceError("this stream was closed")
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return self._socket.recv(max_bytes)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._translated(error) from error

    async def _wait_writable(self) -> None:
        if self._socket.fileno() == -1:
            raise trio.ClosedResourceError("this stream was closed")
        with trio.move_on_after(limits.STALL_SECONDS):
            await trio.lowlevel.wait_writable(self._socket)
            return
        self.stalled = True
        self.abort()
        raise trio.BrokenResourceError("the peer has stalled")

    def _translated(self, error: OSError) -> Exception:
        """Turn an error of the socket into trio's, as trio.SocketStream does."""
        if self._socket.fileno() == -1:
            return trio.ClosedResourceError("this stream was closed")
        return trio.BrokenResourceError(f"the peer has gone: {error.strerror}")
