"""A feed: the source of one exchange's prices.

Rules: a fault ends `batches` with a `FeedError`, and the supervisor starts it again with
backoff: there is no second retry in here, so that a feed that is down is known to be
down. What outlives that, so that an exchange's limits hold, is the feed's memory. What a
message means is the dialect's business, what is believed the price filter's, what is proved
the proofs'.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

import attrs
import structlog
import trio

from ticker.limits import (
    FEED_BATCH_SECONDS,
    FEED_CANDLES_BYTES,
    FEED_REPLACE_RETRY_SECONDS,
    FEED_REST_BYTES,
)
from ticker.market.backfill import Backfill
from ticker.market.exchanges.candle_questions import CandleQuestions
from ticker.market.exchanges.connect_pauses import (
    ConnectBudget,
    RestTurns,
    is_short,
    replacement_pause,
)
from ticker.market.exchanges.dial import Dial, dial
from ticker.market.exchanges.dialect import Dialect
from ticker.market.exchanges.exchange_socket import connected
from ticker.market.exchanges.feed_connection import FeedConnection
from ticker.market.exchanges.feed_errors import FeedError, one_fault
from ticker.market.exchanges.feed_memory import FeedMemory
from ticker.market.exchanges.feed_state import FeedState
from ticker.market.exchanges.proxy import Proxy
from ticker.market.exchanges.rest import RestClient
from ticker.market.exchanges.rest_questions import Questions
from ticker.market.quote import Quote
from ticker.market.sources import SourceContext

__all__ = ["Feed"]

log = structlog.get_logger()


def _no_tap(raw: bytes | str) -> None:
    """Hear a message and do nothing."""


@attrs.frozen(kw_only=True)
class Feed:
    """The source of one exchange's prices.

    Attributes:
        dialect: how the exchange speaks.
        symbols: what we call what it quotes.
        names: for each symbol, by the exchange's name, what we call it, maybe several ways.
        url: where its streams are.
        rest_url: where REST is asked, without a path.
        proxy: on the way to its streams, if any.
        rest_proxy: on the way to REST.
        context: what the source may use of its surroundings.
        tap: hears every message as it came, before anything is made of it.
        dial: opens streams to both.
        memory: what outlives one life.
    """

    dialect: Dialect
    symbols: Sequence[str]
    names: Mapping[str, Sequence[str]]
    url: str = attrs.field(repr=False)  # addresses may hold credentials
    rest_url: str = attrs.field(repr=False)
    proxy: Proxy | None = None
    rest_proxy: Proxy | None = None
    context: SourceContext
    tap: Callable[[bytes | str], None] = _no_tap
    dial: Dial = dial
    memory: FeedMemory = attrs.field(
        default=attrs.Factory(
            lambda self: FeedMemory(
                ConnectBudget(self.dialect.connects, self.dialect.connects_seconds),
                RestTurns(self.dialect.rest.seconds),
            ),
            takes_self=True,
        )
    )

    @property
    def name(self) -> str:
        """The exchange's name."""
        return self.dialect.name

    @property
    def substitutes(self) -> Mapping[str, str]:
        """What it quotes in another currency than it was asked for, as BTC-USD by BTC-USDT."""
        meant = {symbol: self.dialect.substitute(symbol) for symbol in self.symbols}
        return {symbol: other for symbol, other in meant.items() if symbol != other}

    async def batches(self) -> AsyncGenerator[Sequence[Quote], None]:
        """Yield the quotes of each symbol that has news, its newest last, at most once in 10 ms.

        A second that its bar is made of has four at most.

        Raises:
            FeedError: the feed is not what it should be, in a way that starting anew may mend.
            SourceConfigError: the exchange has none of the symbols.
        """
        state = FeedState(self.dialect, self.names, self.memory, self.context)
        with one_fault(self.name):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_Life(self, state).run)
                while True:
                    yield await state.news()
                    await trio.sleep(FEED_BATCH_SECONDS)

    async def within_budget(self) -> None:
        """Wait until one more connection is within the exchange's limits."""
        await trio.sleep(self.memory.budget.claim(trio.current_time()))

    async def within_rest_budget(self) -> None:
        """Wait until one more connection to REST is."""
        await trio.sleep(self.memory.rest_budget.claim(trio.current_time()))
        await self.within_budget()

    async def within_candles_budget(self) -> None:
        """Wait until one more connection to REST for candles is."""
        await trio.sleep(self.memory.candles_budget.claim(trio.current_time()))
        await self.within_budget()


class _Life:
    """One life of a feed: a connection, the one that is to replace it, and REST beside them.

    Candles are asked for on a connection of their own: one that does not answer holds up no proof
    of a price.
    """

    def __init__(self, feed: Feed, state: FeedState) -> None:
        self._feed = feed
        self._state = state
        self._current: FeedConnection | None = None

    async def run(self) -> None:
        """Hold one connection, and replace it before its time is up without missing a price."""
        async with trio.open_nursery() as nursery:
            current = self._current = await self._open(nursery)
            nursery.start_soon(self._ask)
            if self._feed.context.backfill is not None:
                nursery.start_soon(self._fill, self._feed.context.backfill)
            short_lives = 0
            while True:
                with trio.move_on_after(self._feed.dialect.lifetime_seconds or math.inf):
                    await current.ending.wait()
                lived = trio.current_time() - current.since
                short_lives = short_lives + 1 if is_short(lived) else 0
                await trio.sleep(replacement_pause(short_lives))
                successor = await self._replacement(nursery)
                log.info("feed_connection_replaced", source=self._feed.name)
                current.scope.cancel()
                current = self._current = successor

    async def _replacement(self, nursery: trio.Nursery) -> FeedConnection:
        """Open another connection, however often that takes, while the old one serves."""
        while True:
            try:
                return await self._open(nursery)
            except FeedError as error:
                # When the old one ends meanwhile, that is a fault like any other.
                self._feed.context.report("replacement_failed", str(error))
                await trio.sleep(max(FEED_REPLACE_RETRY_SECONDS, error.retry_after))

    async def _open(self, nursery: trio.Nursery) -> FeedConnection:
        """Open a connection within the budget and return it once it is subscribed."""
        feed = self._feed
        await feed.within_budget()
        feed.memory.record.connections += 1
        connection = FeedConnection(
            feed.dialect, feed.names, self._state, feed.memory, feed.context.report, feed.tap
        )
        await nursery.start(connection.run, connected(feed.url, feed.proxy, feed.dial))
        return connection

    async def _ask(self) -> None:
        feed = self._feed
        client = self._client(feed.within_rest_budget)
        questions = Questions(
            feed.dialect,
            self._state,
            feed.memory,
            client.ask,
            self._check_holdings,
            feed.context.report,
        )
        try:
            await questions.run()
        finally:
            await client.aclose()

    async def _fill(self, backfill: Backfill) -> None:
        feed = self._feed
        client = self._client(feed.within_candles_budget, FEED_CANDLES_BYTES)
        questions = CandleQuestions(
            feed.dialect, self._state, client.ask, feed.context.report, backfill
        )
        try:
            await questions.run()
        finally:
            await client.aclose()

    def _client(
        self, before_connecting: Callable[[], Awaitable[None]], most_bytes: int = FEED_REST_BYTES
    ) -> RestClient:
        feed = self._feed
        return RestClient(
            feed.rest_url,
            feed.rest_proxy,
            feed.dial,
            before_connecting,
            feed.memory.turns,
            most_bytes,
        )

    async def _check_holdings(self) -> None:
        holdings = self._feed.dialect.holdings
        if holdings is not None and self._current is not None:
            await self._current.check_holdings(holdings)
