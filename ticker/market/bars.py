"""Bars of one step in flat columns of whole numbers, exact and bounded.

Rules for this module: values only. A price is kept as a whole number of the smallest unit that
any price of the symbol had (`places` decimals), so that a bar takes 20 bytes for most symbols and
no digit is lost for any: a column is as wide as its largest number needs, 32 or 64 bits, or
Python's own integers beyond that. A volume is kept in the same way, in a column of its own that
is there once a volume is known.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, MutableSequence, Sequence
from itertools import repeat
from typing import Final, TypeAlias

from ticker.market.steps import Step

__all__ = ["UNKNOWN", "Bar", "Series", "fold"]

#: Time of the bar's begin in milliseconds, its open, high, low and close, each in units of the
#: price, and its volume in units of that, or `UNKNOWN`.
Bar: TypeAlias = tuple[int, int, int, int, int, int]
#: The volume of a bar in which a price came without one.
UNKNOWN: Final = -1

_WIDER: Final = {"i": "q"}


class _Column:
    """Whole numbers in the narrowest array that holds them all."""

    __slots__ = ("values",)

    def __init__(self, values: Iterable[int] = ()) -> None:
        self.values: MutableSequence[int] = array("i")
        self.extend(values)

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
        """Multiply all numbers; a volume that is `UNKNOWN` stays so."""
        scaled = [value if value == UNKNOWN else value * factor for value in self.values]
        self.values = array("i")
        self.extend(scaled)

    def extend(self, values: Iterable[int]) -> None:
        count = len(self.values)
        added = values if isinstance(values, array) else list(values)
        try:
            # Of one type, which a year's bars mostly are, this copies memory.
            alike = getattr(added, "typecode", "") == getattr(self.values, "typecode", None)
            self.values.extend(added if alike else list(added))
        except OverflowError:
            del self.values[count:]
            self._widen()
            self.extend(added)

    def _widen(self) -> None:
        wider = _WIDER.get(self.values.typecode) if isinstance(self.values, array) else None
        self.values = list(self.values) if wider is None else array(wider, self.values)


def fold(bars: Sequence[Bar], begin: int) -> Bar:
    """Make one bar that begins at `begin` out of some of a finer step, the oldest first."""
    highest, lowest = max(bar[2] for bar in bars), min(bar[3] for bar in bars)
    volumes = [bar[5] for bar in bars]
    volume = UNKNOWN if UNKNOWN in volumes else sum(volumes)
    return begin, bars[0][1], highest, lowest, bars[-1][4], volume


class Series:
    """The newest bars of one step, in the order of their times; a step without a price has none.

    Attributes:
        step: their step.
        complete_from: no bar that begins at this time or later was dropped to make room.
    """

    __slots__ = ("_prices", "_times", "_volumes", "complete_from", "step")

    def __init__(self, step: Step) -> None:
        self.step = step
        self.complete_from: float = float("-inf")
        self._times = _Column()
        self._prices = (_Column(), _Column(), _Column(), _Column())
        self._volumes: _Column | None = None

    def __len__(self) -> int:
        return len(self._times.values)

    def first_begin(self) -> int | None:
        """Return when the oldest bar begins."""
        return self._times.values[0] * self.step.ms if len(self) else None

    def last_begin(self) -> int | None:
        """Return when the newest bar begins."""
        return self._times.values[-1] * self.step.ms if len(self) else None

    def spans(self, length: int) -> Iterator[int]:
        """Give when each span of so many milliseconds begins that has a bar, the oldest first."""
        place, numbers = 0, self._times.values
        while place < len(numbers):
            time = numbers[place] * self.step.ms
            begin = time - time % length
            yield begin
            place = self._place(begin + length)

    def get(self, begin: int) -> Bar | None:
        """Return the bar that begins at a time."""
        place = self._place(begin)
        return self._at(place) if self._holds(place, begin) else None

    def put(self, bar: Bar) -> bool:
        """Put a bar in the place of the one that begins with it, or in between; else drop it.

        Returns:
            Whether it is kept. It is dropped where all that is kept is newer and there is no
            room.
        """
        begin, opening, high, low, close, volume = bar
        place = self._place(begin)
        if volume != UNKNOWN and self._volumes is None:
            self._volumes = _Column(repeat(UNKNOWN, len(self)))
        columns = zip(self._prices, (opening, high, low, close), strict=True)
        if self._holds(place, begin):
            for column, price in columns:
                column.replace(place, price)
            if self._volumes is not None:
                self._volumes.replace(place, volume)
            return True
        if place == 0 and len(self) >= self.step.bars:
            self.complete_from = max(self.complete_from, begin + self.step.ms)
            return False
        self._times.insert(place, begin // self.step.ms)
        for column, price in columns:
            column.insert(place, price)
        if self._volumes is not None:
            self._volumes.insert(place, volume)
        if len(self) > self.step.bars:
            self.complete_from = (self._times.values[0] + 1) * self.step.ms
            self._drop(1)
        return True

    def between(self, begin: int, end: int) -> list[Bar]:
        """Return the bars that begin from `begin` on and before `end`, the oldest first."""
        return list(self.newest(begin, end, len(self)))

    def all(self) -> list[Bar]:
        """Return all bars, the oldest first."""
        first = self.first_begin()
        return (
            [] if first is None else self.between(first, self._times.values[-1] * self.step.ms + 1)
        )

    def newest(self, begin: int, end: int, limit: int) -> Iterator[Bar]:
        """Return the newest so many of those bars, as they are now, the oldest first."""
        last = self._place(end)
        taken = slice(max(self._place(begin), last - limit), last)
        begins = [number * self.step.ms for number in self._times.values[taken]]
        volumes = self._taken_volumes(taken, len(begins))
        return zip(begins, *(column.values[taken] for column in self._prices), volumes, strict=True)

    def columns(self, begin: int, end: int) -> tuple[Sequence[int], ...]:
        """Return those bars column by column.

        Returns:
            The bars' numbers (a time is that times the step), opens, highs, lows, closes and,
            where any is known, volumes.
        """
        taken = slice(self._place(begin), self._place(end))
        kept = (self._times, *self._prices)
        columns = tuple(column.values[taken] for column in kept)
        volumes = () if self._volumes is None else (self._volumes.values[taken],)
        return columns + volumes

    def append(self, columns: Sequence[Sequence[int]]) -> None:
        """Take in, from what `columns` gave, the bars that are newer than all that are kept."""
        numbers = columns[0]
        last = self._times.values[-1] if len(self) else None
        fresh = 0 if last is None else bisect_left(numbers, last + 1)
        if fresh == len(numbers):
            return
        count = len(self)
        whole = len(columns) > len(self._prices) + 1
        if whole and self._volumes is None:
            self._volumes = _Column(repeat(UNKNOWN, count))
        kept = (self._times, *self._prices)
        for column, values in zip(kept, columns, strict=False):
            column.extend(values[fresh:])
        if self._volumes is not None:
            volumes = columns[-1][fresh:] if whole else repeat(UNKNOWN, len(numbers) - fresh)
            self._volumes.extend(volumes)
        surplus = len(self) - self.step.bars
        if surplus > 0:
            self.complete_from = (self._times.values[surplus - 1] + 1) * self.step.ms
            self._drop(surplus)

    def append_bars(self, bars: Sequence[Bar]) -> None:
        """Take in bars that are newer than all that are kept, the oldest first."""
        begins, *prices, volumes = zip(*bars, strict=True)
        known = any(volume != UNKNOWN for volume in volumes)
        numbers = [begin // self.step.ms for begin in begins]
        self.append([numbers, *prices, *([volumes] if known else [])])

    def scale(self, factor: int) -> None:
        """Count prices in units that are so many times smaller."""
        for column in self._prices:
            column.scale(factor)

    def scale_volumes(self, factor: int) -> None:
        """Count volumes in units that are so many times smaller."""
        if self._volumes is not None:
            self._volumes.scale(factor)

    def _taken_volumes(self, taken: slice, count: int) -> Iterable[int]:
        return repeat(UNKNOWN, count) if self._volumes is None else self._volumes.values[taken]

    def _drop(self, count: int) -> None:
        """Drop the oldest so many."""
        volumes = () if self._volumes is None else (self._volumes,)
        for column in (self._times, *self._prices, *volumes):
            del column.values[:count]

    def _place(self, begin: int) -> int:
        """Return where the first bar is that begins at this time or later."""
        return bisect_left(self._times.values, -(-begin // self.step.ms))

    def _holds(self, place: int, begin: int) -> bool:
        return place < len(self) and self._times.values[place] * self.step.ms == begin

    def _at(self, place: int) -> Bar:
        opening, high, low, close = (column.values[place] for column in self._prices)
        volume = UNKNOWN if self._volumes is None else self._volumes.values[place]
        return self._times.values[place] * self.step.ms, opening, high, low, close, volume
