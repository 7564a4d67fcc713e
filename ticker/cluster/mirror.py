"""The mirror: another process's market, published here tick by tick under the same numbers.

What a feeder says comes as messages, from a relay or from a bus; here they become ticks of the hub.
Each must follow from what is here already (`Changes.prev`), in the same line of epochs; what does
not is refused, and the bringer of the messages asks for a keyframe.

Rules for this module: it knows messages, not where they come from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from ticker import limits
from ticker.cluster.market_messages import (
    Changes,
    Conditions,
    Day,
    Heartbeat,
    Hello,
    Keyframe,
    Message,
    Past,
    PastTick,
)
from ticker.market.market import Market
from ticker.market.published import Row, Snapshot
from ticker.market.quote import Quote
from ticker.market.tick_log import LoggedTick


class GapError(Exception):
    """A message does not follow from what is here; the text says why."""


class Mirror:
    """Publishes what a feeder says.

    Attributes:
        term: the highest that was heard of; what comes with a lower one is passed over.
        ready: set once there is a market of some feeder here, or of this process.
        heard_at: when something was heard last, in trio's time.
    """

    def __init__(self, market: Market, epoch_changed: Callable[[], Awaitable[None]]) -> None:
        """Begin with nothing.

        Args:
            market: where to publish.
            epoch_changed: tells every subscriber of another epoch, before its first frame.
        """
        self.term = 0
        self.ready = trio.Event()
        self.heard_at = trio.current_time()
        self._heard_ms = market.wall_ms()
        self._market = market
        self._epoch_changed = epoch_changed
        self._taken: list[Quote] = []
        self._passed: list[Quote] = []
        self._days: list[Day] = []
        self._rows: list[Row] = []
        self._past: list[PastTick] = []
        self._past_reaches = 0

    @property
    def synced(self) -> bool:
        """Whether there is a market here."""
        return self.ready.is_set()

    def hello(self) -> Hello:
        """Return what is here already."""
        published = self._market.hub.published
        return Hello(published.epoch, published.seq) if self.synced else Hello()

    async def apply(self, messages: Sequence[Message]) -> None:
        """Publish what some messages say, which came together, the oldest first.

        Raises:
            GapError: one does not follow from what is here. What came before it is published.
        """
        self.note()
        ticks = [n for n, each in enumerate(messages) if isinstance(each, Changes)]
        last = ticks[-1] if ticks else -1
        for number, message in enumerate(messages):
            if message.term < self.term:
                continue
            self.term = message.term
            if isinstance(message, Changes):
                await self._change(message, overtaken=number <= last - limits.RELAY_TICKS_SHOWN)
            elif isinstance(message, Keyframe):
                await self._load(message)
            elif isinstance(message, Past):
                self._past += message.ticks
                self._past_reaches = message.reaches
            elif isinstance(message, Conditions):
                self._market.followed.hear(message.condition)
            else:
                self._check(message)

    def note(self) -> None:
        """Note that the market is alive now: a feeder was heard, or this process feeds."""
        self.heard_at, self._heard_ms = trio.current_time(), self._market.wall_ms()

    async def idle(self) -> None:
        """Let a turn pass in which nothing came: subscribers of changes are told that they live."""
        if trio.current_time() - self.heard_at >= limits.FEED_LOST_SECONDS:
            self._market.followed.lose(self._heard_ms)
        await self._market.hub.keep_alive(self._market.wall_ms())
        self._market.turns.turned_at = trio.current_time()

    def begin_anew(self) -> None:
        """Forget the parts of a message whose end will not come."""
        self._taken.clear()
        self._passed.clear()
        self._days.clear()
        self._rows.clear()
        self._past.clear()

    async def _change(self, message: Changes, *, overtaken: bool) -> None:
        published = self._market.hub.published
        if not self.synced or message.prev > published.seq:
            raise GapError(f"tick {message.seq} follows {message.prev}, not {published.seq}")
        if message.seq <= published.seq and published.proves(message.epoch, message.seq):
            return  # it was in the keyframe
        inside = published.seq >= message.first
        line = message.epoch if inside else message.prev_epoch
        if published.epoch != line or message.seq <= published.seq:
            raise GapError(f"tick {message.seq} is of another line")
        self._taken += message.taken
        self._passed += message.passed
        self._days += message.days
        if message.more:
            return
        taken, passed, days = self._taken, self._passed, self._days
        self._taken, self._passed, self._days = [], [], []
        if not inside:
            published.begin_epoch(message.epoch, message.first)
            await self._epoch_changed()
        await self._publish(message, taken, passed, days, overtaken=overtaken)

    async def _publish(
        self,
        tick: Changes,
        taken: list[Quote],
        passed: list[Quote],
        days: list[Day],
        *,
        overtaken: bool,
    ) -> None:
        market, book = self._market, self._market.book
        book.apply([*passed, *taken])
        book.take()
        known = [quote for quote in taken if quote.symbol in book]
        # Those of the feeder's bars, which may reach further back than the bars here.
        moved = {book.place(day.symbol): day.details for day in days if day.symbol in book}
        market.followed.note_level()
        await market.hub.publish(tick.seq, tick.time_ms, known, moved, overtaken=overtaken)
        market.turns.ticks += 1
        market.turns.turned_at = trio.current_time()

    async def _load(self, message: Keyframe) -> None:
        self._rows += message.rows
        if message.more:
            return
        rows, self._rows = self._rows, []
        past, self._past = self._past, []
        market, published = self._market, self._market.hub.published
        epoch = message.spans[-1].epoch
        if self.synced and message.seq <= published.seq:
            if message.seq == published.seq and epoch == published.epoch:
                return
            # Numbers never go back; the feeder goes on beyond ours, which it was told of.
            raise GapError(f"a keyframe of tick {message.seq} is behind {published.seq}")
        before = published.epoch
        market.book.apply(row.quote for row in rows)
        market.book.take()

        async def loaded() -> None:
            if past and past[-1].seq <= published.seq:
                market.hub.log.replace(
                    self._past_reaches, filter(None, map(self._logged, past)), trio.current_time()
                )
            if published.epoch != before:
                await self._epoch_changed()

        self.ready.set()
        market.followed.note_level()
        snapshot = Snapshot(message.spans, message.seq, message.time_ms, rows)
        await market.hub.load(snapshot, loaded)
        market.turns.ticks += 1
        market.turns.turned_at = trio.current_time()

    def _logged(self, tick: PastTick) -> LoggedTick | None:
        """Return a tick as this process logs it, whose places may be others."""
        book = self._market.book
        quotes = tuple(quote for quote in tick.quotes if quote.symbol in book)
        if not quotes:
            return None
        full = tuple(book.place(quote.symbol) for quote in quotes)
        count = sum(quote.symbol in book for quote in tick.quotes[: tick.priced])
        priced = full if count == len(full) else full[:count]
        return LoggedTick(tick.seq, tick.time_ms, {"price": priced, "full": full}, quotes)

    def _check(self, message: Heartbeat) -> None:
        published = self._market.hub.published
        if message.seq > published.seq:
            raise GapError(f"the feeder is at tick {message.seq}, not {published.seq}")
        self._market.followed.note_level()
