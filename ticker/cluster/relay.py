"""The relay: one feeder's messages to the followers on its machine, whole and in order.

A Unix socket of the kind SOCK_SEQPACKET takes a message whole or not at all. While a follower
keeps up, a message costs one system call. A follower says first what it has, and is told what it
lacks. One whose socket is full is behind: it gets nothing until there is room again, and then
everything.

How a feeder that ends hands over. It asks one follower to succeed it (`SUCCEED`), goes on as
before, and waits for the answer (`READY`), by which time that one listens in its place and passes
on what it hears. It sends all others there (`MOVED`), so that they lose nothing when it falls
silent. Last it hands over its lock, by descriptor (`LEAD`), right after its last tick.

Rules for this module: it knows bytes and sockets; what they mean is said in `messages`. The
follower's side is `following`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from ticker import limits
from ticker.cluster import unix_socket

#: What a feeder that ends says; none of it can be the beginning of a message.
SUCCEED: Final = b"succeed"
MOVED: Final = b"moved"
LEAD: Final = b"lead"
#: What a follower that was asked to succeed says once it can.
READY: Final = b"ready"

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
        # Those that were asked to succeed, until they have answered or gone.
        self._asked: dict[socket.socket, trio.Event] = {}
        self._changed = trio.lowlevel.ParkingLot()
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

    async def find_successor(self) -> socket.socket | None:
        """Ask one follower after the other to succeed; the first that is ready, or None.

        The newest one is asked first: in a rolling restart it is the one that is to stay.
        """
        for follower in reversed(tuple(self._current)):
            answered = self._asked[follower] = trio.Event()
            try:
                follower.send(SUCCEED)
                await answered.wait()
            except OSError:
                continue  # its own task finds out that it has gone
            finally:
                self._asked.pop(follower, None)
            if follower in self._current:
                return follower
        return None

    async def send_away(self, successor: socket.socket) -> None:
        """Send all others to a successor, and wait until they have gone there."""
        for follower in tuple(self._current):
            if follower is not successor:
                with suppress(OSError):
                    follower.send(MOVED)
        while self.connected > 1:
            await self._changed.park()

    def hand_over(self, successor: socket.socket, descriptor: int) -> None:
        """Give a successor what makes it the feeder: nothing more will be published here."""
        if successor in self._current:  # else it lacks something
            with suppress(OSError):
                socket.send_fds(successor, [LEAD], [descriptor])

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
                    nursery.start_soon(self._listen, follower, nursery.cancel_scope)
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
            self._changed.unpark_all()
            if follower in self._asked:
                self._asked[follower].set()

    async def _listen(self, follower: socket.socket, scope: trio.CancelScope) -> None:
        """Wait until a follower closes its side; it says no more than that it is ready."""
        while True:
            await trio.lowlevel.wait_readable(follower)
            try:
                said = follower.recv(len(READY))
            except BlockingIOError:
                continue
            except OSError:
                break
            if not said:
                break
            if said == READY and follower in self._asked:
                self._asked[follower].set()
        scope.cancel()

    async def _bring_up_to_date(self, follower: socket.socket, has: bytes | None) -> None:
        """Send what a follower lacks until nothing came after it."""
        while True:
            before = self._published
            parts, has = self._greet(has)
            for part in parts:
                await trio.lowlevel.checkpoint()  # a long past is no reason to hold up a tick
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
