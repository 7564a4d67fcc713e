"""A connection from accept to its end: whole frames from the hub, answers from the session.

Both write to one socket and must never interleave. The rule that keeps them apart: what
could not be written at once waits in `_rest`, and while there is a rest only the one task
that holds `_turn` may write. The hub uses `send_nowait`, synchronous and without a queue, and a
ring may stand in for it while nothing is `blocked`; the session uses `send_all`. What either could
not write whole is finished by a task that waits for room. Every wait for the peer has a deadline,
and a peer that misses it is cut off with a reset, since nothing can be delivered to it.

Rules for this module: only this one and `tls_stream`, which puts a record layer between the
frames and the socket, touch a connection's socket.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from socket import MSG_EOR
from typing import ClassVar, Final, NoReturn

import attrs
import trio

from ticker import limits
from ticker.addresses import UNKNOWN
from ticker.transport.lingering_close import linger

#: Waits until there is time for work that a crowd of peers may ask for at the same moment.
Turn = Callable[[], Awaitable[None]]

#: SO_LINGER with a time of zero: `close` sends a reset and drops what is queued.
_RESET = struct.pack("ii", 1, 0)


def _finish_by_itself() -> None:
    """Ask for no task: a caller of `send_all` finishes what it began."""


@attrs.define
class Blockings:
    """How often any stream began to be blocked: who has seen none blocked need not look again.

    Attributes:
        count: only grows.
    """

    count: int = 0


#: Of all streams of this process.
blockings: Final = Blockings()


class SocketStream(trio.abc.HalfCloseableStream):
    """A connected socket with a direct, synchronous way in for whole frames.

    Attributes:
        secure: whether it is encrypted.
        blocked: whether nothing may be written directly now: one look for the hot path.
        on_partial_write: called when a frame was taken in part, so that a task is started which
            calls `wait_ready`.
        heard_at: when the peer last sent anything, in trio's time.
        stalled: whether it was cut off for reading nothing.
    """

    secure: ClassVar[bool] = False

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
        self.on_partial_write: Callable[[], None] = _finish_by_itself
        self.stalled = False
        self.heard_at = trio.current_time()

    async def handshake(self, turn: Turn = trio.lowlevel.checkpoint_if_cancelled) -> None:
        """Do what comes before the first byte in either direction: over plain TCP nothing.

        Args:
            turn: is awaited before each step that takes long.
        """

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
        """The address at the other end; OSError where the peer has gone."""
        name = self._socket.getpeername()
        return str(name[0]) if isinstance(name, tuple) else UNKNOWN

    @property
    def raw(self) -> socket.socket:
        """The socket, of which Hypercorn reads the addresses."""
        return self._socket

    def fileno(self) -> int:
        """Return the socket's descriptor; -1 once it is closed."""
        return self._socket.fileno()

    def send_nowait(self, frame: bytes, /) -> None:
        """Write one whole frame, or none of it.

        A frame of which the kernel takes only a part counts as written: its rest goes out
        before anything else does, in `wait_ready`, which `on_partial_write` asks for.

        Raises:
            trio.WouldBlock: the socket is full, or the rest of another write waits.
            trio.BrokenResourceError: the peer has gone, or the last bytes went out.
            trio.ClosedResourceError: this side is closed.
        """
        if self.blocked:
            self._refuse()
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
        if not self._sent_at_once(payload):
            await self._send_in_turn(payload, last=False)
        elif self._rest:
            async with self._lock():
                await self._finish_rest()
        else:
            await trio.lowlevel.checkpoint()

    async def send_last(self, data: bytes) -> None:
        """Do as `send_all`, and let nothing follow, as nothing may follow a close frame.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: as `wait_ready`.
        """
        await self._send_in_turn(data, last=True)

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

    def receive_nowait(self, max_bytes: int) -> bytes:
        """Return what the peer has sent already; empty where there is nothing, or the end.

        It never raises: `receive_some` says what is wrong, if anything is.
        """
        try:
            return self._socket.recv(max_bytes)
        except OSError:
            return b""

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
        self._closed = self._finished = True
        self._block()
        try:
            if not self._rest:
                await linger(self)
        finally:
            self.close()

    def abort(self) -> None:
        """Cut the connection at once, with a reset; every task that waits on it wakes up."""
        if self._socket.fileno() != -1:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def close(self) -> None:
        """Close at once; every task that waits on it wakes up."""
        self._closed = self._finished = True
        self._block()
        if self._socket.fileno() != -1:
            # Wakes them with trio's ClosedResourceError.
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    def _block(self) -> None:
        self.blocked = True
        blockings.count += 1

    def _keep_rest(self, rest: bytes) -> None:
        self._rest += rest
        self._block()

    def _lock(self) -> trio.Lock:
        # Made when first needed: most streams of an idle audience never wait.
        if self._turn is None:
            self._turn = trio.Lock()
        return self._turn

    def _refuse(self) -> NoReturn:
        """Raise what says why nothing may be written directly."""
        if self._finished and (self._closed or not self._rest):
            raise trio.BrokenResourceError("the last bytes have gone out")
        raise trio.WouldBlock

    def _sent_at_once(self, payload: bytes) -> bool:
        """Write a payload where there is room and no other task stands in line."""
        if self._turn is not None and self._turn.locked():
            return False
        try:
            self.send_nowait(payload)
        except trio.WouldBlock:
            return False
        return True

    async def _send_in_turn(self, payload: bytes, *, last: bool) -> None:
        """Write a payload after the rest of what was cut short before."""
        async with self._lock():
            await self._finish_rest()
            if self._finished:
                raise trio.BrokenResourceError("the last bytes have gone out")
            self._keep_rest(self._on_the_wire(payload))
            self._finished = last
            await self._finish_rest()

    def _on_the_wire(self, payload: bytes) -> bytes:
        """Return a payload as it goes through the socket; it must go out whole from then on."""
        return payload

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
