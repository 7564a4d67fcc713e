"""The broadcast: the market's tick, on a schedule that does not drift.

Rules for this module: it owns the pace and nothing else. What goes out at a tick, and to whom,
is the hub's business.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple, NoReturn

import attrs
import trio

from ticker.market.book import Book
from ticker.market.hub import Hub
from ticker.market.ingest import Ingest
from ticker.market.pace import Pace
from ticker.market.quote import Details, Quote


@attrs.frozen
class TickInterval:
    """How long a tick of the market is.

    Attributes:
        seconds: from one tick to the next.
    """

    seconds: float

    @property
    def milliseconds(self) -> float:
        """The same in milliseconds; whole where it is a whole number."""
        milliseconds = round(self.seconds * 1000, 3)
        return int(milliseconds) if milliseconds.is_integer() else milliseconds

    def ticks_in(self, interval_ms: float) -> int:
        """Return how many ticks make up an interval, at least one, rounded up."""
        return max(1, -int(-interval_ms // self.milliseconds))


@attrs.define
class Turns:
    """How the market moves in this process, by its own ticks or by another one's.

    Attributes:
        ticks: how many ticks went out.
        skipped: how many had passed before their turn came.
        turned_at: when the last turn was over, in trio's time.
    """

    ticks: int = 0
    skipped: int = 0
    turned_at: float = math.inf


class TickSignal:
    """Wakes what waits for the end of each turn of the broadcast."""

    def __init__(self) -> None:
        self._turns = 0
        self._waiting = trio.lowlevel.ParkingLot()

    def turn_over(self) -> None:
        """Wake all that wait."""
        self._turns += 1
        self._waiting.unpark_all()

    async def wait(self) -> None:
        """Wait until the turn that comes next is over."""
        await self._waiting.park()

    def follower(self) -> Callable[[], Awaitable[None]]:
        """Return what waits until the next turn is over, or knows that the last one just was.

        A source's first prices go out at once, before it can wait for that tick. Were it to wait
        for the one after it, subscribers of changes would hear nothing for two ticks. Where more
        than one turn has passed, the source has paused, and waits as at its beginning.
        """
        told = 0

        async def next_turn() -> None:
            nonlocal told
            if self._turns - told == 1:
                await trio.lowlevel.checkpoint()
            else:
                await self._waiting.park()
            told = self._turns

        return next_turn


class Tick(NamedTuple):
    """What is about to be published.

    Attributes:
        seq: its number.
        time_ms: now, in milliseconds since the epoch.
        taken: the quotes that are new since the last tick, the newest of each symbol.
        passed: those that came before them, since the last tick, where the book keeps them.
        days: the figures of 24 hours that have moved since, by the book's places.
    """

    seq: int
    time_ms: int
    taken: Sequence[Quote]
    passed: Sequence[Quote]
    days: Mapping[int, Details | None]


#: Tells other processes of a tick before any subscriber here sees it. What it raises ends the
#: broadcast, and the tick is not published.
Announce = Callable[[Tick], Awaitable[None]]


class Broadcast:
    """Lets the market tick.

    Attributes:
        after: a sequence number that no tick may have, nor a smaller one.
    """

    def __init__(
        self,
        interval: TickInterval,
        hub: Hub,
        book: Book,
        ingest: Ingest,
        *,
        pace: Callable[[float], Pace],
        wall_ms: Callable[[], int],
        turns: Turns,
        ticked: TickSignal,
        took: Callable[[float], None],
    ) -> None:
        """Prepare; `run` begins.

        Args:
            interval: between two ticks.
            hub: what sends each tick out.
            book: what a tick is made of.
            ingest: the sources, without which there is nothing to send.
            pace: begins a pace of so many seconds.
            wall_ms: the wall clock, in milliseconds since the epoch.
            turns: where its ticks are counted.
            ticked: wakes what waits for the next tick.
            took: told how long each tick took to go out, in seconds.
        """
        self._interval = interval
        self._hub = hub
        self._book = book
        self._ingest = ingest
        self._pace = pace
        self._wall_ms = wall_ms
        self._ticked = ticked
        self._took = took
        self._turns = turns
        self._announce: Announce | None = None
        self._published = 0
        self.after = 0

    async def run(
        self, announce: Announce | None = None, *, patience: float | None = None
    ) -> NoReturn:
        """Tick until cancelled; a tick whose turn has passed is skipped.

        The first tick goes out with the first prices, so that the first subscribers need not wait
        for theirs.

        Args:
            announce: is told of each tick; None where there is no other process to tell.
            patience: how many seconds the first tick may wait for prices, by default an interval;
                less where subscribers have had a tick of another process.
        """
        self._announce = announce
        seconds = self._interval.seconds
        self._turns.turned_at = trio.current_time()
        with trio.move_on_after(seconds if patience is None else patience):
            await self._ingest.first_prices.wait()
        with closing(self._pace(seconds)) as pace:
            while True:
                await self._tick()
                self._turns.skipped += await pace.next_turn()

    async def wait_ticked(self) -> None:
        """Wait until the next tick is over, or a turn at which there was none."""
        await self._ticked.wait()

    async def _tick(self) -> None:
        # What a source brought last goes out even if it has stopped since.
        if self._ingest.live or self._book.changes != self._published:
            began = time.perf_counter()
            changes = self._book.changes
            await self._publish()
            self._took(time.perf_counter() - began)
            self._turns.ticks += 1
            self._published = changes
        else:
            await self._hub.keep_alive(self._wall_ms())
        self._turns.turned_at = trio.current_time()
        self._ticked.turn_over()

    async def _publish(self) -> None:
        seq, time_ms = max(self._hub.published.seq, self.after) + 1, self._wall_ms()
        if self._announce is None:
            await self._hub.publish(seq, time_ms)
            return
        book = self._book
        days = {place: book.days[place] for place in book.take_moved_days()}
        tick = Tick(seq, time_ms, *book.take(), days)
        await self._announce(tick)
        await self._hub.publish(seq, time_ms, tick.taken, days)
