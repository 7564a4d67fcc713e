"""Bars of one step in flat columns of whole numbers, exact and bounded.

Rules for this module: values only. A price is kept as a whole number of the smallest unit that
any price of the symbol had (`places` decimals), so that a bar takes 20 bytes for most symbols and
no digit is lost for any: a column is as wide as its largest number needs, 32 or 64 bits, or
Python's own integers beyond that.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, MutableSequence, Sequence
from typing import Final, TypeAlias

import attrs

__all__ = ["Bar", "Series", "Step", "fold"]

#: Time of the bar's begin in milliseconds, and its open, high, low and close, each in units.
Bar: TypeAlias = tuple[int, int, int, int, int]

_WIDER: Final = {"i": "q"}


@attrs.frozen
class Step:
    """One length of bars.

    Attributes:
        name: what requests call it, as in `1m`.
        ms: from one bar to the next, in milliseconds.
        bars: how many are kept: a day of minutes is 1440.
    """

    name: str
    ms: int
    bars: int

    def begin(self, time_ms: int) -> int:
        """Return when the bar begins that a moment is in."""
        return time_ms - time_ms % self.ms


class _Column:
    """Whole numbers in the narrowest array that holds them all."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: MutableSequence[int] = array("i")

    def insert(self, place: int, value: int) -> None:
        try:
            self.values.insert(place, value)
        except OverflowError:
            self._widen()
            self.insert(place, value)

    def replace(self, place: int, value: int) -> None:
        try:
            self.values[place] = value
        except OverflowError:
            self._widen()
            self.replace(place, value)

    def scale(self, factor: int) -> None:
        scaled, self.values = [value * factor for value in self.values], array("i")
        for value in scaled:
            self.insert(len(self.values), value)

    def _widen(self) -> None:
        wider = _WIDER.get(self.values.typecode) if isinstance(self.values, array) else None
        self.values = list(self.values) if wider is None else array(wider, self.values)


def fold(bars: Sequence[Bar], begin: int) -> Bar:
    """Make one bar that begins at `begin` out of some of a finer step, the oldest first."""
    highest, lowest = max(bar[2] for bar in bars), min(bar[3] for bar in bars)
    return begin, bars[0][1], highest, lowest, bars[-1][4]


class Series:
    """The newest bars of one step, in the order of their times; a step without a price has none.

    Attributes:
        step: their step.
        complete_from: no bar that begins at this time or later was dropped to make room.
    """

    __slots__ = ("_prices", "_times", "complete_from", "step")

    def __init__(self, step: Step) -> None:
        self.step = step
        self.complete_from: float = float("-inf")
        self._times = _Column()
        self._prices = (_Column(), _Column(), _Column(), _Column())

    def __len__(self) -> int:
        return len(self._times.values)

    def last_begin(self) -> int | None:
        """Return when the newest bar begins."""
        return self._times.values[-1] * self.step.ms if len(self) else None

    def get(self, begin: int) -> Bar | None:
        """Return the bar that begins at a time."""
        place = self._place(begin)
        return self._at(place) if self._holds(place, begin) else None

    def put(self, bar: Bar) -> None:
        """Put a bar in the place of the one that begins with it, or in between; else drop it.

        It is dropped where all that is kept is newer and there is no room.
        """
        begin, *prices = bar
        place = self._place(begin)
        if self._holds(place, begin):
            for column, price in zip(self._prices, prices, strict=True):
                column.replace(place, price)
            return
        if place == 0 and len(self) >= self.step.bars:
            self.complete_from = max(self.complete_from, begin + self.step.ms)
            return
        self._times.insert(place, begin // self.step.ms)
        for column, price in zip(self._prices, prices, strict=True):
            column.insert(place, price)
        if len(self) > self.step.bars:
            self.complete_from = (self._times.values[0] + 1) * self.step.ms
            for column in (self._times, *self._prices):
                del column.values[0]

    def between(self, begin: int, end: int) -> list[Bar]:
        """Return the bars that begin from `begin` on and before `end`, the oldest first."""
        return list(self.newest(begin, end, len(self)))

    def newest(self, begin: int, end: int, limit: int) -> Iterator[Bar]:
        """Return the newest so many of those bars, as they are now, the oldest first."""
        last = self._place(end)
        taken = slice(max(self._place(begin), last - limit), last)
        begins = (number * self.step.ms for number in self._times.values[taken])
        return zip(begins, *(column.values[taken] for column in self._prices), strict=True)

    def scale(self, factor: int) -> None:
        """Count prices in units that are so many times smaller."""
        for column in self._prices:
            column.scale(factor)

    def _place(self, begin: int) -> int:
        """Return where the first bar is that begins at this time or later."""
        return bisect_left(self._times.values, -(-begin // self.step.ms))

    def _holds(self, place: int, begin: int) -> bool:
        return place < len(self) and self._times.values[place] * self.step.ms == begin

    def _at(self, place: int) -> Bar:
        opening, high, low, close = (column.values[place] for column in self._prices)
        return self._times.values[place] * self.step.ms, opening, high, low, close
