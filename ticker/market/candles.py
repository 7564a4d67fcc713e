"""The last hour of one symbol in one-second bars of open, high, low and close.

Rules for this module: values only; the caller brings the time. A ring of fixed size in
flat arrays, since a tuple per bar would cost ten times the memory.
"""

from __future__ import annotations

from array import array
from typing import Final

#: One bar a second.
STEP_MS: Final = 1000
#: An hour of them: what a chart of the last hour needs.
BARS: Final = 3600


class Candles:
    """A ring of the newest `BARS` bars; a second without a price has no bar."""

    __slots__ = ("_close", "_count", "_high", "_low", "_open", "_second")

    def __init__(self) -> None:
        self._second = array("q", bytes(8 * BARS))
        self._open, self._high, self._low, self._close = (
            array("d", bytes(8 * BARS)) for _ in range(4)
        )
        self._count = 0

    def add(self, time_ms: int, price: float) -> None:
        """Count one price in.

        A price older than the newest bar's second counts in that bar, so that a clock that
        steps back cannot disorder the ring.
        """
        second = time_ms // STEP_MS
        at = (self._count - 1) % BARS
        if self._count and second <= self._second[at]:
            if price > self._high[at]:
                self._high[at] = price
            elif price < self._low[at]:
                self._low[at] = price
            self._close[at] = price
            return
        at = self._count % BARS
        self._second[at] = second
        self._open[at] = self._high[at] = self._low[at] = self._close[at] = price
        self._count += 1

    def bars(self, now_ms: int) -> list[tuple[int, float, float, float, float]]:
        """Return the bars of the last hour, oldest first: time in ms, open, high, low, close."""
        oldest = now_ms // STEP_MS - BARS
        first = max(0, self._count - BARS)
        return [
            (
                self._second[at] * STEP_MS,
                self._open[at],
                self._high[at],
                self._low[at],
                self._close[at],
            )
            for at in (number % BARS for number in range(first, self._count))
            if self._second[at] > oldest
        ]
