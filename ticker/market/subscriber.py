"""How one frame gets to several subscribers: what the hub asks, and the way that suits them all.

Rules for this module: it knows bytes, not sockets. The gateway brings a way of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import trio


class Subscriber(Protocol):
    """What takes frames; `trio.MemorySendChannel[bytes]` is one."""

    def send_nowait(self, frame: bytes, /) -> None:
        """Take one frame whole, at once.

        Raises:
            trio.WouldBlock: it is full.
            trio.BrokenResourceError, trio.ClosedResourceError: it has gone.
        """


#: Offers a frame to some subscribers while it is iterated over, and gives who did not take it:
#: each one's place among them, and what it raised, or None where it was full. Raises nothing.
#: (An iterator, for a list of errors would be kept alive by their own tracebacks.)
Offer = Callable[[bytes], Iterator[tuple[int, Exception | None]]]


class Fanout(Protocol):
    """How a frame gets to several subscribers."""

    def gather(self, subscribers: Sequence[Subscriber], /) -> Offer:
        """Prepare to offer frames to these; used until the first of them leaves or is full."""


class OneByOne:
    """The fan-out that suits every subscriber: a call for each."""

    def gather(self, subscribers: Sequence[Subscriber], /) -> Offer:
        """Prepare to offer frames to these."""
        sends = [subscriber.send_nowait for subscriber in subscribers]

        def offer(frame: bytes) -> Iterator[tuple[int, Exception | None]]:
            for place, send in enumerate(sends):
                try:
                    send(frame)
                except trio.WouldBlock:
                    yield place, None
                except Exception as error:  # noqa: BLE001 - one subscriber's fault must not reach the next
                    yield place, error

        return offer


ONE_BY_ONE: Final = OneByOne()
