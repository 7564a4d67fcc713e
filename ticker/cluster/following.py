"""A follower's side of the relay: it hears the feeder of its machine, and may succeed it.

A follower takes all that is there at once. Where that reaches further back than
`limits.RELAY_LATE_SECONDS` it has slept: what it missed is of no use, and it connects anew.

Rules for this module: it knows bytes and sockets; what they mean is said in `messages`. The
feeder's side is `relay`, which also says how a feeder hands over.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Self

import trio

from ticker import limits
from ticker.cluster import unix_socket
from ticker.cluster.relay import LEAD, MOVED, READY, SUCCEED


class RelayLostError(Exception):
    """The feeder has gone or is silent; the text says which."""


class SleptError(RelayLostError):
    """This process has slept: what waits for it is old."""


class Following:
    """A follower's side, connected until the block is left.

    Attributes:
        asked: whether the feeder has asked this process to succeed it.
        moved: whether it has said that another one listens in its place.
        lock: what makes this process the feeder, once it is; a descriptor, which is to be taken.
    """

    def __init__(self, path: Path, clock: Callable[[], float], first_word: bytes) -> None:
        """Connect to a feeder.

        Args:
            path: the feeder's socket.
            clock: monotonic seconds that go on while this process is stopped.
            first_word: what to say.

        Raises:
            RelayLostError: there is no feeder.
        """
        self.asked = self.moved = False
        self.lock: int | None = None
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
        if self.lock is not None:
            os.close(self.lock)

    def say_ready(self) -> None:
        """Say that this process can succeed.

        Raises:
            RelayLostError: the feeder has gone.
        """
        try:
            self._feeder.send(READY)
        except OSError as error:
            raise RelayLostError(f"the feeder has gone: {error.strerror}") from None

    def take_lock(self) -> int | None:
        """Take what makes this process the feeder, if it was handed over."""
        lock, self.lock = self.lock, None
        return lock

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
        messages = self._receive_all()
        if messages:
            self._heard = self._looked
        elif self._looked - self._heard >= limits.RELAY_SILENT_SECONDS:
            raise RelayLostError("the feeder is silent")
        return [message for message in messages if not self._noted(message)]

    def _noted(self, message: bytes) -> bool:
        """Note what is no message of the market; says whether it was none."""
        if message == SUCCEED:
            self.asked = True
        elif message == MOVED:
            self.moved = True
        else:
            return message == LEAD
        return True

    def _receive_all(self) -> list[bytes]:
        """Receive what is there; raises RelayLostError at the end."""
        messages: list[bytes] = []
        for _ in range(limits.RELAY_MESSAGES_AT_ONCE):
            try:
                message = self._receive_one()
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

    def _receive_one(self) -> bytes:
        if not self.asked:  # no descriptor comes before that, and to look for one costs time
            return self._feeder.recv(limits.RELAY_MESSAGE_BYTES)
        flags = socket.MSG_CMSG_CLOEXEC
        message, descriptors, *_ = socket.recv_fds(
            self._feeder, limits.RELAY_MESSAGE_BYTES, 1, flags
        )
        if descriptors:
            self.lock = descriptors[0]
        return message
