"""The book: the newest quote of every symbol.

Rules for this module: values only, no clock and no I/O. Symbols are known from the start
and keep their place, so that an encoder can hold positions instead of names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ticker.market.candles import Candles
from ticker.market.quote import Quote


class Book:
    """The newest quote per symbol.

    Attributes:
        symbols: every symbol of the market, in the order to show them.
        quotes: the newest quote of each, at the same place; None until there is one.
        changes: grows with every quote taken in, so that what is derived can tell when it is old.
        keeps_passed: whether `take` also gives the quotes that were newest only between two of
            its calls, for a copy of this book that is to have the same past.
    """

    __slots__ = (
        "_candles",
        "_passed",
        "_place",
        "_touched",
        "changes",
        "keeps_passed",
        "quotes",
        "symbols",
    )

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = tuple(symbols)
        self.quotes: list[Quote | None] = [None] * len(self.symbols)
        self.changes = 0
        self.keeps_passed = False
        self._passed: list[Quote] = []
        self._place = {symbol: place for place, symbol in enumerate(self.symbols)}
        self._touched: dict[int, None] = {}
        self._candles: list[Candles | None] = [None] * len(self.symbols)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._place

    def place(self, symbol: str) -> int:
        """Return the place of a symbol in `symbols` and `quotes`; KeyError if there is none."""
        return self._place[symbol]

    def get(self, symbol: str) -> Quote | None:
        """Return the newest quote of a symbol, None before its first; KeyError if unknown."""
        return self.quotes[self._place[symbol]]

    def candles(self, symbol: str) -> Candles | None:
        """Return the past of a symbol, None before its first quote; KeyError if unknown."""
        return self._candles[self._place[symbol]]

    def apply(self, batch: Iterable[Quote]) -> int:
        """Take quotes in, the later in a batch the newer.

        Returns:
            How many were left out because the market has no such symbol.
        """
        unknown = 0
        for quote in batch:
            place = self._place.get(quote.symbol)
            if place is None:
                unknown += 1
                continue
            before = self.quotes[place]
            self.quotes[place] = quote
            if self.keeps_passed and before is not None and place in self._touched:
                self._passed.append(before)
            self._touched[place] = None
            self.changes += 1
            if before is None or (before.time_ms, before.price) != (quote.time_ms, quote.price):
                self._count(place, quote)  # not a price that was only affirmed
        return unknown

    def _count(self, place: int, quote: Quote) -> None:
        candles = self._candles[place]
        if candles is None:
            candles = self._candles[place] = Candles()
        candles.add(quote.time_ms, quote.price)

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

    def touch(self, published: Sequence[Quote | None]) -> None:
        """Count as taken in what differs from the quotes that were published, by place."""
        for place, quote in enumerate(self.quotes):
            if quote is not None and quote is not published[place]:
                self._touched[place] = None
