"""The past of one symbol: seconds for an hour, minutes for a week, hours for a year.

Rules for this module: values only; a price comes with its time. A price counts in the second
that its own time says, however late it comes. The bar of a coarser step is the fold of the finer
bars in it, always: it is made of them, not beside them. Within a second the order of arrival
counts, so that the last that came is the close.

Theory of operation. The second that is being filled is kept apart, as plain values: a price
costs two comparisons. When another second begins it is laid aside, and `settle`, which is called
now and then or when bars are asked for, puts it into the seconds, and from there into the minute
and the hour. Where that is not the newest second (a late price, a clock that stepped back), the
minute is folded anew from its seconds, and the hour from its minutes; only where those are no
longer kept does a late price widen the old bar and leave its open and close.

Bars of an exchange's own are shown where ours has none. An hour of which some minutes are ours and
some the exchange's is shown as the fold of those minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from operator import lt

from ticker.limits import CANDLES_LAID_ASIDE
from ticker.market.bars import Bar, Series, fold
from ticker.market.kept_bars import ExactBar, KeptBars
from ticker.market.quote import Details
from ticker.market.shown_bars import ShownBar, end_of, merged, written
from ticker.market.steps import HOUR, MINUTE, SECOND, STEPS, Step

__all__ = ["HOUR", "MINUTE", "SECOND", "STEPS", "Candles", "ExactBar", "ShownBar", "Step"]


class Candles(KeptBars):
    """The bars of one symbol, and the second that is being filled.

    Attributes:
        day: the figures of the last 24 hours, as of the last `refresh_day` and the prices since;
            see `ticker.market.day`.
    """

    __slots__ = (
        "_aside",
        "_begin",
        "_close",
        "_high",
        "_low",
        "_noted",
        "_open",
        "_told",
        "_volume",
        "day",
    )

    def __init__(self) -> None:
        super().__init__()
        self._begin: int | None = None
        self._open = self._high = self._low = self._close = Decimal(0)
        self._volume: Decimal | None = None
        self._aside: list[ExactBar] = []
        self._noted = 0  # of those aside, taken by `take_unsaved`
        self._told = False  # whether it has told of the second that is being filled, as it is
        self.day: Details | None = None

    def add(self, time_ms: int, price: Decimal, volume: Decimal | None = None) -> bool:
        """Count one price in.

        Args:
            time_ms: when the price was made, in milliseconds since the epoch.
            price: finite.
            volume: what was traded, where that is known of every trade.

        Returns:
            Whether the price is beyond the highest or the lowest of the day, or there is none
            yet; then `day` is due to be made anew.
        """
        begin = time_ms - time_ms % 1_000
        self._told = False
        if begin != self._begin:
            self._lay_aside()
            self._begin = begin
            self._open = self._high = self._low = price
            self._volume = volume
        else:
            if volume is not None and self._volume is not None:
                self._volume += volume
            elif self._volume is not None:
                self._volume = None
            if price > self._high:
                self._high = price
            elif price < self._low:
                self._low = price
            else:
                self._close = price
                return False
        self._close = price
        day = self.day
        if day is None or day.high_24h is None or day.low_24h is None:
            return True
        return price > day.high_24h or price < day.low_24h

    def bars(
        self, step: Step, *, now_ms: int, begin: int | None, end: int | None, limit: int | None
    ) -> Iterator[ShownBar]:
        """Return bars as they are now, the oldest first; to be written one by one.

        Args:
            step: their length; one of `STEPS`.
            now_ms: the time; what is older than `step.bars` steps is not shown.
            begin: the first time, inclusive; None for all that is kept.
            end: the last time, exclusive; None for no end. The last bar may still grow.
            limit: the newest so many; None for all.
        """
        self.settle()
        oldest = step.oldest(now_ms)
        first = oldest if begin is None else max(begin, oldest)
        last = end_of(self._series, self._theirs, step, first) if end is None else end
        most = step.bars if limit is None else limit
        if not self._theirs:
            ours = self._series[step.name].newest(first, last, most)
            return self._shown((bar, False) for bar in ours)
        both = merged(self._series, self._theirs, step, first, last)
        return self._shown(islice(both, max(0, len(both) - most), None))

    def _shown(self, bars: Iterable[tuple[Bar, bool]]) -> Iterator[ShownBar]:
        return written(bars, self._places, self._volume_places)

    def columns(self, step: Step, begin: int, end: int) -> tuple[Sequence[int], ...]:
        """Return bars as they are now, ours and theirs, column by column; see `Series.columns`."""
        self.settle()
        series = self._series[step.name]
        if not self._theirs:
            return series.columns(begin, end)
        bars = [bar for bar, _ in merged(self._series, self._theirs, step, begin, end)]
        if not bars:
            return ((),) * 5
        begins, *rest = zip(*bars, strict=True)
        return tuple(time // step.ms for time in begins), *rest

    # --- what is laid aside

    def settle(self) -> None:
        """Put what came since the last time into the bars."""
        self._lay_aside()
        self.settle_over()

    def settle_over(self) -> None:
        """Put the seconds that are over into the bars; many at once cost little more than one."""
        aside, self._aside = self._aside, []
        noted, self._noted = self._noted, 0
        if not aside:
            return
        last = self._series[SECOND.name].last_begin()
        begins = [each[0] for each in aside]
        later = begins if last is None else [last, *begins]
        if all(map(lt, later, islice(later, 1, None))):
            self._append(aside, noted)
        else:
            for each in aside:
                self._settle(each)

    def _append(self, seconds: Sequence[ExactBar], noted: int) -> None:
        """Put in, as `_settle` would one by one, seconds in order that are newer than all kept.

        The first so many are noted as changed already.
        """
        self._measure(seconds)
        added = [self._in_units(second) for second in seconds]
        finer = self._series[SECOND.name]
        finer.append_bars(added)
        if self.unsaved is not None:
            self.unsaved.update((SECOND.name, bar[0]) for bar in added[noted:])
        for step in (MINUTE, HOUR):
            coarser = self._series[step.name]
            begins = [step.begin(bar[0]) for bar in added]
            for begin in dict.fromkeys(begins):
                known = coarser.get(begin)
                if known is None:
                    bars = finer.between(begin, begin + step.ms)
                else:
                    bars = [known, *(bar for bar in added if step.begin(bar[0]) == begin)]
                coarser.put(fold(bars, begin))
            finer = coarser

    def _lay_aside(self) -> None:
        """Lay the second that is being filled aside, and begin another."""
        if self._begin is None:
            return
        self._aside.append(self._filling(self._begin))
        self._begin = None
        if len(self._aside) >= CANDLES_LAID_ASIDE:
            self.settle_over()

    def count_in(self, second: ExactBar) -> None:
        """Count in a second, or a part of one, that came after what is known of it."""
        self.settle()
        self._settle(second)

    def _settle(self, second: ExactBar) -> None:
        self._measure([second])
        added = self._in_units(second)
        finer = self._series[SECOND.name]
        known = finer.get(added[0])
        kept = finer.put(added if known is None else fold((known, added), added[0]))
        if kept:
            self._note(SECOND, added[0])
        newest = added[0] == finer.last_begin()
        for step in (MINUTE, HOUR):
            coarser = self._series[step.name]
            begin = step.begin(added[0])
            known = coarser.get(begin)
            if newest and known is not None:
                put = coarser.put(fold((known, added), begin))
            else:
                put = coarser.put(_refolded(finer, known, added, step))
            if put and not kept:  # what is kept finer brings it back
                self._note(step, begin)
            finer = coarser

    def take_unsaved(self) -> list[tuple[str, int, ExactBar | None]]:
        """Return what has changed since this was asked last, as it is now: for who keeps it.

        What was laid aside, and the second that is being filled, are told as they are, without
        being put into the bars: that can wait. A market that stands still is told of once.

        Returns:
            The name of each bar's step, its begin, and itself; None for those of an exchange.
        """
        if self.unsaved is None:
            return []
        aside = self._aside
        begun = None if self._told else self._begin
        if begun is None and not self.unsaved and self._noted == len(aside):
            return []
        filling = [] if begun is None else [self._filling(begun)]
        last = self._series[SECOND.name].last_begin()
        begins = [bar[0] for bar in (*aside, *filling)]
        if not all(map(lt, begins if last is None else [last, *begins], begins[last is None :])):
            # The second that is being filled stays apart where it can: were a part of it put into
            # the bars, the next part would be out of order as well, and so on for ever.
            self.settle_over()
            aside = []
            last = self._series[SECOND.name].last_begin()
            if filling and last is not None and filling[0][0] <= last:
                self.settle()
                filling = []
        told: list[tuple[str, int, ExactBar | None]] = []
        unsaved, self.unsaved = self.unsaved, set()
        for name, begin in sorted(unsaved):
            bar = None if name.endswith("*") else self._series[name].get(begin)
            told.append((name, begin, None if bar is None else self.exact(bar)))
        told += ((SECOND.name, bar[0], bar) for bar in (*aside[self._noted :], *filling))
        self._noted, self._told = len(aside), True
        return told

    def _filling(self, begin: int) -> ExactBar:
        return begin, self._open, self._high, self._low, self._close, self._volume

    def extend(self, later: Candles) -> None:
        """Count all of another one in after what is here, and then note as it notes.

        Its seconds are changed by that, where anything was known of them before.
        """
        later.settle()
        self.settle()
        self.merge(later)
        self.unsaved = later.unsaved
        if self.unsaved is not None:
            numbers = later.series(SECOND.name).columns(0, 2**63 - 1)[0]
            self.unsaved.update((SECOND.name, number * SECOND.ms) for number in numbers)
        self.day = later.day


def _refolded(finer: Series, known: Bar | None, added: Bar, step: Step) -> Bar:
    """Return the bar of a coarser step in which a finer bar was added or changed just now."""
    begin = step.begin(added[0])
    if known is None or finer.complete_from <= begin:
        return fold(finer.between(begin, begin + step.ms) or [added], begin)
    # Some of what it was made of is no longer kept: its open and close stay as they were.
    whole: Sequence[int] = fold((known, added), begin)
    return begin, known[1], whole[2], whole[3], known[4], whole[5]
