"""What loads the past at start, and writes it each second while this process feeds the market.

Theory of operation. Each second, the bars that have changed since the last one go into the journal,
all of them in one row; those of a kill's last second are lost. In the same transaction the blocks
of some symbols are written anew, so that each symbol has its turn in `limits.HISTORY_TURNS`
seconds; after a whole round of turns, the journal from before it is not needed any more.

A store that cannot be written stops the keeping and nothing else: what changes meanwhile is
remembered as blocks that are due, and written once the store can be used again. A damaged one is
put aside, and written anew from memory.

Rules for this module: how bars become bytes is the business of `market.packed_bars`, where these go
that of a `HistoryStore`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

import attrs
import structlog
import trio

from ticker import limits
from ticker.market.book import Book
from ticker.market.candles import HOUR, SECOND, STEPS, Candles
from ticker.market.packed_bars import SPANS, PackedBarsError, block_begin, pack, unpack
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.history_reading import Key, Read, blocks_of, read_everything, read_rows_after
from ticker.storage.history_store import (
    Block,
    Changes,
    HistoryStore,
    JournalRow,
    write_rows,
)
from ticker.storage.threads import in_thread

__all__ = ["NOTHING_KEPT", "HistoryKeeper", "HistoryStatistics"]

log = structlog.get_logger()

_EVERY: Final = (*STEPS, *(f"{name}*" for name in STEPS))


@attrs.frozen
class HistoryStatistics:
    """What was kept.

    Attributes:
        kept: whether the last attempt to read or write succeeded, or there was none.
        written: how many transactions.
        failed: how many attempts failed, by reason.
    """

    kept: bool
    written: int
    failed: Mapping[str, int]


#: What there is to say where nothing is kept.
NOTHING_KEPT: Final = HistoryStatistics(kept=True, written=0, failed={})


class HistoryKeeper:
    """Keeps the past of a market."""

    def __init__(
        self,
        book: Book,
        store: HistoryStore,
        *,
        wall_ms: Callable[[], int],
        feeds: Callable[[], bool],
        invented: str = "",
    ) -> None:
        """Prepare.

        Args:
            book: whose past it is.
            store: where it is kept.
            wall_ms: the wall clock, in milliseconds since the epoch.
            feeds: whether this process is the one that writes.
            invented: the name of the source where prices are made up or replayed: their past is
                kept apart, and never shown as that of a real market in the same place.
        """
        self._book = book
        self._store = store
        self._wall_ms = wall_ms
        self._feeds = feeds
        prefix = f"{invented}/" if invented else ""
        self._names = tuple(f"{prefix}{symbol}" for symbol in book.symbols)
        self._places = {name: place for place, name in enumerate(self._names)}
        self._limiter = trio.CapacityLimiter(1)
        self._loaded = False
        self._keeping = False
        self._number = 0
        self._turn = 0
        self._mark = 0
        self._filled = 0
        self._clean = False
        self._due: list[set[Key]] = [set() for _ in book.symbols]
        self._behind: dict[int, None] = {}
        self._foreign: tuple[str, ...] = ()
        self._kept = True
        self._written = 0
        self._failed: Counter[str] = Counter()

    def statistics(self) -> HistoryStatistics:
        """Return what was done so far."""
        return HistoryStatistics(self._kept, self._written, dict(self._failed))

    async def run(self) -> NoReturn:
        """Write each second while this process feeds, until cancelled."""
        began_ms, began_at = self._wall_ms(), trio.current_time()
        caught_up, look_at = False, began_at + limits.HISTORY_FILLED_SECONDS
        try:
            while True:
                await trio.sleep(limits.HISTORY_WRITE_SECONDS)
                if not self._loaded:
                    await self.load()
                elif self._feeds():
                    caught_up = True
                    await self._keep()
                else:
                    self._rest()
                    if not caught_up and (
                        trio.current_time() - began_at >= limits.HISTORY_CATCH_UP_SECONDS
                    ):
                        caught_up = True
                        await self._catch_up(SECOND.begin(began_ms))
                    if trio.current_time() >= look_at:
                        look_at = trio.current_time() + limits.HISTORY_FILLED_SECONDS
                        await self._take_filled()
        finally:
            with trio.move_on_after(limits.HISTORY_LAST_SECONDS) as scope:
                scope.shield = True
                if self._keeping:
                    await self._keep()
                await in_thread(self._limiter, self._store.close)

    # --- reading

    async def load(self) -> None:
        """Read what is kept; without it, the market goes on and this is tried again."""
        read = Read()
        try:
            await in_thread(
                self._limiter,
                read_everything,
                self._store,
                self._names,
                read,
                seconds=limits.HISTORY_LOAD_SECONDS,
            )
        except DatabaseUnavailableError as error:
            if not await self._fail(error):
                return
            self._adopt(read)
            self._all_due()
        else:
            self._adopt(read)
            self._succeed()
        self._loaded = True

    def _adopt(self, read: Read) -> None:
        now_ms = self._wall_ms()
        for name, candles in read.candles.items():
            self._book.adopt(self._book.symbols[self._places[name]], candles, now_ms)
        for name, due in read.due.items():
            self._due[self._places[name]] |= due
        self._number = self._mark = self._filled = read.number
        self._foreign = read.foreign

    async def _catch_up(self, until_ms: int) -> None:
        """Read once more what the feeder wrote, of the time before this process followed it."""
        try:
            number, rows = await in_thread(
                self._limiter, read_rows_after, self._store, self._number, {}
            )
        except DatabaseUnavailableError as error:
            await self._fail(error)
            return
        self._number = number
        for name, bars in rows.items():
            if name in self._places:
                symbol = self._book.symbols[self._places[name]]
                missed = [(step, bar) for step, bar in bars if bar[0] <= until_ms]
                self._book.candles(symbol).put(missed)

    async def _take_filled(self) -> None:
        """Read what the feeder had of an exchange's own bars, and wrote."""
        try:
            blocks = await in_thread(self._limiter, self._store.filled, self._filled)
        except DatabaseUnavailableError as error:
            await self._fail(error)
            return
        self._succeed()
        for block in blocks:
            self._filled = max(self._filled, block.number)
            if block.symbol not in self._places:
                continue
            read = Candles()
            try:
                unpack(read, block.step, block.bars)
            except (PackedBarsError, KeyError):
                continue  # the feeder sees to it
            step = STEPS[block.step.removesuffix("*")]
            bars = [read.exact(bar) for bar in read.series(block.step).between(0, 2**63)]
            symbol = self._book.symbols[self._places[block.symbol]]
            self._book.candles(symbol).fill(step, bars)
            await trio.lowlevel.checkpoint()

    # --- writing

    async def _begin(self) -> None:
        """Begin to keep: what a feeder before may have missed is written too.

        The last minutes are in the first row of the journal, all seconds in blocks soon.
        """
        self._keeping = True
        self._clean = False
        since = self._wall_ms() - limits.HISTORY_OVERLAP_SECONDS * 1000
        for place, symbol in enumerate(self._book.symbols):
            candles = self._book.candles(symbol)
            candles.settle()
            recent = candles.series(SECOND.name).columns(since, self._wall_ms() + HOUR.ms)[0]
            candles.unsaved = {(SECOND.name, number * SECOND.ms) for number in recent}
            for begin in candles.series(SECOND.name).spans(SPANS[SECOND.name]):
                self._due[place].update(blocks_of(SECOND.name, begin))
                self._behind[place] = None
            if place % limits.PAST_SLICE == limits.PAST_SLICE - 1:
                await trio.lowlevel.checkpoint()

    def _rest(self) -> None:
        if self._keeping:
            self._keeping = False
            for symbol in self._book.symbols:
                self._book.candles(symbol).unsaved = None

    async def _keep(self) -> None:
        if not self._keeping:
            await self._begin()
        rows, places = await self._changed()
        blocks, taken = self._blocks()
        self._turn = (self._turn + 1) % limits.HISTORY_TURNS
        forget = 0
        if self._turn == 0:
            # All that was written before the last round began is in blocks by now.
            forget = self._mark + 1 if self._clean and not self._behind else 0
            self._mark, self._clean = self._number, True
        try:
            number = await in_thread(
                self._limiter, self._write, rows, blocks, self._expired(), forget
            )
        except DatabaseUnavailableError as error:
            self._clean = False
            for place, keys in taken.items():
                self._due[place] |= keys
            self._behind.update(dict.fromkeys([*taken, *places]))
            if await self._fail(error):
                self._all_due()
            return
        if number < self._number:
            self._all_due()  # it is another file than before
        self._number = number
        self._written += 1
        self._foreign = ()
        self._succeed()

    def _write(
        self,
        rows: Sequence[JournalRow],
        blocks: Sequence[Block],
        expired: Sequence[tuple[str, str, int]],
        forget: int,
    ) -> int:
        journal = write_rows(rows) if rows else b""
        return self._store.write(Changes(journal, blocks, expired, forget))

    async def _changed(self) -> tuple[list[JournalRow], list[int]]:
        """Return the bars that have changed since the last time, and the places of their symbols.

        With turns for others in between.
        """
        rows: list[JournalRow] = []
        places: list[int] = []
        for place, symbol in enumerate(self._book.symbols):
            candles = self._book.candles(symbol)
            changed = candles.take_unsaved()
            if changed:
                places.append(place)
                due = self._due[place]
                for step, begin, bar in changed:
                    due.update(blocks_of(step, begin))
                    if bar is None:
                        self._behind[place] = None  # others only have it from there
                    else:
                        rows.append(JournalRow(self._names[place], step, *bar))
            if place % limits.PAST_SLICE == limits.PAST_SLICE - 1:
                await trio.lowlevel.checkpoint()
        return rows, places

    def _blocks(self) -> tuple[list[Block], dict[int, set[Key]]]:
        """Return the blocks of the symbols whose turn it is, and of some that are behind."""
        turn = range(self._turn, len(self._due), limits.HISTORY_TURNS)
        behind = [place for place in self._behind if self._due[place]]
        self._behind = dict.fromkeys(behind[limits.HISTORY_BLOCKS_AT_ONCE :])
        blocks: list[Block] = []
        taken: dict[int, set[Key]] = {}
        for place in dict.fromkeys([*turn, *behind[: limits.HISTORY_BLOCKS_AT_ONCE]]):
            name, candles = self._names[place], self._book.candles(self._book.symbols[place])
            keys, self._due[place] = self._due[place], set()
            taken[place] = keys
            blocks += (Block(name, step, begin, pack(candles, step, begin)) for step, begin in keys)
        return blocks, taken

    def _expired(self) -> list[tuple[str, str, int]]:
        """Return what has grown too old of the symbols whose turn it is, and of foreign ones."""
        now_ms = self._wall_ms()
        turn = self._names[self._turn :: limits.HISTORY_TURNS]
        return [
            (name, step, block_begin(step, STEPS[step.removesuffix("*")].oldest(now_ms)))
            for name in (*turn, *self._foreign)
            for step in _EVERY
        ]

    def _all_due(self) -> None:
        """Have everything written, since nothing that is here may be kept."""
        for place, symbol in enumerate(self._book.symbols):
            candles = self._book.candles(symbol)
            for step in candles.names():
                spans = candles.series(step).spans(SPANS[step.removesuffix("*")])
                self._due[place] |= {(step, begin) for begin in spans}
            if self._due[place]:
                self._behind[place] = None
        self._number = 0

    # --- how it went

    async def _fail(self, error: DatabaseUnavailableError) -> bool:
        """Note that the store cannot be used; return whether it was put aside and begins anew."""
        self._failed[error.reason] += 1
        if self._kept:
            log.warning("history_not_kept", reason=error.reason, detail=str(error))
        self._kept = False
        if error.reason != "corrupted" or not self._feeds():
            return False
        try:
            aside = await in_thread(self._limiter, self._store.set_aside)
        except DatabaseUnavailableError:
            return False
        if aside is not None:
            log.warning("history_set_aside", path=aside)
        return aside is not None

    def _succeed(self) -> None:
        if not self._kept:
            log.info("history_kept_again")
        self._kept = True
