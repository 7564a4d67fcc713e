"""What of the past is read: all of it at the start, and later what another process wrote.

Rules for this module: it asks a `HistoryStore` in a thread and puts what it says into the book;
what that means for keeping is the keeper's business. The thread is let go of every
`limits.HISTORY_LOAD_SLICE_SECONDS`, for what is to be written. Every method raises
`DatabaseUnavailableError` where something is wrong with the store.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from operator import itemgetter

import trio

from ticker import limits
from ticker.market.book import Book
from ticker.market.candles import STEPS, Candles
from ticker.market.packed_bars import PackedBarsError, unpack
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.history_reading import (
    JournalStates,
    Key,
    good_blocks,
    only_damaged,
    read_blocks,
    read_journal,
)
from ticker.storage.history_records import read_rows
from ticker.storage.history_store import DamagedRecordError, HistoryStore
from ticker.storage.threads import in_thread

__all__ = ["HistoryLoader"]

_NOTHING: JournalStates = JournalStates()


class HistoryLoader:
    """Reads the past of a market.

    Attributes:
        unread: the symbols of those that are still to be read, by their names in the store.
        number: of the journal's last row, as far as it was read.
        highest: of all numbers that were read, those of blocks too.
        due: the blocks that the journal is ahead of, by name.
        foreign: names in the store that the market does not have.
    """

    def __init__(
        self,
        book: Book,
        names: Sequence[str],
        store: HistoryStore,
        limiter: trio.CapacityLimiter,
        wall_ms: Callable[[], int],
        life: str = "",
    ) -> None:
        """Prepare.

        Args:
            book: whose past it is.
            names: of its symbols, as the store has them.
            store: where it is kept.
            limiter: of the one thread that asks the store.
            wall_ms: the wall clock, in milliseconds since the epoch.
            life: the name of this process's life; see `history_reading`.
        """
        self._book = book
        self._symbols = dict(zip(names, book.symbols, strict=True))
        self._store = store
        self._limiter = limiter
        self._wall_ms = wall_ms
        self._life = life
        self._filled = 0
        self.unread = dict(self._symbols)
        self.number = 0
        self.highest = 0
        self.due: dict[str, set[Key]] = {}
        self.foreign: Sequence[str] = ()

    # --- the start

    async def read(self, seconds: float = math.inf) -> None:
        """Read everything, each symbol into the book as it is read, before what came in since.

        Where something is damaged, all else is read before that is raised. What was read stays so:
        the next call reads the rest.
        """
        with trio.move_on_after(seconds):
            await self._read()
            return
        raise DatabaseUnavailableError("slow", "the past takes long to be read")

    async def _read(self) -> None:
        damage: list[DatabaseUnavailableError] = []
        states: dict[str, JournalStates] = {}
        try:
            rows = await in_thread(self._limiter, self._store.journal)
        except DatabaseUnavailableError as error:
            only_damaged(error, damage)
        else:
            numbers = read_journal(rows, states, self._store.place, damage)
            while (number := await self._slice(numbers)) is not None:
                self.number = self._filled = self.highest = number
        read: list[tuple[str, Candles, set[Key]]] = []
        steps = self._read_symbols(tuple(self.unread), states, read, damage)
        while await self._slice(steps) is not None:
            await self._adopt(read)
        try:
            known = await in_thread(self._limiter, self._store.symbols)
            self.foreign = tuple(name for name in known if name not in self._symbols)
        except DatabaseUnavailableError as error:
            only_damaged(error, damage)
        if damage:
            raise damage[0]

    async def _slice(self, steps: Iterator[int]) -> int | None:
        """Go on in the thread for a while; return the last step, None at the end."""
        return await in_thread(self._limiter, _some, steps)

    def _read_symbols(
        self,
        names: Sequence[str],
        states: dict[str, JournalStates],
        read: list[tuple[str, Candles, set[Key]]],
        damage: list[DatabaseUnavailableError],
    ) -> Iterator[int]:
        """Read symbols, in the thread; gives the place of each when it is read."""
        for place, name in enumerate(names):
            candles, numbers = read_blocks(self._store, name, damage)
            self.highest = max(self.highest, *numbers.values(), 0)
            found = states.pop(name, _NOTHING)
            found.put(candles, numbers, life=self._life)
            read.append((name, candles, found.due()))
            yield place

    async def _adopt(self, read: list[tuple[str, Candles, set[Key]]]) -> None:
        """Put what was read into the book."""
        while read:
            name, candles, due = read.pop(0)
            self._book.adopt(self.unread.pop(name), candles, self._wall_ms())
            self.due[name] = due
            await trio.lowlevel.checkpoint()

    async def read_prices(self) -> None:
        """Read the last price that is kept of each symbol, and nothing else.

        What is damaged is passed over.
        """
        found = await in_thread(self._limiter, self._newest_prices)
        self._book.kept_prices.update(found)

    def _newest_prices(self) -> dict[str, Decimal]:
        found: dict[str, Decimal] = {}
        damage: list[DatabaseUnavailableError] = []
        try:
            rows = sorted(self._store.journal(), key=itemgetter(0), reverse=True)
        except DatabaseUnavailableError as error:
            only_damaged(error, damage)
            rows = []
        for number, written in rows[: limits.HISTORY_NEWEST_ROWS]:
            with suppress(DamagedRecordError):
                for row in sorted(read_rows(number, written), key=lambda row: -row.begin):
                    if row.symbol in self._symbols:
                        found.setdefault(self._symbols[row.symbol], row.close)
        for name, symbol in self._symbols.items():
            if symbol not in found:
                newest = {each.step: each for each in good_blocks(self._store, name, damage)}
                candles = Candles()
                for step in newest.keys() & STEPS.keys():
                    block = newest[step]
                    with suppress(PackedBarsError):
                        unpack(candles, step, block.begin, block.bars, checked=block.checked)
                price = candles.last_price()
                if price is not None:
                    found[symbol] = price
        return found

    # --- what another process writes

    async def catch_up(self, until_ms: int) -> None:
        """Read once more what the feeder wrote, of the time before this process followed it."""
        states: dict[str, JournalStates] = {}
        rows = await in_thread(self._limiter, self._store.journal, self.number)
        numbers = read_journal(rows, states, self._store.place, [])
        while (number := await self._slice(numbers)) is not None:
            self.number = number
        for name, found in states.items():
            if name in self._symbols:
                found.put(self._book.candles(self._symbols[name]), {}, until_ms=until_ms)
                await trio.lowlevel.checkpoint()

    async def take_filled(self) -> None:
        """Read what the feeder had of an exchange's own bars, and wrote."""
        blocks = await in_thread(self._limiter, self._store.filled, self._filled)
        for block in blocks:
            if isinstance(block, DamagedRecordError):
                continue  # the feeder sees to it
            self._filled = max(self._filled, block.number)
            if block.symbol not in self._symbols:
                continue
            read = Candles()
            try:
                unpack(read, block.step, block.begin, block.bars, checked=block.checked)
            except PackedBarsError:
                continue
            step = STEPS[block.step.removesuffix("*")]
            bars = [read.exact(bar) for bar in read.series(block.step).all()]
            self._book.candles(self._symbols[block.symbol]).fill(step, bars)
            await trio.lowlevel.checkpoint()


def _some(steps: Iterator[int]) -> int | None:
    """Take steps for `limits.HISTORY_LOAD_SLICE_SECONDS`, at least one; None at the end."""
    last, until = None, time.monotonic() + limits.HISTORY_LOAD_SLICE_SECONDS
    while (step := next(steps, None)) is not None:
        last = step
        if time.monotonic() >= until:
            break
    return last
