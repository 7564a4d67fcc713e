"""The relay: one feeder's messages to the followers on its machine, whole and in order.

A Unix socket of the kind SOCK_SEQPACKET takes a message whole or not at all. While a follower
keeps up, a message costs one system call. A follower says first what it has, and is told what it
lacks. One whose socket is full is behind: it gets nothing until there is room again, and then
everything.

A follower takes all that is there at once. Where that reaches further back than
`limits.RELAY_LATE_SECONDS` it has slept: what it missed is of no use, and it connects anew.

Rules for this module: it knows bytes and sockets; what they mean is said in `messages`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

import trio

from ticker import limits
from ticker.cluster import unix_socket


class RelayLostError(Exception):
    """The feeder has gone or is silent; the text says which."""


class SleptError(RelayLostError):
    """This process has slept: what waits for it is old."""


#: Makes what a follower needs to hold what is newest: given what it said first, or what was
#: returned when it was last asked, or None where it is not known what it has. Returns the messages,
#: and what stands for their end. The messages may be many, and are taken one by one.
Greet = Callable[[bytes | None], tuple[Iterable[bytes], bytes]]


class Relay:
    """The feeder's side.

    Attributes:
        connected: how many followers there are.
        behind: how often one of them could not keep up.
    """

    def __init__(self, greet: Greet) -> None:
        """Begin without a follower."""
        self._greet = greet
        self._current: dict[socket.socket, trio.Event] = {}
        self._published = 0
        self.connected = 0
        self.behind = 0

    def pass_on(self) -> bool:
        """Note that something is to be published; says whether any follower is there to get it."""
        self._published += 1
        return bool(self._current)

    def publish(self, message: bytes) -> None:
        """Send a message to every follower that keeps up; never waits. See `pass_on`."""
        for follower, fell_behind in tuple(self._current.items()):
            try:
                follower.send(message)
            except OSError:  # full, or gone: its own task finds out which
                del self._current[follower]
                fell_behind.set()

    async def serve(
        self, path: Path, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept followers until cancelled.

        Raises:
            OSError: the socket cannot be made.
        """
        with unix_socket.listen(path, socket.SOCK_SEQPACKET) as listening:
            async with trio.open_nursery() as nursery:
                task_status.started()
                while True:
                    await trio.lowlevel.wait_readable(listening)
                    with suppress(BlockingIOError, ConnectionAbortedError):
                        follower, _ = listening.accept()
                        follower.settimeout(0)
                        nursery.start_soon(self._serve_follower, follower)

    async def _serve_follower(self, follower: socket.socket) -> None:
        """Bring a follower up to date whenever it is behind, until it goes."""
        self.connected += 1
        try:
            with follower:
                follower.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.RELAY_BUFFER_BYTES)
                has: bytes | None = await _first_word(follower)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_wait_gone, follower, nursery.cancel_scope)
                    while True:
                        await self._bring_up_to_date(follower, has)
                        has = None
                        fell_behind = self._current[follower] = trio.Event()
                        await fell_behind.wait()
                        self.behind += 1
        except* OSError:
            pass  # it has gone
        finally:
            self._current.pop(follower, None)
            self.connected -= 1

    async def _bring_up_to_date(self, follower: socket.socket, has: bytes | None) -> None:
        """Send what a follower lacks until nothing came after it."""
        while True:
            before = self._published
            parts, has = self._greet(has)
            for part in parts:
                while True:
                    try:
                        follower.send(part)
                        break
                    except BlockingIOError:
                        await trio.lowlevel.wait_writable(follower)
            if self._published == before:
                return
            await trio.lowlevel.checkpoint()


async def _first_word(follower: socket.socket) -> bytes:
    """Receive what a follower says first; OSError where it says nothing."""
    with trio.move_on_after(limits.RELAY_SILENT_SECONDS):
        await trio.lowlevel.wait_readable(follower)
    return follower.recv(limits.RELAY_MESSAGE_BYTES)


async def _wait_gone(follower: socket.socket, scope: trio.CancelScope) -> None:
    """Wait until a follower closes its side: it never says anything."""
    while True:
        await trio.lowlevel.wait_readable(follower)
        try:
            if not follower.recv(1):
                break
        except BlockingIOError:
            continue
        except OSError:
            break
    scope.cancel()


class Following:
    """A follower's side, connected until the block is left."""

    def __init__(self, path: Path, clock: Callable[[], float], first_word: bytes) -> None:
        """Connect to a feeder.

        Args:
            path: the feeder's socket.
            clock: monotonic seconds that go on while this process is stopped.
            first_word: what to say.

        Raises:
            RelayLostError: there is no feeder.
        """
        self._clock = clock
        self._looked = self._heard = clock()
        try:
            self._feeder = unix_socket.connect(path, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise RelayLostError(f"no feeder: {error.strerror}") from None
        try:
            self._feeder.send(first_word)
        except OSError as error:
            self._feeder.close()
            raise RelayLostError(f"the feeder has gone: {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._feeder.close()

    async def receive(self, seconds: float) -> list[bytes]:
        """Return all messages that are there, oldest first; empty where none came in time.

        Args:
            seconds: how long to wait for the first of them.

        Raises:
            RelayLostError: the feeder has gone or is silent, or this process has slept.
        """
        with trio.move_on_after(seconds):
            await trio.lowlevel.wait_readable(self._feeder)
        before, self._looked = self._looked, self._clock()
        if self._looked - before > seconds + limits.RELAY_LATE_SECONDS:
            raise SleptError("this process has slept")
        messages = _receive_all(self._feeder)
        if messages:
            self._heard = self._looked
        elif self._looked - self._heard >= limits.RELAY_SILENT_SECONDS:
            raise RelayLostError("the feeder is silent")
        return messages


def _receive_all(feeder: socket.socket) -> list[bytes]:
    """Receive what is there; raises RelayLostError at the end."""
    messages: list[bytes] = []
    for _ in range(limits.RELAY_MESSAGES_AT_ONCE):
        try:
            message = feeder.recv(limits.RELAY_MESSAGE_BYTES)
        except BlockingIOError:
            break
        except OSError:
            message = b""
        if not message:
            if messages:
                break  # the next look finds the end again
            raise RelayLostError("the feeder has gone")
        messages.append(message)
    return messages
