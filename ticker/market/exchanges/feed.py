"""The life of a feed: connect, subscribe, watch, and replace a connection in good time.

Rules: a fault ends `batches` with a `FeedError`, and the supervisor starts it again with
backoff: there is no second retry in here, so that a feed that is down is known to be
down. What a message means is the dialect's business, what may be believed the sieve's.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import attrs
import structlog
import trio

from ticker.limits import (
    FEED_ANSWER_SECONDS,
    FEED_BATCH_SECONDS,
    FEED_PING_SECONDS,
    FEED_REPLACE_RETRY_SECONDS,
    FEED_SILENCE_SECONDS,
)
from ticker.market.exchanges.connection import (
    FeedError,
    Link,
    MessageTooBigError,
    check_url,
    connected,
    one_fault,
)
from ticker.market.exchanges.dialect import Conversation, Dialect
from ticker.market.exchanges.events import BadMessage, PriceSeen, Tradable
from ticker.market.exchanges.price_filter import PriceFilter
from ticker.market.quote import DEFAULT_SYMBOLS, Quote
from ticker.market.sources import SourceConfigError, SourceContext
from ticker.market.sources.options import nearest, parse_options

__all__ = ["Feed", "create_feed"]

log = structlog.get_logger()

Tap = Callable[[bytes | str], None]


def _no_tap(raw: bytes | str) -> None:
    """Hear a message and do nothing."""


@attrs.frozen
class Feed:
    """The source of one exchange's prices.

    Attributes:
        dialect: how the exchange speaks.
        symbols: what we call what it quotes.
        names: for each symbol of the exchange, in our form, what we call it.
        url: where it is.
        context: what the source may use of its surroundings.
        tap: hears every message as it came, before anything is made of it.
        connect: opens a connection to an address.
    """

    dialect: Dialect
    symbols: Sequence[str]
    names: Mapping[str, Sequence[str]]
    url: str = attrs.field(repr=False)  # it may hold a proxy's credentials
    context: SourceContext
    tap: Tap = _no_tap
    connect: Callable[[str], AbstractAsyncContextManager[Link]] = connected

    @property
    def name(self) -> str:
        """The exchange's name."""
        return self.dialect.name

    async def batches(self) -> AsyncGenerator[Sequence[Quote], None]:
        """Yield the newest quote of each symbol that has news, at most once in 10 ms.

        Raises:
            FeedError: the feed is not what it should be, in a way that starting anew may mend.
            SourceConfigError: the exchange does not know a symbol.
        """
        sieve = PriceFilter(self.name, self.names, self.context.report)
        news = trio.Event()

        def tell() -> None:
            if sieve:
                news.set()

        with one_fault(self.name):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stay_connected, sieve, tell)
                while True:
                    await news.wait()
                    news = trio.Event()
                    yield sieve.batch()
                    await trio.sleep(FEED_BATCH_SECONDS)

    async def _stay_connected(self, sieve: PriceFilter, tell: Callable[[], None]) -> None:
        """Hold one connection, and replace it before its time is up without missing a price."""
        if not self.dialect.names_unknown:
            await self._check_symbols(sieve)
            tell()
        async with trio.open_nursery() as nursery:
            ending = trio.Event()
            scope = await nursery.start(self._converse, sieve, tell, ending)
            wait = self._lifetime()
            while True:
                with trio.move_on_after(wait):
                    await ending.wait()
                successor_ending = trio.Event()
                try:
                    successor = await nursery.start(self._converse, sieve, tell, successor_ending)
                except FeedError as error:
                    # The old connection still serves; when it ends, that is a fault like any other.
                    self.context.report("replacement_failed", str(error))
                    ending, wait = trio.Event(), FEED_REPLACE_RETRY_SECONDS
                    continue
                log.info("feed_connection_replaced", source=self.name)
                scope.cancel()
                scope, ending, wait = successor, successor_ending, self._lifetime()

    def _lifetime(self) -> float:
        return self.dialect.lifetime_seconds or math.inf

    async def _converse(
        self,
        sieve: PriceFilter,
        tell: Callable[[], None],
        ending: trio.Event,
        task_status: trio.TaskStatus[trio.CancelScope],
    ) -> None:
        """Serve one connection until its scope is cancelled; started once acknowledged."""
        talk = Conversation(self.dialect, self.names, sieve, self.context.report)
        with trio.CancelScope() as scope, one_fault(self.name):
            async with self.connect(self.url) as link, trio.open_nursery() as nursery:
                watch = trio.CancelScope(deadline=trio.current_time() + FEED_ANSWER_SECONDS)
                with watch:
                    for request in self.dialect.subscriptions(tuple(self.names)):
                        await link.send(request)
                    while talk.unacknowledged:
                        await self._hear(link, talk)
                        tell()
                    task_status.started(scope)
                    if self.dialect.pings:
                        nursery.start_soon(self._ping, link, watch, talk, tell)
                    watch.deadline = trio.current_time() + FEED_SILENCE_SECONDS
                    while True:
                        if await self._hear(link, talk):
                            watch.deadline = trio.current_time() + FEED_SILENCE_SECONDS
                        tell()
                        if talk.ending:
                            ending.set()
                if talk.unacknowledged:
                    waiting = ", ".join(sorted(talk.unacknowledged))
                    raise FeedError(f"{self.name}: no answer to subscribing to {waiting}")
                raise FeedError(f"{self.name}: no heartbeat for {FEED_SILENCE_SECONDS:g} s")

    async def _hear(self, link: Link, talk: Conversation) -> bool:
        try:
            raw = await link.receive()
        except MessageTooBigError as error:
            self.context.report("message_too_big", str(error))
            raise
        self.tap(raw)
        alive = talk.hear(raw, self.context.wall_ms())
        if talk.refusal is not None:
            if talk.unacknowledged:
                await self._check_symbols(None)
            raise FeedError(f"{self.name}: refused: {talk.refusal}")
        return alive

    async def _ping(
        self,
        link: Link,
        watch: trio.CancelScope,
        talk: Conversation,
        tell: Callable[[], None],
    ) -> None:
        """Ask for signs of life where the exchange gives none by itself."""
        while True:
            await trio.sleep(FEED_PING_SECONDS)
            await link.ping()
            watch.deadline = trio.current_time() + FEED_SILENCE_SECONDS
            talk.pong(self.context.wall_ms())
            tell()

    async def _check_symbols(self, sieve: PriceFilter | None) -> None:
        """Compare our symbols with the exchange's catalogue.

        Where the catalogue cannot be had, that is reported and no reason not to go on.

        Raises:
            SourceConfigError: symbols are not in it; it names them all, with the nearest.
        """
        try:
            known = await self._catalogue(sieve)
        except FeedError as error:
            self.context.report("no_catalogue", str(error))
            return
        unknown = [
            f"{name}{nearest(theirs, known)}"
            for theirs, names in self.names.items()
            if theirs not in known
            for name in names
        ]
        if unknown:
            raise SourceConfigError(f"{self.name} does not have {', nor '.join(unknown)}")

    async def _catalogue(self, sieve: PriceFilter | None) -> frozenset[str]:
        async with self.connect(self.dialect.catalogue_url(self.url)) as link:
            with trio.move_on_after(FEED_ANSWER_SECONDS):
                await link.send(self.dialect.catalogue_request)
                while True:
                    try:
                        events = self.dialect.parse(await link.receive())
                    except BadMessage as error:
                        self.context.report("bad_message", str(error))
                        continue
                    known: frozenset[str] | None = None
                    for event in events:
                        match event:
                            case PriceSeen() if sieve is not None and event.symbol in self.names:
                                sieve.take(event, self.context.wall_ms())
                            case Tradable():
                                known = frozenset(event.symbols)
                    if known is not None:
                        return known
        raise FeedError(f"{self.name}: no catalogue within {FEED_ANSWER_SECONDS:g} s")


def create_feed(dialect: Dialect, argument: str, context: SourceContext) -> Feed:
    """Make the source of an exchange.

    Raises:
        SourceConfigError: it takes no argument, the address is none, or the symbols are too many.
    """
    parse_options(dialect.name, argument, [])
    symbols = tuple(context.symbols or DEFAULT_SYMBOLS)
    names: dict[str, list[str]] = {}
    for symbol in symbols:
        names.setdefault(dialect.canonical(symbol), []).append(symbol)
    if dialect.most_symbols is not None and len(names) > dialect.most_symbols:
        raise SourceConfigError(
            f"{dialect.name}: at most {dialect.most_symbols} symbols, not {len(names)}"
        )
    renamed = [ours for theirs, each in names.items() for ours in each if ours != theirs]
    if renamed:
        log.warning("usd_is_quoted_in_usdt", source=dialect.name, symbols=renamed)
    url = check_url(dialect.name, context.url or dialect.url)
    return Feed(dialect, symbols, names, url, context)
