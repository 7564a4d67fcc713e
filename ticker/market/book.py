"""The book: the newest quote of every symbol, and its past in bars.

Rules for this module: values only, no clock and no I/O. Symbols are known from the start
and keep their place, so that an encoder can hold positions instead of names.

**Another process with the same bars.** Bars are a function of the quotes that `apply` was given,
in the order of each symbol, and of nothing else. A copy that is given the quotes of `take`, those
that had passed before the newest ones, has the same bars. One that comes late takes what was kept
so far (`Candles.put` and `packed_bars.unpack`: what is given twice as bars does no harm).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from ticker.market.candles import Candles
from ticker.market.day import day_of, widened
from ticker.market.quote import Details, Quote
from ticker.market.unread import Unread


class Book:
    """The newest quote per symbol.

    Attributes:
        symbols: every symbol of the market, in the order to show them.
        quotes: the newest quote of each, at the same place; None until there is one.
        days: the figures of its last 24 hours from our own bars, likewise.
        changes: grows with every quote taken in, so that what is derived can tell when it is old.
        place: gives the place of a symbol in `symbols` and `quotes`; KeyError if there is none.
        keeps_passed: whether `take` also gives the quotes that were newest only between two of
            its calls, for a copy of this book that is to have the same past.
        unread: the symbols whose past before this process is not in their bars yet.
        kept_prices: the last price that is kept of some of them, by symbol.
    """

    __slots__ = (
        "_candles",
        "_moved_days",
        "_passed",
        "_place",
        "_touched",
        "changes",
        "days",
        "keeps_passed",
        "kept_prices",
        "place",
        "quotes",
        "symbols",
        "unread",
    )

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = tuple(symbols)
        self.quotes: list[Quote | None] = [None] * len(self.symbols)
        self.days: list[Details | None] = [None] * len(self.symbols)
        self.changes = 0
        self.keeps_passed = False
        self.unread = Unread()
        self.kept_prices: dict[str, Decimal] = {}
        self._passed: list[Quote] = []
        self._place = {symbol: place for place, symbol in enumerate(self.symbols)}
        self.place: Callable[[str], int] = self._place.__getitem__
        self._touched: dict[int, None] = {}
        self._moved_days: set[int] = set()
        self._candles = [Candles() for _ in self.symbols]

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._place

    def get(self, symbol: str) -> Quote | None:
        """Return the newest quote of a symbol, None before its first; KeyError if unknown."""
        return self.quotes[self._place[symbol]]

    def candles(self, symbol: str) -> Candles:
        """Return the past of a symbol; KeyError if unknown."""
        return self._candles[self._place[symbol]]

    def apply(self, batch: Iterable[Quote]) -> int:
        """Take quotes in, the later in a batch the newer.

        Returns:
            How many were left out because the market has no such symbol.
        """
        unknown = taken = 0
        quotes, places, touched = self.quotes, self._place, self._touched
        for quote in batch:
            place = places.get(quote.symbol)
            if place is None:
                unknown += 1
                continue
            before = quotes[place]
            quotes[place] = quote
            if self.keeps_passed and before is not None and place in touched:
                self._passed.append(before)
            touched[place] = None
            taken += 1
            if (
                before is None
                or before.time_ms != quote.time_ms
                or before.price != quote.price
                or quote.traded is not None
            ):
                self._count(place, quote)  # not a price that was only affirmed
        self.changes += taken
        return unknown

    def _count(self, place: int, quote: Quote) -> None:
        candles = self._candles[place]
        if candles.add(quote.time_ms, quote.price, quote.traded):
            candles.day = widened(candles.day, quote.time_ms, quote.price)
            self._set_day(place, candles.day)

    def adopt(self, symbol: str, candles: Candles, now_ms: int) -> None:
        """Take what was kept of a symbol's past for its own, and what came in since after it."""
        place = self._place[symbol]
        candles.extend(self._candles[place])
        self._candles[place] = candles
        self.refresh_day(place, now_ms)
        self.kept_prices.pop(symbol, None)
        self.unread.end(symbol)

    def last_price(self, symbol: str) -> Decimal | None:
        """Return the close of a symbol's newest bar, or the last that is kept of it.

        None where there is none; KeyError if the symbol is unknown.
        """
        price = self.candles(symbol).last_price()
        return self.kept_prices.get(symbol) if price is None else price

    def refresh_day(self, place: int, now_ms: int) -> None:
        """Make the figures of a symbol's last 24 hours anew, without what has grown older."""
        candles = self._candles[place]
        candles.day = day_of(candles, now_ms)
        if candles.day != self.days[place]:
            self._set_day(place, candles.day)

    def _set_day(self, place: int, day: Details | None) -> None:
        self.days[place] = day
        self._moved_days.add(place)

    def take_moved_days(self) -> set[int]:
        """Return the places whose figures of 24 hours moved since this was asked last."""
        moved = self._moved_days
        if moved:
            self._moved_days = set()
        return moved

    def take(self) -> tuple[Sequence[Quote], Sequence[Quote]]:
        """Return what was taken in since this was asked last.

        Returns:
            The newest quote of each symbol that has another one since; and those that had been
            newest meanwhile, in the order they came, where this book keeps them.
        """
        touched, self._touched = self._touched, {}
        passed, self._passed = self._passed, []
        quotes = self.quotes
        return [quote for place in touched if (quote := quotes[place]) is not None], passed

    def touch(self, published: Sequence[Quote | None], days: Sequence[Details | None]) -> None:
        """Count as taken in what differs from what was published: quotes and days, by place."""
        self._moved_days.update(place for place, day in enumerate(self.days) if day != days[place])
        for place, quote in enumerate(self.quotes):
            if quote is not None and quote is not published[place]:
                self._touched[place] = None
