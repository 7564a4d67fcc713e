"""The bars of one symbol that are made: of every step, in units, and those of an exchange beside.

Rules for this module: values only. A price is kept as a whole number of the smallest unit that the
symbol was ever priced in, so that no digit is lost. The bar of a coarser step is the fold of the
finer bars in it; where some of those are no longer kept, it is widened.

Bars of an exchange's own (`fill`) are kept beside ours and never mixed with them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Final, TypeAlias

from ticker.market.bars import UNKNOWN, Bar, Series, fold
from ticker.market.steps import HOUR, MINUTE, SECOND, STEPS, Step

__all__ = ["ExactBar", "KeptBars"]

#: A bar with its prices as they came: begin in milliseconds, open, high, low, close, and volume.
ExactBar: TypeAlias = tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal | None]

#: Prices have 28 digits at most, the mean of two has 29: no digit is lost.
_EXACT: Final = Context(prec=80)


class KeptBars:
    """The bars of one symbol.

    Attributes:
        unsaved: the bars that have changed since they were last taken for keeping, by the name of
            their step and their begin; None while nothing keeps them.
    """

    __slots__ = ("_places", "_series", "_theirs", "_volume_places", "unsaved")

    def __init__(self) -> None:
        self._series = {name: Series(step) for name, step in STEPS.items()}
        self._theirs: dict[str, Series] = {}
        self._places = 0
        self._volume_places = 0
        self.unsaved: set[tuple[str, int]] | None = None

    def series(self, name: str) -> Series:
        """Return the bars of a step by its name, with `*` for those of an exchange."""
        if not name.endswith("*"):
            return self._series[name]
        step = STEPS[name.removesuffix("*")]
        return self._theirs.setdefault(step.name, Series(step))

    def names(self) -> tuple[str, ...]:
        """Return the names that `series` has bars of."""
        return *self._series, *(f"{name}*" for name in self._theirs)

    def first_begin(self, step: Step) -> int | None:
        """Return when the oldest bar of a step begins, our own or the exchange's."""
        kept = (self._series[step.name], self._theirs.get(step.name))
        begins = [series.first_begin() for series in kept if series is not None]
        return min((begin for begin in begins if begin is not None), default=None)

    def last_price(self) -> Decimal | None:
        """Return the close of the newest bar of our own; None where there is none."""
        newest: Bar | None = None
        for series in self._series.values():  # the finest first
            begin = series.last_begin()
            if begin is not None and (newest is None or begin > newest[0]):
                newest = series.get(begin)
        return None if newest is None else self.price(newest[4])

    def price(self, units: int) -> Decimal:
        """Return a price that bars have in units."""
        return _EXACT.scaleb(Decimal(units), -self._places)

    def volume(self, units: int) -> Decimal | None:
        """Return a volume that bars have in units; None where it is not known."""
        return None if units == UNKNOWN else _EXACT.scaleb(Decimal(units), -self._volume_places)

    def exact(self, bar: Bar) -> ExactBar:
        """Return a bar with its prices as decimals."""
        begin, *prices, volume = bar
        opening, high, low, close = map(self.price, prices)
        return begin, opening, high, low, close, self.volume(volume)

    # --- numbers in units

    def _in_units(self, bar: ExactBar) -> Bar:
        """Return a bar, which `_measure` has seen, in units."""
        begin, opening, high, low, close, volume = bar
        return (
            begin,
            self._units(opening),
            self._units(high),
            self._units(low),
            self._units(close),
            UNKNOWN if volume is None else int(_EXACT.scaleb(volume, self._volume_places)),
        )

    def _measure(self, bars: Iterable[ExactBar]) -> None:
        """Count in smaller units where a number has more decimals than any before."""
        places, volume_places = self._places, self._volume_places
        unit = Decimal(1).scaleb(-places)
        for bar in bars:
            for price in bar[1:5]:
                if not price.same_quantum(unit):  # which is cheaper to ask than how many it has
                    places = max(places, -int(price.as_tuple().exponent))
            if bar[5] is not None:
                volume_places = max(volume_places, -int(bar[5].as_tuple().exponent))
        self.measure(places, volume_places)

    def measure(self, places: int, volume_places: int) -> tuple[int, int]:
        """Count prices and volumes with at least so many decimals; return with how many."""
        kept = (*self._series.values(), *self._theirs.values())
        if places > self._places:
            for series in kept:
                series.scale(10 ** (places - self._places))
            self._places = places
        if volume_places > self._volume_places:
            for series in kept:
                series.scale_volumes(10 ** (volume_places - self._volume_places))
            self._volume_places = volume_places
        return self._places, self._volume_places

    def _units(self, price: Decimal) -> int:
        return int(_EXACT.scaleb(price, self._places))

    # --- bars that were made elsewhere

    def fill(self, step: Step, bars: Iterable[ExactBar]) -> None:
        """Take in bars of an exchange's own."""
        series = self._theirs.setdefault(step.name, Series(step))
        for bar in bars:
            self._measure([bar])
            if series.put(self._in_units(bar)):
                self._note_theirs(step, bar[0])

    def _note_theirs(self, step: Step, begin: int) -> None:
        if self.unsaved is not None:
            self.unsaved.add((f"{step.name}*", begin))

    def merge(self, later: KeptBars) -> None:
        """Count the bars of another one in after what is here.

        What it has of an exchange is taken as well.
        """
        self.measure(*later.measure(*self.measure(0, 0)))
        finer: Series | None = None
        for name, added in later._series.items():
            mine = self._series[name]
            for bar in added.all():
                known = mine.get(bar[0])
                if finer is not None and finer.complete_from <= bar[0]:
                    whole = fold(finer.between(bar[0], bar[0] + mine.step.ms), bar[0])
                else:
                    whole = bar if known is None else fold((known, bar), bar[0])
                mine.put(whole)
            mine.complete_from = max(mine.complete_from, added.complete_from)
            finer = mine
        for name, theirs in later._theirs.items():
            filled = self.series(f"{name}*")
            for bar in theirs.all():
                filled.put(bar)

    def put(self, kept: Iterable[tuple[str, ExactBar]]) -> None:
        """Put bars as they once were in the place of those that are there; fold the coarser anew.

        Args:
            kept: bars with the name of their step, the newest state of each last.
        """
        states: dict[str, dict[int, ExactBar]] = {}
        for name, bar in kept:
            states.setdefault(name, {})[bar[0]] = bar
        touched: dict[Step, set[int]] = {MINUTE: set(), HOUR: set()}
        for name, bars in states.items():
            self._measure(bars.values())
            series = self.series(name)
            last = series.last_begin()
            begins = sorted(bars)
            newer = bisect_right(begins, -1 if last is None else last)
            for begin in begins[:newer]:
                series.put(self._in_units(bars[begin]))
            if newer < len(begins):  # as most are, and many at once cost little more than one
                series.append_bars([self._in_units(bars[begin]) for begin in begins[newer:]])
            if name == SECOND.name:
                touched[MINUTE].update(map(MINUTE.begin, begins))
            if name in {SECOND.name, MINUTE.name}:
                touched[HOUR].update(map(HOUR.begin, begins))
        for finer, coarser in ((SECOND, MINUTE), (MINUTE, HOUR)):
            for begin in sorted(touched[coarser]):
                self._fold_anew(self._series[finer.name], self._series[coarser.name], begin)

    def _fold_anew(self, finer: Series, coarser: Series, begin: int) -> None:
        bars = finer.between(begin, begin + coarser.step.ms)
        if not bars:
            return
        known = coarser.get(begin)
        if known is None or finer.complete_from <= begin:
            coarser.put(fold(bars, begin))
        else:
            whole = fold((known, *bars), begin)
            coarser.put((begin, known[1], *whole[2:5], known[5]))

    def _note(self, step: Step, begin: int) -> None:
        if self.unsaved is not None:
            self.unsaved.add((step.name, begin))
