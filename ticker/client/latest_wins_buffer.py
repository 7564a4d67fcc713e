"""Between the stream and its consumer: a buffer that never grows, however slow the consumer.

Rules for this module: putting is synchronous and never waits, so that the stream is read
at full speed and the server never finds us behind. Only the newest `Ticker` is kept, marked
as a snapshot where it took the place of one; every other message is kept in order, up to a
bound, and then the oldest of those is dropped.
"""

from __future__ import annotations

from collections import deque

import msgspec
import trio

from ticker.client.errors import TickerError
from ticker.client.limits import CONTROL_BACKLOG
from ticker.client.messages import Message, Ticker
from ticker.client.statistics import ClientStatistics


class LatestWinsBuffer:
    """Holds what has arrived and was not yet taken; counts what it lets go."""

    def __init__(self, counts: ClientStatistics) -> None:
        self._counts = counts
        # Both kinds carry their number of arrival, which is the order they are taken in.
        self._arrivals = 0
        self._newest: tuple[int, Ticker] | None = None
        self._others: deque[tuple[int, Message]] = deque()
        self._end: BaseException | None = None
        self._takers = trio.lowlevel.ParkingLot()

    def put(self, message: Message) -> None:
        """Keep a message for the consumer."""
        self._arrivals += 1
        if isinstance(message, Ticker):
            if self._newest is not None:
                self._counts.conflated += 1
                if self._newest[1].snapshot:
                    message = msgspec.structs.replace(message, snapshot=True)
            self._newest = (self._arrivals, message)
        else:
            if len(self._others) == CONTROL_BACKLOG:
                self._others.popleft()
                self._counts.dropped += 1
            self._others.append((self._arrivals, message))
        self._takers.unpark()

    def end(self, error: TickerError | trio.ClosedResourceError) -> None:
        """Nothing more will come: once the buffer is empty, taking raises `error`."""
        self._end = self._end or error
        self._takers.unpark_all()

    async def take(self) -> Message:
        """Wait for the next message and take it out."""
        await trio.lowlevel.checkpoint()
        while True:
            if self._newest and not (self._others and self._others[0][0] < self._newest[0]):
                message: Message = self._newest[1]
                self._newest = None
                return message
            if self._others:
                return self._others.popleft()[1]
            if self._end:
                raise self._end
            await self._takers.park()
