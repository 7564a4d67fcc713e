"""The broadcast: the market's tick, on a schedule that does not drift.

Rules for this module: it owns the pace and nothing else. What goes out at a tick, and to whom,
is the hub's business.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NoReturn

import attrs
import trio

from ticker.market.book import Book
from ticker.market.hub import Hub
from ticker.market.ingest import Ingest


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


class Broadcast:
    """Lets the market tick.

    Attributes:
        ticks: how many ticks went out.
        ticks_skipped: how many had passed before their turn came.
        turned_at: when the last turn was over, in trio's time.
    """

    def __init__(
        self,
        interval: TickInterval,
        hub: Hub,
        book: Book,
        ingest: Ingest,
        *,
        wall_ms: Callable[[], int],
        ticked: trio.lowlevel.ParkingLot,
        took: Callable[[float], None],
    ) -> None:
        """Prepare; `run` begins.

        Args:
            interval: between two ticks.
            hub: what sends each tick out.
            book: what a tick is made of.
            ingest: the sources, without which there is nothing to send.
            wall_ms: the wall clock, in milliseconds since the epoch.
            ticked: where those are parked who wait for the next tick.
            took: told how long each tick took to go out, in seconds.
        """
        self._interval = interval
        self._hub = hub
        self._book = book
        self._ingest = ingest
        self._wall_ms = wall_ms
        self._ticked = ticked
        self._took = took
        self._published = 0
        self.ticks = 0
        self.ticks_skipped = 0
        self.turned_at = math.inf

    async def run(self) -> NoReturn:
        """Tick until cancelled; a tick whose turn has passed is skipped.

        The first tick goes out with the first prices, so that the first subscribers need not wait
        for theirs.
        """
        seconds = self._interval.seconds
        self.turned_at = trio.current_time()
        with trio.move_on_after(seconds):
            await self._ingest.first_prices.wait()
        due = trio.current_time()
        while True:
            await self._tick()
            due += seconds
            late = trio.current_time() - due
            if late >= seconds:
                missed = int(late / seconds)
                due += missed * seconds
                self.ticks_skipped += missed
            await trio.sleep_until(due)

    async def _tick(self) -> None:
        # What a source brought last goes out even if it has stopped since.
        if self._ingest.live or self._book.changes != self._published:
            began = time.perf_counter()
            await self._hub.publish(self._hub.published.seq + 1, self._wall_ms())
            self._took(time.perf_counter() - began)
            self.ticks += 1
            self._published = self._book.changes
        else:
            await self._hub.keep_alive(self._wall_ms())
        self.turned_at = trio.current_time()
        self._ticked.unpark_all()
