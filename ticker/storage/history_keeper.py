"""What loads the past at start, and writes it each second while this process feeds the market.

Theory of operation. A writing begins each second, however long the one before took: the bars that
have changed since go into the journal, all of them in one row, and some blocks are written anew in
the same transaction (`history_pending` says which). So a kill loses the second before the writing
that it falls into and the time that one has taken; what makes that long is kept out of it: the log
is moved into the file beside it (`tidy`), and blocks wait while writing is slow.

What is kept is read beside all that, a part of it at a time, and symbol by symbol taken into the
book; what comes in meanwhile is written as parts (`history_reading`). One of several processes
reads before it follows: what it hears comes after what is kept, and nothing is counted twice.

A store that cannot be written stops the keeping and nothing else: what changes meanwhile is
remembered, and written once the store can be used again. A damaged one is put aside, and written
anew from memory; so is one that lacks what was written to it.

Rules for this module: how bars become bytes is the business of `market.packed_bars`, where these go
that of a `HistoryStore`.
"""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, NoReturn

import attrs
import structlog
import trio

from ticker import limits
from ticker.market.book import Book
from ticker.market.candles import SECOND
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.history_loader import HistoryLoader
from ticker.storage.history_pending import PendingChanges, Taken
from ticker.storage.history_records import write_rows
from ticker.storage.history_store import Changes, HistoryStore
from ticker.storage.threads import in_thread

__all__ = ["NOTHING_KEPT", "HistoryKeeper", "HistoryStatistics"]

log = structlog.get_logger()


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
        alone: bool = True,
    ) -> None:
        """Prepare.

        Args:
            book: whose past it is.
            store: where it is kept.
            wall_ms: the wall clock, in milliseconds since the epoch.
            feeds: whether this process is the one that writes.
            invented: the name of the source where prices are made up or replayed: their past is
                kept apart, and never shown as that of a real market in the same place.
            alone: whether no other process tells this one of prices.
        """
        prefix = f"{invented}/" if invented else ""
        names = tuple(f"{prefix}{symbol}" for symbol in book.symbols)
        self._places = {name: place for place, name in enumerate(names)}
        self._store = store
        self._wall_ms = wall_ms
        self._feeds = feeds
        self._limiter = trio.CapacityLimiter(1)
        self._book = book
        self._invented = bool(invented)
        self._alone = alone
        life = secrets.token_hex(4)
        self._loader = HistoryLoader(book, names, store, self._limiter, wall_ms, life)
        self._pending = PendingChanges(book, names, wall_ms, self._loader.unread, life)
        self._loaded = False
        self._reading = False
        self._keeping = False
        self._kept = True
        self._written = 0
        self._failed: Counter[str] = Counter()

    def statistics(self) -> HistoryStatistics:
        """Return what was done so far."""
        return HistoryStatistics(self._kept, self._written, dict(self._failed))

    async def run(self) -> NoReturn:
        """Write each second while this process feeds, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tidy)
            nursery.start_soon(self._load)
            await self._run()
        raise AssertionError("it runs until it is cancelled")

    async def _run(self) -> NoReturn:
        began_ms, began_at = self._wall_ms(), trio.current_time()
        caught_up, look_at = False, began_at + limits.HISTORY_FILLED_SECONDS
        due = began_at
        try:
            while True:
                # Second by second; one that took longer is followed by the next at once.
                due = max(due + limits.HISTORY_WRITE_SECONDS, trio.current_time())
                await trio.sleep_until(due)
                if self._feeds() and (self._loaded or self._reading):
                    caught_up = True
                    await self._keep()
                elif self._loaded:
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

    async def _tidy(self) -> NoReturn:
        """Have the store do now and then what takes long, beside the writing."""
        limiter = trio.CapacityLimiter(1)
        while True:
            await trio.sleep(limits.HISTORY_TIDY_SECONDS)
            if self._keeping and self._kept:
                with suppress(DatabaseUnavailableError):  # what is wrong, a writing will tell
                    await in_thread(limiter, self._store.tidy)

    # --- reading

    async def prepare(self) -> None:
        """Do what must be done before the first price."""
        self._book.unread.begin(self._book.symbols)
        if not self._alone:
            await self.load(limits.HISTORY_LOAD_SECONDS)
        elif self._invented:
            # They go on where they were. Where that cannot be read, `load` says so.
            with suppress(DatabaseUnavailableError):
                await self._loader.read_prices()

    async def _load(self) -> None:
        """Read what is kept, however often it takes; what comes in during the first try is kept."""
        self._reading = not self._loaded
        while not self._loaded:
            await self.load()
            self._reading = False
            if not self._loaded:
                await trio.sleep(limits.HISTORY_WRITE_SECONDS)

    async def load(self, seconds: float = math.inf) -> None:
        """Read what is kept; without it, the market goes on and this is tried again.

        Args:
            seconds: how long that may take; what was not read then is read later.
        """
        try:
            await self._loader.read(seconds)
        except DatabaseUnavailableError as error:
            if not await self._fail(error):
                return
            self._note_loaded()
            await self._begin_anew()
        else:
            self._note_loaded()
            if not self._kept:
                self._pending.all_due()  # what came in before it could be read
            self._succeed()
        finally:
            self._book.unread.end_all()

    def _note_loaded(self) -> None:
        due = {self._places[name]: keys for name, keys in self._loader.due.items()}
        self._pending.loaded(self._loader.highest, due, self._loader.foreign)
        self._loaded = True

    async def _catch_up(self, until_ms: int) -> None:
        try:
            await self._loader.catch_up(until_ms)
        except DatabaseUnavailableError as error:
            await self._fail(error)

    async def _take_filled(self) -> None:
        try:
            await self._loader.take_filled()
        except DatabaseUnavailableError as error:
            await self._fail(error)
        else:
            self._succeed()

    # --- writing

    def _rest(self) -> None:
        if self._keeping:
            self._keeping = False
            self._pending.end()

    async def _keep(self) -> None:
        began = trio.current_time()
        with trio.CancelScope(shield=True):  # what is taken is written, or put back
            if not self._keeping:
                self._keeping = True
                await self._pending.begin()
            taken = await self._pending.take()
        try:
            number = await in_thread(self._limiter, self._write, taken)
        except DatabaseUnavailableError as error:
            self._pending.put_back(taken)
            if await self._fail(error, may_set_aside=self._loaded):
                await self._begin_anew()
            return
        except trio.Cancelled:
            self._pending.put_back(taken)  # maybe written, and then written twice
            raise
        self._written += 1
        if self._pending.written(taken, number, trio.current_time() - began):
            self._succeed()
            return
        place = self._store.place
        await self._fail(DatabaseUnavailableError("lost", f"history {place} lacks what was in it"))
        await self._begin_anew()

    async def _begin_anew(self) -> None:
        """Have all written that is in memory, the last seconds first: the store lacks it."""
        self._pending.all_due()
        if self._keeping:
            await self._pending.begin()

    def _write(self, taken: Taken) -> int:
        journal = write_rows(taken.rows) if taken.rows else b""
        return self._store.write(Changes(journal, taken.blocks, taken.expired, taken.forget))

    # --- how it went

    async def _fail(self, error: DatabaseUnavailableError, *, may_set_aside: bool = True) -> bool:
        """Note that the store cannot be used; return whether it is damaged, and begun anew.

        What is damaged is put aside where the store can do that, else written over; but not while
        it is being read.
        """
        self._failed[error.reason] += 1
        if self._kept:
            log.warning("history_not_kept", reason=error.reason, detail=str(error))
        self._kept = False
        if error.reason != "corrupted" or not may_set_aside or not self._feeds():
            return False
        try:
            aside = await in_thread(self._limiter, self._store.set_aside)
        except DatabaseUnavailableError:
            return False
        if aside is not None:
            log.warning("history_set_aside", path=aside)
        return True

    def _succeed(self) -> None:
        if not self._kept:
            log.info("history_kept_again")
        self._kept = True
