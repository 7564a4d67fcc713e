"""What of the past is read: all of it at the start, and later what another process wrote.

Rules for this module: it asks a `HistoryStore` in a thread and puts what it says into the book;
what that means for keeping is the keeper's business. Every method raises
`DatabaseUnavailableError` where something is wrong with the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from ticker import limits
from ticker.market.book import Book
from ticker.market.candles import STEPS, Candles
from ticker.market.packed_bars import PackedBarsError, unpack
from ticker.storage.history_reading import Read, read_everything, read_rows_after
from ticker.storage.history_store import HistoryStore
from ticker.storage.threads import in_thread

__all__ = ["HistoryLoader"]


class HistoryLoader:
    """Reads the past of a market."""

    def __init__(
        self,
        book: Book,
        names: Sequence[str],
        store: HistoryStore,
        limiter: trio.CapacityLimiter,
        wall_ms: Callable[[], int],
    ) -> None:
        """Prepare.

        Args:
            book: whose past it is.
            names: of its symbols, as the store has them.
            store: where it is kept.
            limiter: of the one thread that asks the store.
            wall_ms: the wall clock, in milliseconds since the epoch.
        """
        self._book = book
        self._names = names
        self._symbols = dict(zip(names, book.symbols, strict=True))
        self._store = store
        self._limiter = limiter
        self._wall_ms = wall_ms
        self._number = 0
        self._filled = 0

    async def read(self, read: Read) -> None:
        """Read everything; what was read is there also where it ends with an error."""
        seconds = limits.HISTORY_LOAD_SECONDS
        await in_thread(
            self._limiter, read_everything, self._store, self._names, read, seconds=seconds
        )

    async def adopt(self, read: Read) -> None:
        """Put what was read into the book, before what came in since."""
        now_ms = self._wall_ms()
        for name, candles in read.candles.items():
            self._book.adopt(self._symbols[name], candles, now_ms)
            await trio.lowlevel.checkpoint()
        self._number = self._filled = read.number

    async def catch_up(self, until_ms: int) -> None:
        """Read once more what the feeder wrote, of the time before this process followed it."""
        number, rows = await in_thread(
            self._limiter, read_rows_after, self._store, self._number, {}, []
        )
        self._number = number
        for name, bars in rows.items():
            if name in self._symbols:
                missed = [(step, bar) for step, bar in bars if bar[0] <= until_ms]
                self._book.candles(self._symbols[name]).put(missed)
                await trio.lowlevel.checkpoint()

    async def take_filled(self) -> None:
        """Read what the feeder had of an exchange's own bars, and wrote."""
        blocks = await in_thread(self._limiter, self._store.filled, self._filled)
        for block in blocks:
            self._filled = max(self._filled, block.number)
            if block.symbol not in self._symbols:
                continue
            read = Candles()
            try:
                unpack(read, block.step, block.bars)
            except (PackedBarsError, KeyError):
                continue  # the feeder sees to it
            step = STEPS[block.step.removesuffix("*")]
            bars = [read.exact(bar) for bar in read.series(block.step).between(0, 2**63)]
            self._book.candles(self._symbols[block.symbol]).fill(step, bars)
            await trio.lowlevel.checkpoint()
