"""The relay: one feeder's messages to the followers on its machine, whole and in order.

A Unix socket of the kind SOCK_SEQPACKET takes a message whole or not at all. While a follower
keeps up, a message costs one system call. One whose socket is full is behind: it gets nothing
until there is room again, and then a keyframe, as it does at the start.

A follower takes all that is there at once. Where that reaches further back than
`limits.RELAY_LATE_SECONDS` it has slept: what it missed is of no use, and it connects anew.

Rules for this module: it knows bytes and sockets; what they mean is said in `messages`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from ticker import limits

#: `sun_path` of unix(7) holds 108 bytes, the closing zero among them.
_PATH_BYTES: Final = 107


class RelayLostError(Exception):
    """The feeder has gone, is silent, or is too far ahead; the text says which."""


class Relay:
    """The feeder's side."""

    def __init__(self, keyframe: Callable[[], Sequence[bytes]]) -> None:
        """Begin without a follower.

        Args:
            keyframe: makes what a follower needs to begin with, as of now.
        """
        self._keyframe = keyframe
        self._current: dict[socket.socket, trio.Event] = {}
        self._published = 0
        self.connected = 0
        self.behind = 0

    def publish(self, message: bytes) -> None:
        """Send a message to every follower that keeps up; never waits."""
        self._published += 1
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
        with _listen(path) as listening:
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
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_wait_gone, follower, nursery.cancel_scope)
                    while True:
                        await self._bring_up_to_date(follower)
                        fell_behind = self._current[follower] = trio.Event()
                        await fell_behind.wait()
                        self.behind += 1
        except OSError:
            pass  # it has gone
        finally:
            self._current.pop(follower, None)
            self.connected -= 1

    async def _bring_up_to_date(self, follower: socket.socket) -> None:
        """Send keyframes until one was sent before the next message came."""
        while True:
            before = self._published
            for part in self._keyframe():
                while True:
                    try:
                        follower.send(part)
                        break
                    except BlockingIOError:
                        await trio.lowlevel.wait_writable(follower)
            if self._published == before:
                return
            await trio.lowlevel.checkpoint()


def _listen(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with _reachable(path) as address:
            # A feeder that was killed left it; the one that listens now holds the lock.
            Path(address).unlink(missing_ok=True)
            listening.bind(address)
            Path(address).chmod(0o600)
        listening.listen(limits.WORKERS_MOST)
        listening.settimeout(0)
    except OSError:
        listening.close()
        raise
    return listening


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


async def follow(path: Path, clock: Callable[[], float]) -> AsyncGenerator[list[bytes], None]:
    """Yield what a feeder says: all messages that were there at once, oldest first.

    Args:
        path: the feeder's socket.
        clock: monotonic seconds that go on while this process is stopped.

    Raises:
        RelayLostError: there is no feeder, it is silent, or this process has slept.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as feeder:
        feeder.settimeout(0)
        try:
            with _reachable(path) as address:
                feeder.connect(address)
        except OSError as error:
            raise RelayLostError(f"no feeder: {error.strerror}") from None
        looked = clock()
        while True:
            with trio.move_on_after(limits.RELAY_SILENT_SECONDS) as silence:
                await trio.lowlevel.wait_readable(feeder)
            slept = clock() - looked - limits.RELAY_SILENT_SECONDS
            if slept > limits.RELAY_LATE_SECONDS:
                raise RelayLostError("this process has slept")
            if silence.cancelled_caught:
                raise RelayLostError("the feeder is silent")
            messages = _receive_all(feeder)
            looked = clock()
            if not messages:
                raise RelayLostError("the feeder has gone")
            yield messages


def _receive_all(feeder: socket.socket) -> list[bytes]:
    """Receive what is there; empty at the end."""
    messages: list[bytes] = []
    for _ in range(limits.RELAY_MESSAGES_AT_ONCE):
        try:
            message = feeder.recv(limits.RELAY_MESSAGE_BYTES)
        except BlockingIOError:
            break
        except OSError:
            return []
        if not message:
            break
        messages.append(message)
    return messages


@contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """Give a form of a path that is short enough for a Unix socket's address."""
    if len(os.fsencode(path)) <= _PATH_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
