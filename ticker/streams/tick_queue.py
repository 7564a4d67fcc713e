"""What waits for a subscriber of `every`: a bounded memory channel, which a writer task empties.

In `latest` and `changes` nothing waits, since what is newest stands for what was missed, and a
socket that has room takes a frame without a task. In `every` nothing may be missed, so what a
socket does not take at once has to wait somewhere, in order, and some task has to be there when
there is room again. The bound is in ticks, which is the channel's own, and in bytes.
"""

from __future__ import annotations

from typing import Protocol, Self

import trio

from ticker import limits


class Writable(Protocol):
    """Where frames go in the end."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write whole frames."""


class TickQueue:
    """A subscriber that keeps every frame it is offered, until it is full.

    Leave its block, or call `close`, and what waits is dropped.
    """

    __slots__ = ("_bytes", "_receive", "_send", "closed")

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[bytes](limits.EVERY_TICKS)
        self._bytes = 0
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def send_nowait(self, frame: bytes, /) -> None:
        """Keep a frame.

        Raises:
            trio.WouldBlock: too much waits already.
            trio.ClosedResourceError, trio.BrokenResourceError: it is closed.
        """
        if self._bytes + len(frame) > limits.EVERY_BYTES:
            raise trio.WouldBlock
        self._send.send_nowait(frame)
        self._bytes += len(frame)

    async def write_to(self, stream: Writable) -> None:
        """Write what waits, and what comes, until this is closed."""
        while not self.closed:
            try:
                frame = await self._receive.receive()
            except (trio.EndOfChannel, trio.ClosedResourceError):
                return
            if self.closed:
                return  # the frame was on its way to this task
            await stream.send_all(frame)
            self._bytes -= len(frame)

    def close(self) -> None:
        """Drop what waits, and take nothing more."""
        self.closed = True
        self._send.close()
        self._receive.close()
