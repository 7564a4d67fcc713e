"""Between the stream and its consumer: a buffer that never grows, however slow the consumer.

Putting is synchronous and never waits, so that the stream is read at full speed and the server
never finds the client behind.

- In `latest` and `changes` one `Ticker` waits at the most: a newer one is merged into it, so that
  a consumer that applies what it takes holds what a faster one would.
- In `every` each `Ticker` is kept in order. Past the bound the buffer is `full`; the connection is
  then given up and resumed once the consumer has made room, so that nothing is lost by it.
- Every other message is kept in order, up to a bound, and then the oldest of those is dropped.
"""

from __future__ import annotations

from collections import deque

import trio

from ticker.client.errors import TickerError
from ticker.client.limits import CONTROL_BACKLOG, EVERY_FRAMES, EVERY_PRICES
from ticker.client.messages import Message, Ticker
from ticker.client.price import Price
from ticker.client.statistics import ClientStatistics


class _Frame:
    """A `Ticker` that waits, and what was merged into it.

    Attributes:
        arrival: its number of arrival, or that of the last one merged into it.
        message: the last of them, as it came.
        size: how many prices it came with.
    """

    __slots__ = ("_merged", "_prev", "_snapshot", "arrival", "message", "size")

    def __init__(self, arrival: int, message: Ticker) -> None:
        self.arrival = arrival
        self.message = message
        self.size = len(message.data)
        self._prev = message.prev
        self._snapshot = message.snapshot
        self._merged: dict[str, Price] | None = None

    def merge(self, arrival: int, message: Ticker) -> None:
        """Put a newer one on top: it holds everything, or what has changed since."""
        if message.prev is None:
            self._merged = None
            self._prev = None
        else:
            if self._merged is None:
                self._merged = {price.symbol: price for price in self.message.data}
            self._merged.update((price.symbol, price) for price in message.data)
        self._snapshot = self._snapshot or message.snapshot
        self.arrival = arrival
        self.message = message

    def taken(self) -> Ticker:
        """Return what they come to."""
        last = self.message
        if last.prev == self._prev and last.snapshot == self._snapshot and self._merged is None:
            return last
        data = last.data if self._merged is None else tuple(self._merged.values())
        return Ticker(
            data=data, seq=last.seq, time=last.time, snapshot=self._snapshot, prev=self._prev
        )


class LatestWinsBuffer:
    """Holds what has arrived and was not yet taken; counts what it lets go.

    Attributes:
        keeps_every: whether each `Ticker` is kept, as the mode `every` is for.
    """

    def __init__(self, counts: ClientStatistics) -> None:
        self.keeps_every = False
        self._counts = counts
        # Both kinds carry their number of arrival, which is the order they are taken in.
        self._arrivals = 0
        self._frames: deque[_Frame] = deque()
        self._prices = 0
        self._others: deque[tuple[int, Message]] = deque()
        self._end: BaseException | None = None
        self._takers = trio.lowlevel.ParkingLot()
        self._emptying = trio.lowlevel.ParkingLot()

    @property
    def full(self) -> bool:
        """Whether so much waits that no further `Ticker` of `every` should come."""
        return self._holds(1.0)

    def put(self, message: Message) -> None:
        """Keep a message for the consumer."""
        self._arrivals += 1
        if isinstance(message, Ticker):
            if self._frames and not self.keeps_every:
                self._counts.conflated += 1
                self._frames[-1].merge(self._arrivals, message)
            else:
                self._frames.append(_Frame(self._arrivals, message))
                self._prices += self._frames[-1].size
        else:
            if len(self._others) == CONTROL_BACKLOG:
                self._others.popleft()
                self._counts.dropped += 1
            self._others.append((self._arrivals, message))
        self._takers.unpark()

    async def room(self) -> None:
        """Wait until the consumer has taken half of what makes it full."""
        while self._holds(0.5):
            await self._emptying.park()

    def end(self, error: TickerError | trio.ClosedResourceError) -> None:
        """Nothing more will come: once the buffer is empty, taking raises `error`."""
        self._end = self._end or error
        self._takers.unpark_all()

    async def take(self) -> Message:
        """Wait for the next message and take it out."""
        await trio.lowlevel.checkpoint()
        while True:
            if self._frames and not (self._others and self._others[0][0] < self._frames[0].arrival):
                return self._next_frame()
            if self._others:
                return self._others.popleft()[1]
            if self._end:
                raise self._end
            await self._takers.park()

    def _next_frame(self) -> Ticker:
        frame = self._frames.popleft()
        self._prices -= frame.size
        self._emptying.unpark_all()
        return frame.taken()

    def _holds(self, part: float) -> bool:
        return len(self._frames) >= EVERY_FRAMES * part or self._prices >= EVERY_PRICES * part
