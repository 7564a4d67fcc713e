"""Running a feed against a stand-in in virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from tests.exchange_standin.binance import Binance
from tests.exchange_standin.manners import Manners
from tests.exchange_standin.okx import Okx
from tests.exchange_standin.serving import in_memory
from tests.exchange_standin.standin import StandIn
from ticker.market.backfill import Backfill
from ticker.market.exchanges.feed import Feed
from ticker.market.exchanges.feed_errors import FeedError
from ticker.market.quote import Quote
from ticker.market.sources import SourceContext, SourceError, load_source, open_batches
from ticker.supervision import RestartPolicy, supervise

#: The wall clock at the start of virtual time.
EPOCH_MS = 1_790_000_000_000
#: The first, the highest, the lowest and the last of a second.
QUOTES_OF_A_SECOND = 4
#: Longer than anything a test waits for, in virtual time, but for those that last a day.
PATIENCE_SECONDS = 1000


def virtual_ms() -> int:
    """Return the wall clock of virtual time."""
    return EPOCH_MS + round(trio.current_time() * 1000)


def quote_currency(manners: Manners) -> str:
    """Return what an exchange's coins are quoted in here."""
    in_usdt = isinstance(manners, Okx) or (
        isinstance(manners, Binance) and manners.name == "binance"
    )
    return "USDT" if in_usdt else "USD"


def first_symbol(manners: Manners) -> str:
    return f"BTC-{quote_currency(manners)}"


@attrs.define
class Running:
    """A feed that runs against a stand-in.

    Attributes:
        exchange: the stand-in.
        feed: the feed.
        quotes: its batches, as they come.
        newest: the newest quote of each symbol.
        reports: the faults that it got over, by kind.
        reasons: why symbols have no price, now.
        stops: when each of its lives ended.
        refused: no connection can be opened.
        rest_fault: what goes wrong when one to REST is opened.
        heard: every message.
    """

    exchange: StandIn
    feed: Feed
    quotes: trio.MemoryReceiveChannel[Sequence[Quote]]
    newest: dict[str, Quote] = attrs.field(factory=dict)
    reports: Counter[str] = attrs.field(factory=Counter)
    reasons: dict[str, str] = attrs.field(factory=dict)
    stops: list[float] = attrs.field(factory=list)
    refused: bool = False
    rest_fault: Exception | None = None
    heard: list[bytes | str] = attrs.field(factory=list)

    def dial_fault(self, url: str) -> Exception | None:
        """Return what goes wrong when a connection to an address is opened."""
        if self.refused:
            return FeedError("exchange: refused")
        return self.rest_fault if url.startswith("http") else None

    async def until(self, symbol: str, price: str) -> Quote:
        """Return the first quote of a symbol at a price."""
        async for batch in self.quotes:
            seconds = Counter((quote.symbol, quote.time_ms // 1000) for quote in batch)
            assert max(seconds.values()) <= QUOTES_OF_A_SECOND
            for quote in batch:
                if quote.symbol == symbol and str(quote.price) == price:
                    return quote
        raise AssertionError("the feed ended")

    async def priced(self, symbol: str, price: str) -> Quote:
        """Have the exchange tell of a trade, and return the quote of it."""
        await self.exchange.trade(symbol, price)
        return await self.until(symbol, price)

    def age(self, symbol: str) -> float:
        """Return how many seconds ago a symbol's price was proved the last time."""
        quote = self.newest.get(symbol)
        if quote is None:
            return float("inf")
        return (virtual_ms() - quote.received_ms) / 1000

    def good(self, symbol: str) -> bool:
        """Tell whether a user would be shown a symbol's price as a live one."""
        return self.age(symbol) <= 10 and symbol not in self.reasons

    async def drain(self) -> None:
        """Take all quotes that come."""
        async for _ in self.quotes:
            pass


@asynccontextmanager
async def running(
    manners: Manners,
    *symbols: str,
    exchange: StandIn | None = None,
    supervised: bool = False,
    lifetime: float | None = None,
    patience: float = PATIENCE_SECONDS,
    backfill: Backfill | None = None,
) -> AsyncIterator[Running]:
    """Run a feed; a fault of it ends the block, unless it is supervised.

    Args:
        manners: the exchange.
        symbols: what is asked for; by default its bitcoin.
        exchange: the stand-in; by default a new one.
        supervised: start it again after a fault, as the program does, and drain its quotes.
        lifetime: of a connection, where the exchange has one, so that its day is not simulated
            second by second.
        patience: how long the block may take, in virtual time.
        backfill: what of the past is to be filled.
    """
    exchange = exchange or StandIn(manners, clock=virtual_ms)
    batches_in, batches_out = trio.open_memory_channel[Sequence[Quote]](1000)
    with trio.fail_after(patience):
        async with trio.open_nursery() as nursery:
            reports: Counter[str] = Counter()
            reasons: dict[str, str] = {}

            def report_symbol(symbol: str, reason: str | None) -> None:
                reasons.pop(symbol, None)
                if reason is not None:
                    reasons[symbol] = reason

            context = SourceContext(
                symbols=dict.fromkeys(symbols or [first_symbol(manners)]),
                wall_ms=virtual_ms,
                url=f"ws://exchange{manners.path}",
                report=lambda kind, _: reports.update([kind]),
                report_symbol=report_symbol,
                backfill=backfill,
            )
            feed = load_source(manners.name, context)
            assert isinstance(feed, Feed)
            run = Running(exchange, feed, batches_out, reports=reports, reasons=reasons)
            dialect = feed.dialect
            if dialect.lifetime_seconds is not None and lifetime is not None:
                dialect = attrs.evolve(dialect, lifetime_seconds=lifetime)
            dial = in_memory(exchange, nursery, run.dial_fault)
            run.feed = attrs.evolve(feed, dialect=dialect, dial=dial, tap=run.heard.append)

            async def play() -> None:
                async with open_batches(run.feed) as batches:
                    async for batch in batches:
                        run.newest.update((quote.symbol, quote) for quote in batch)
                        if not supervised:
                            await batches_in.send(batch)

            def stopped(_reason: str) -> None:
                run.reasons.clear()
                run.newest.clear()  # the program takes none of them for fresh
                run.stops.append(trio.current_time())

            async def keep_playing() -> None:
                await supervise(
                    manners.name,
                    play,
                    RestartPolicy(jitter=0),
                    stopped=stopped,
                    restarting=lambda: None,
                    known=(SourceError,),
                )

            nursery.start_soon(keep_playing if supervised else play)
            yield run
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def failing(
    manners: Manners,
    *symbols: str,
    error: type[Exception],
    match: str,
    exchange: StandIn | None = None,
) -> AsyncIterator[Running]:
    """Run a feed that is to end with this fault; the block may wait for as long as it likes."""
    with pytest.RaisesGroup(
        pytest.RaisesExc(error, match=match), flatten_subgroups=True, allow_unwrapped=True
    ):
        async with running(manners, *symbols, exchange=exchange) as run:
            yield run
            await trio.sleep_forever()
