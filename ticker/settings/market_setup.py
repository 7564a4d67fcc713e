"""The market that the settings ask for: its book, sources, hub and broadcast, put together."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from ticker.market.backfill import Backfill
from ticker.market.book import Book
from ticker.market.broadcast import Broadcast, TickInterval, TickSignal, Turns
from ticker.market.followed import Followed
from ticker.market.hub import Hub
from ticker.market.ingest import Ingest
from ticker.market.market import Market
from ticker.market.pace import Pace
from ticker.market.past import Past
from ticker.market.quote import Quote
from ticker.market.sources import Source, SourceContext
from ticker.market.subscriber import Fanout
from ticker.metrics import Metrics
from ticker.settings.model import Settings
from ticker.settings.source_setup import load_sources, restart_policy, selection_rules


def make_market(
    settings: Settings,
    fanout: Fanout,
    pace: Callable[[float], Pace],
    metrics: Metrics,
    load: Callable[[str, SourceContext], Source],
    wall: Callable[[], float],
    *,
    changed: Callable[[], None],
) -> Market:
    """Put a market together; nothing of it runs yet.

    Args:
        settings: which sources and symbols, and how often it ticks.
        fanout: how a frame gets to many subscribers.
        pace: how ticks are timed.
        metrics: where ticks and faults of sources are counted.
        load: makes a source from what the settings say of it.
        wall: the wall clock, in seconds since the epoch.
        changed: called where the condition of the sources has changed.

    Raises:
        SourceConfigError: a source cannot be set up as the settings ask.
    """
    ticked = TickSignal()

    def wall_ms() -> int:
        return int(wall() * 1000)

    def report(source: str, kind: str, detail: str) -> None:
        ingest.count_fault(source, kind)
        metrics.log_source_fault(source, kind, detail)

    def report_symbol(source: str, symbol: str, reason: str | None) -> None:
        ingest.report_symbol(source, symbol, reason)

    def last(symbol: str) -> Quote | None:
        return book.get(symbol) if symbol in book else None

    def kept(symbol: str) -> Decimal | None:
        # Where there are others too, what is kept is of those.
        alone = len(sources) == 1 and symbol in book
        return book.last_price(symbol) if alone else None

    backfill = Backfill(wall_ms)
    sources = load_sources(
        settings,
        wall_ms=wall_ms,
        tick_follower=ticked.follower,
        last=last,
        kept=kept,
        report=report,
        report_symbol=report_symbol,
        backfill=backfill,
        load=load,
    )
    book = Book(tuple(dict.fromkeys(symbol for each in sources for symbol in each.symbols)))
    backfill.attach(book)
    hub = Hub(
        book,
        time_ms=wall_ms(),
        tick_seconds=settings.tick,
        log_seconds=settings.log_seconds,
        fanout=fanout,
    )
    ingest = Ingest(
        sources,
        book,
        restart_policy(settings),
        rules=selection_rules(settings),
        wall_ms=wall_ms,
        changed=changed,
    )
    interval, turns = TickInterval(settings.tick), Turns()
    broadcast = Broadcast(
        interval,
        hub,
        book,
        ingest,
        pace=pace,
        wall_ms=wall_ms,
        turns=turns,
        ticked=ticked,
        took=metrics.fanout_seconds.observe,
    )
    return Market(
        book=book,
        hub=hub,
        ingest=ingest,
        followed=Followed(book.symbols, changed),
        broadcast=broadcast,
        turns=turns,
        past=Past(book, wall_ms),
        interval=interval,
        wall=wall,
    )
