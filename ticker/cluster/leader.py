"""The leader of one machine: the worker that tells its siblings of every tick.

It either feeds, which is to run the sources and make the ticks, or mirrors the feeder of another
machine. Its siblings see no difference: they follow its relay.

Rules for this module: it does what it is asked; when to do which is decided by an `Upstream`
(`ticker.cluster.role`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from typing import NoReturn

import structlog
import trio

from ticker import limits
from ticker.cluster import market_messages as messages
from ticker.cluster.market_messages import Changes, Conditions, Day, Heartbeat, Keyframe, Message
from ticker.cluster.mirror import Mirror
from ticker.cluster.relay import Relay
from ticker.market.broadcast import Tick
from ticker.market.condition import Condition
from ticker.market.epochs import new_epoch
from ticker.market.market import Market
from ticker.market.quote import Quote
from ticker.market.tick_log import LoggedTick

log = structlog.get_logger()

#: Tells other machines of a tick, as one or more messages, before any subscriber sees it.
Outlet = Callable[[Sequence[Changes]], Awaitable[None]]


class Leader:
    """What the worker that holds the feeder lock can do.

    Attributes:
        relay: to its siblings.
        term: of the feeder, which is this process or the one that is mirrored.
        feeding: whether it makes the ticks.
    """

    def __init__(
        self,
        market: Market,
        mirror: Mirror,
        epoch_changed: Callable[[], Awaitable[None]],
        *,
        price_seconds: float,
    ) -> None:
        """Prepare.

        Args:
            market: of this process.
            mirror: for another machine's feeder.
            epoch_changed: tells every subscriber of another epoch, before its first frame.
            price_seconds: for how long a price is good that is not proved again.
        """
        self.relay = Relay(self._greet)
        self.term = 0
        self.feeding = False
        self._market = market
        self._mirror = mirror
        self._epoch_changed = epoch_changed
        self._price_seconds = price_seconds
        self._outlet: Outlet | None = None
        self._silent: Callable[[], None] = lambda: None
        self._told: Condition | None = None
        self._spoke_at = 0.0

    async def feed(self, term: int, *, after: int = 0, outlet: Outlet | None = None) -> NoReturn:
        """Run the sources and make the ticks until cancelled.

        It goes on from what was published here, under another epoch.

        Args:
            term: of this feeder, higher than every one before.
            after: the last sequence number that any process may have published.
            outlet: is awaited with each tick before any subscriber here sees it; what it raises
                comes out of here, and the tick is not published.
        """
        market = self._market
        self.term = self._mirror.term = term
        self._outlet = outlet
        published = market.hub.published
        market.broadcast.after = max(after, published.seq)
        patience = seconds = market.interval.seconds
        if self._mirror.synced:
            # The next tick is due an interval after that of the feeder before.
            patience = max(0.0, self._mirror.heard_at + seconds - trio.current_time())
            # What others may have heard beyond what was heard here is proved by nothing.
            published.begin_epoch(new_epoch(), published.seq + 1)
            await self._epoch_changed()
        self._inherit()
        market.book.keeps_passed = self.feeding = True
        self._mirror.ready.set()
        market.book.touch(published.quotes, published.days)
        log.info("feeding", term=term, epoch=published.epoch, seq=published.seq)
        try:
            async with trio.open_nursery() as nursery:
                for source in market.ingest.sources:
                    nursery.start_soon(market.ingest.supervise, source)
                try:
                    await market.broadcast.run(self._announce, patience=patience)
                finally:
                    self._silent()  # however long the sources take
        finally:
            market.followed.hear(market.ingest.condition())
            market.ingest.rest()
            market.book.keeps_passed = self.feeding = False

    async def mirror(self, heard: Sequence[Message]) -> None:
        """Publish what another machine's feeder says, here and on all siblings.

        Raises:
            GapError: it does not follow from what is here: a keyframe is needed.
        """
        # Before the ticks are published here: siblings are never behind what they are told of.
        if self.relay.pass_on():
            for message in heard:
                if isinstance(message, Changes | Keyframe):
                    self._say(message)
        try:
            await self._mirror.apply(heard)
        finally:
            self.term = self._mirror.term

    @contextmanager
    def until_silent(self, silent: Callable[[], None]) -> Iterator[None]:
        """Call a function once siblings are told of no more ticks, by the end of the block."""
        self._silent = silent
        try:
            yield
        finally:
            silent()

    async def tell(self) -> NoReturn:
        """Tell siblings of the sources' condition, and that this process lives, until cancelled."""
        while True:
            condition = self._market.condition()
            if condition != self._told:
                self._told = condition
                self._say(Conditions(self.term, condition))
            elif trio.current_time() - self._spoke_at >= limits.RELAY_HEARTBEAT_SECONDS / 2:
                published = self._market.hub.published
                self._say(Heartbeat(self.term, published.epoch, published.seq))
            await trio.sleep(limits.RELAY_HEARTBEAT_SECONDS)

    def _inherit(self) -> None:
        """Take over the condition of the sources from the feeder before."""
        market, condition = self._market, self._market.followed.condition
        if condition is not None:
            quotes = market.hub.published.quotes
            newest = max((quote.received_ms for quote in quotes if quote), default=0)
            age = max(0, market.wall_ms() - newest) / 1000
            market.ingest.inherit(condition, self._price_seconds - age)
            market.followed.end()

    async def _announce(self, tick: Tick) -> None:
        """Tell other machines, then siblings, of a tick that is about to be published."""
        if not self.relay.pass_on() and self._outlet is None:
            return
        published, symbols = self._market.hub.published, self._market.book.symbols
        made = tuple(
            messages.changes(
                published,
                term=self.term,
                prev=published.seq,
                seq=tick.seq,
                time_ms=tick.time_ms,
                taken=tick.taken,
                passed=tick.passed,
                days=[Day(symbols[place], day) for place, day in tick.days.items()],
            )
        )
        if self._outlet is not None:
            await self._outlet(made)
        for message in made:
            self._say(message)

    def _say(self, message: Message) -> None:
        self._spoke_at = trio.current_time()
        self.relay.publish(messages.encode(message))

    def _greet(self, has: bytes | None) -> tuple[Iterable[bytes], bytes]:
        """Return what a sibling lacks; see `relay.Greet`."""
        published = self._market.hub.published
        now = messages.encode(messages.Hello(published.epoch, published.seq))
        condition = Conditions(self.term, self._market.condition())
        return map(messages.encode, chain(self._lacking(has), (condition,))), now

    def _lacking(self, has: bytes | None) -> Iterable[Message]:
        hub, published = self._market.hub, self._market.hub.published
        hello = messages.Hello()
        if has is not None:
            with suppress(messages.RelayMessageError):
                hello = messages.decode_hello(has)
        if hello.seq > published.seq:
            # It heard more of the feeder before: no number may be given twice to one follower.
            self._market.broadcast.after = max(self._market.broadcast.after, hello.seq)
        if not published.proves(hello.epoch, hello.seq) or hello.seq < hub.log.reaches:
            keyframe = messages.keyframe(published.snapshot(), term=self.term)
            return chain(messages.past(hub.log, term=self.term), keyframe)
        prev = hello.seq
        made: list[Changes] = []
        for tick in hub.log.since(hello.seq):
            made += self._logged(prev, tick.seq, tick.time_ms, tick.quotes, self._days(tick))
            prev = tick.seq
        if prev < published.seq:
            made += self._logged(prev, published.seq, published.time_ms, ())
        return made

    def _days(self, tick: LoggedTick) -> Sequence[Day]:
        """Return the figures of 24 hours of what a tick changed, as they were then."""
        symbols, changed = self._market.book.symbols, tick.changed["full"] if tick.days else ()
        return [Day(symbols[at], day) for at, day in zip(changed, tick.days, strict=True)]

    def _logged(
        self, prev: int, seq: int, time_ms: int, quotes: Sequence[Quote], days: Sequence[Day] = ()
    ) -> Iterator[Changes]:
        published = self._market.hub.published
        return messages.changes(
            published, term=self.term, prev=prev, seq=seq, time_ms=time_ms, taken=quotes, days=days
        )
