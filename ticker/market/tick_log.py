"""The tick log: what each of the last ticks changed, so that nothing is missed by a short cut.

It is a ring, bounded in time and in bytes. A tick that changed nothing leaves no trace.

Rules for this module: values only; the caller brings the time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from ticker import limits
from ticker.market.quote import Details, Quote, in_full
from ticker.protocol.details import Detail


class LoggedTick(msgspec.Struct, frozen=True, gc=False):
    """One tick that changed something.

    Attributes:
        seq: its number.
        time_ms: when it was published, in milliseconds since the epoch.
        changed: the places that changed in what a detail shows.
        quotes: the quotes that the detail `full` shows changed, in that order.
        days: their figures of 24 hours from our own bars; empty where these are not known.
    """

    seq: int
    time_ms: int
    changed: Mapping[Detail, tuple[int, ...]]
    quotes: tuple[Quote, ...]
    days: tuple[Details | None, ...] = ()

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        quotes, each = self.quotes, limits.LOG_QUOTE_BYTES
        # As a rule all sources tell more than the price, or none does.
        if quotes and not (quotes[0].details is quotes[-1].details is None):
            each += limits.LOG_DETAILS_BYTES
        return limits.LOG_TICK_BYTES + each * len(quotes)

    def shown(self, detail: Detail) -> Iterator[tuple[int, Quote]]:
        """Give the place and the quote of what it changed in what a detail shows."""
        pairs: Iterator[tuple[int, Quote]] = zip(self.changed["full"], self.quotes, strict=True)
        if detail == "full":
            days = self.days or (None,) * len(self.quotes)
            return ((at, in_full(quote, day)) for (at, quote), day in zip(pairs, days, strict=True))
        if self.changed[detail] is self.changed["full"]:
            return pairs
        changed = frozenset(self.changed[detail])
        return (pair for pair in pairs if pair[0] in changed)


class TickLog:
    """The last ticks that changed something.

    Attributes:
        reaches: the `seq` after which every change is here.
    """

    __slots__ = ("_kept", "_max_bytes", "_seconds", "_size", "_ticks", "reaches")

    def __init__(self, seconds: float, max_bytes: int = limits.LOG_BYTES) -> None:
        """Begin empty, with all that has happened: nothing.

        Args:
            seconds: how far back it reaches, at the most.
            max_bytes: how much memory it takes, at the most.
        """
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._ticks: deque[LoggedTick] = deque()
        # Of each tick, when it was added, and its size.
        self._kept: deque[tuple[float, int]] = deque()
        self._size = 0
        self.reaches = 0

    def add(self, tick: LoggedTick, now: float) -> None:
        """Keep a tick, and let go of those that are too old or too many.

        Args:
            tick: newer than every other one.
            now: monotonic seconds.
        """
        ticks, kept, size = self._ticks, self._kept, tick.size
        ticks.append(tick)
        kept.append((now, size))
        self._size += size
        oldest = now - self._seconds
        while ticks and (kept[0][0] < oldest or self._size > self._max_bytes):
            self._size -= kept.popleft()[1]
            self.reaches = ticks.popleft().seq

    def replace(self, reaches: int, ticks: Iterable[LoggedTick], now: float) -> None:
        """Hold another log's ticks instead.

        Args:
            reaches: the tick after which it has every change.
            ticks: in order.
            now: monotonic seconds, at which the newest of them was.
        """
        self.restart(reaches)
        ticks = tuple(ticks)
        for tick in ticks:
            self.add(tick, now - (ticks[-1].time_ms - tick.time_ms) / 1000)

    def restart(self, seq: int) -> None:
        """Let go of everything, and go on after a tick."""
        self._ticks.clear()
        self._kept.clear()
        self._size = 0
        self.reaches = seq

    def since(self, seq: int) -> Iterator[LoggedTick]:
        """Give the ticks after one, oldest first; `reaches` says whether that is all of them."""
        first = bisect_right(self._ticks, seq, key=lambda tick: tick.seq)
        for number in range(first, len(self._ticks)):
            yield self._ticks[number]
