"""A market's book and what keeps its past, for tests that damage, restart and fill it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from ticker.market.book import Book
from ticker.market.candles import STEPS, ShownBar, Step
from ticker.market.quote import Quote
from ticker.storage.history_keeper import HistoryKeeper
from ticker.storage.history_sqlite import HISTORY_FILE, SqliteHistory
from ticker.storage.history_store import HistoryStore

SECOND, MINUTE, HOUR = STEPS.values()
NOW = 1_790_000_000_000 - 1_790_000_000_000 % HOUR.ms
SYMBOLS = ("BTC-USD", "ETH-USD")


OPENED: list[HistoryStore] = []


class Kept:
    """A market's book and what keeps its past, with a wall clock that a test turns."""

    def __init__(
        self,
        path: Path,
        symbols: tuple[str, ...] = SYMBOLS,
        *,
        now: int = NOW,
        store: HistoryStore | None = None,
    ) -> None:
        self.now = now
        self.feeds = True
        self.book = Book(symbols)
        self.store = store or SqliteHistory(path / HISTORY_FILE)
        OPENED.append(self.store)
        self.keeper = HistoryKeeper(
            self.book, self.store, wall_ms=lambda: self.now, feeds=lambda: self.feeds
        )

    def price(
        self,
        price: str,
        symbol: str = "BTC-USD",
        at: int | None = None,
        traded: Decimal | None = None,
    ) -> None:
        time_ms = self.now if at is None else at
        self.book.apply([Quote(symbol, Decimal(price), time_ms, time_ms, "x", traded=traded)])

    def bars(self, step: Step = SECOND, symbol: str = "BTC-USD") -> list[ShownBar]:
        candles = self.book.candles(symbol)
        return list(candles.bars(step, now_ms=self.now, begin=None, end=None, limit=None))

    def everything(self) -> list[list[ShownBar]]:
        return [self.bars(step, each) for step in STEPS.values() for each in self.book.symbols]


async def again(kept: Kept, path: Path) -> Kept:
    """Start anew from what was kept, without having ended in an orderly way."""
    kept.store.close()
    other = Kept(path, kept.book.symbols, now=kept.now)
    await other.keeper.load()
    return other


def damaged(path: Path) -> list[Path]:
    """Return the files that were put aside."""
    return list(path.glob(f"{HISTORY_FILE}.damaged-*[0-9]"))


def part_of(bars: list[ShownBar], known: set[ShownBar]) -> bool:
    """Tell whether bars are those that there were, or of some of the prices in those."""
    by_begin = {bar.begin: [Decimal(price) for price in bar.prices] for bar in known}
    return all(
        by_begin[bar.begin][2] <= Decimal(price) <= by_begin[bar.begin][1]
        for bar in bars
        for price in bar.prices
    ) and (not bars or bars[0].begin % MINUTE.ms == 0 or set(bars) <= known)
