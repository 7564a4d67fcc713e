"""The past of one symbol: seconds for an hour, minutes for a week, hours for a year.

Rules for this module: values only; a price comes with its time. A price counts in the second
that its own time says, however late it comes. The bar of a coarser step is the fold of the finer
bars in it, always: it is made of them, not beside them. Within a second the order of arrival
counts, so that the last that came is the close.

Theory of operation. The second that is being filled is kept apart, as plain values: a price
costs two comparisons. When another second begins it goes into the seconds, and from there into
the minute and the hour. Where that is not the newest second (a late price, a clock that stepped
back), the minute is folded anew from its seconds, and the hour from its minutes; only where those
are no longer kept does a late price widen the old bar and leave its open and close.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Context, Decimal
from typing import Final

from ticker.market.bars import Bar, Series, Step, fold

__all__ = ["STEPS", "Candles", "Step"]

SECOND: Final = Step("1s", 1_000, 3_600)
MINUTE: Final = Step("1m", 60_000, 7 * 24 * 60)
HOUR: Final = Step("1h", 3_600_000, 366 * 24)
#: Every step by its name, the finest first.
STEPS: Final = {step.name: step for step in (SECOND, MINUTE, HOUR)}

#: Prices have 28 digits at most, the mean of two has 29: no digit is lost.
_EXACT: Final = Context(prec=80)


class Candles:
    """The bars of one symbol."""

    __slots__ = ("_begin", "_close", "_high", "_low", "_open", "_places", "_series")

    def __init__(self) -> None:
        self._series = {name: Series(step) for name, step in STEPS.items()}
        self._places = 0
        self._begin: int | None = None
        self._open = self._high = self._low = self._close = Decimal(0)

    def add(self, time_ms: int, price: Decimal) -> None:
        """Count one price in.

        Args:
            time_ms: when the price was made, in milliseconds since the epoch.
            price: finite.
        """
        begin = time_ms - time_ms % SECOND.ms
        if begin != self._begin:
            self._keep()
            self._begin = begin
            self._open = self._high = self._low = price
        elif price > self._high:
            self._high = price
        elif price < self._low:
            self._low = price
        self._close = price

    def bars(
        self, step: Step, *, now_ms: int, begin: int | None, end: int | None, limit: int | None
    ) -> Iterator[tuple[int, str, str, str, str]]:
        """Return bars as they are now, the oldest first; to be written one by one.

        Args:
            step: their length; one of `STEPS`.
            now_ms: the time; what is older than `step.bars` steps is not shown.
            begin: the first time, inclusive; None for all that is kept.
            end: the last time, exclusive; None for no end. The last bar may still grow.
            limit: the newest so many; None for all.

        Returns:
            Time in milliseconds, then open, high, low and close as plain decimals.
        """
        self._keep()
        series = self._series[step.name]
        oldest = step.begin(now_ms) - (step.bars - 1) * step.ms
        first = oldest if begin is None else max(begin, oldest)
        newest = series.last_begin()
        last = (first if newest is None else newest + step.ms) if end is None else end
        found = series.newest(first, last, step.bars if limit is None else limit)
        return _written(found, self._places)

    def _keep(self) -> None:
        """Put the second that is being filled into the series, and begin another."""
        if self._begin is None:
            return
        prices = (self._open, self._high, self._low, self._close)
        self._measure(prices)
        opening, high, low, close = (self._units(price) for price in prices)
        added: Bar = self._begin, opening, high, low, close
        self._begin = None
        finer = self._series[SECOND.name]
        known = finer.get(added[0])
        finer.put(added if known is None else fold((known, added), added[0]))
        newest = added[0] == finer.last_begin()
        for step in (MINUTE, HOUR):
            coarser = self._series[step.name]
            begin = step.begin(added[0])
            known = coarser.get(begin)
            if newest and known is not None:
                coarser.put(fold((known, added), begin))
            else:
                coarser.put(_refolded(finer, known, added, step))
            finer = coarser

    def _measure(self, prices: tuple[Decimal, ...]) -> None:
        """Count in smaller units where a price has more decimals than any before."""
        places = max(-int(price.as_tuple().exponent) for price in prices)
        if places > self._places:
            for series in self._series.values():
                series.scale(10 ** (places - self._places))
            self._places = places

    def _units(self, price: Decimal) -> int:
        return int(_EXACT.scaleb(price, self._places))


def _written(bars: Iterator[Bar], places: int) -> Iterator[tuple[int, str, str, str, str]]:
    for begin, opening, high, low, close in bars:
        yield (
            begin,
            _text(opening, places),
            _text(high, places),
            _text(low, places),
            _text(close, places),
        )


def _text(units: int, places: int) -> str:
    if not places:
        return str(units)
    digits = str(units).zfill(places + 1)
    return f"{digits[:-places]}.{digits[-places:]}"


def _refolded(finer: Series, known: Bar | None, added: Bar, step: Step) -> Bar:
    """Return the bar of a coarser step in which a finer bar was added or changed just now."""
    begin = step.begin(added[0])
    if known is None or finer.complete_from <= begin:
        return fold(finer.between(begin, begin + step.ms) or [added], begin)
    # Some of what it was made of is no longer kept: its open and close stay as they were.
    return begin, known[1], max(known[2], added[2]), min(known[3], added[3]), known[4]
