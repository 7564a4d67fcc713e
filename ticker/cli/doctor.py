"""`ticker doctor`: connect to the sources of prices, and say what was checked and seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import attrs
import click
import trio

from ticker import logs
from ticker.limits import DOCTOR_SECONDS
from ticker.market.exchanges.exchange_address import place_of
from ticker.market.exchanges.feed import Feed
from ticker.market.quote import Quote
from ticker.market.sources import (
    Source,
    SourceConfigError,
    SourceError,
    load_source,
    open_batches,
    wall_ms,
)
from ticker.market.sources.spec import SourceSpec, parse_spec
from ticker.settings.model import Settings
from ticker.settings.source_setup import source_context

_UNITS: Final = (
    (365.25 * 86400, "year", "years"),
    (86400.0, "day", "days"),
    (3600.0, "h", "h"),
    (60.0, "min", "min"),
    (1.0, "s", "s"),
)


@attrs.define
class _Seen:
    """What was seen of one source.

    Attributes:
        faults: those that it got over by itself, by kind.
        reasons: why symbols have no price, now.
        messages: how many came; None of a source that has none.
        quotes: how many of each symbol.
        newest: the newest of each symbol.
        first_after: the seconds until the first.
        ended: why it ended, if it did.
    """

    source: Source
    faults: Counter[str] = attrs.field(factory=Counter)
    reasons: dict[str, str | None] = attrs.field(factory=dict)
    messages: int | None = None
    quotes: Counter[str] = attrs.field(factory=Counter)
    newest: dict[str, Quote] = attrs.field(factory=dict)
    first_after: float | None = None
    ended: str | None = None

    def good(self, symbol: str) -> bool:
        """Tell whether a symbol has a price that is good now."""
        return symbol in self.newest and not self.reasons.get(symbol) and self.ended is None


@click.command()
@click.option("--source", help="The source to look at; all of the settings by default.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, DOCTOR_SECONDS),
    default=10.0,
    show_default=True,
    help="For how long.",
)
@click.pass_obj
def doctor(settings: Settings, source: str | None, seconds: float) -> int:
    """Connect to the sources of prices and print what they say.

    Exits with 0 where every symbol had a good price of some source, else with 1.
    """
    logs.configure(settings.log_format)
    try:
        specs = (parse_spec(source),) if source else settings.source
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--source'") from None
    settings = attrs.evolve(settings, source=specs)
    try:
        seen = [_load(settings, spec) for spec in specs]
    except SourceConfigError as error:
        raise click.UsageError(str(error)) from None
    for each in seen:
        click.echo(f"{_places(each.source)}, for {seconds:g} s")
    now_ms = trio.run(_look_at_all, seen, seconds)
    for each in seen:
        if len(seen) > 1:
            click.echo(f"{each.source.name}:")
        for line in _findings(each, now_ms):
            click.echo(f"  {line}")
        if each.ended is not None:
            click.echo(f"ticker: {each.ended}", err=True)
    wanted = {symbol for each in seen for symbol in each.source.symbols}
    healthy = all(any(each.good(symbol) for each in seen) for symbol in wanted)
    click.echo("healthy" if healthy else "not healthy")
    return 0 if healthy else 1


def _load(settings: Settings, spec: SourceSpec) -> _Seen:
    """Make a source that tells what it meets.

    Raises:
        SourceConfigError: it cannot be made.
    """
    faults: Counter[str] = Counter()
    reasons: dict[str, str | None] = {}
    context = source_context(
        settings,
        spec,
        next_tick=partial(trio.sleep, settings.tick),
        report=lambda kind, _: faults.update([kind]),
        report_symbol=reasons.__setitem__,
    )
    seen = _Seen(load_source(spec.source, context), faults, reasons)
    if isinstance(seen.source, Feed):
        seen.messages = 0

        def tap(_raw: bytes | str) -> None:
            seen.messages = (seen.messages or 0) + 1

        seen.source = attrs.evolve(seen.source, tap=tap)
    return seen


async def _look_at_all(seen: Sequence[_Seen], seconds: float) -> int:
    """Watch sources for so long, or until they end; return the wall clock at the end."""
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for each in seen:
                nursery.start_soon(_look, each)
    return wall_ms()


async def _look(seen: _Seen) -> None:
    began = trio.current_time()
    try:
        async with open_batches(seen.source) as batches:
            async for batch in batches:
                if seen.first_after is None:
                    seen.first_after = trio.current_time() - began
                seen.quotes.update(quote.symbol for quote in batch)
                seen.newest.update((quote.symbol, quote) for quote in batch)
    except SourceError as error:
        seen.ended = str(error)


def _places(source: Source) -> str:
    """Say where a source is asked, without anything that may be a secret."""
    if not isinstance(source, Feed):
        return source.name
    by = f" by the proxy {source.proxy.place}" if source.proxy is not None else ""
    return f"{source.name} at {place_of(source.url)}, REST at {place_of(source.rest_url)}{by}"


def _findings(seen: _Seen, now_ms: int) -> Iterator[str]:
    """Yield what was found of a source, a line each."""
    if isinstance(seen.source, Feed):
        yield from _checks(seen, seen.source)
    if seen.first_after is not None:
        yield f"first price after {seen.first_after:.2f} s"
    for symbol in seen.source.symbols:
        quote, reason = seen.newest.get(symbol), seen.reasons.get(symbol)
        because = f": {reason}" if reason else ""
        if quote is None:
            yield f"{symbol:<12} no price{because}"
            continue
        traded = ago((now_ms - quote.time_ms) / 1000)
        count = seen.quotes[symbol]
        yield f"{symbol:<12} {quote.price:f}  {count} quotes, traded {traded}{because}"
    for kind, count in sorted(seen.faults.items()):
        yield f"{kind}: {count}"


def _checks(seen: _Seen, feed: Feed) -> Iterator[str]:
    record = feed.memory.record
    yield f"connected {_times(record.connections)}, {seen.messages} messages"
    batches = f"{record.batches} {_plural(record.batches, 'batch', 'batches')}"
    yield f"subscribed to {record.confirmed} of {len(feed.names)} symbols in {batches}"
    if record.listed is not None:
        yield f"catalogue: {record.listed} symbols"
    elif record.rest_fault is None:
        yield "catalogue: has every symbol" if record.checked else "catalogue: not asked yet"
    if record.rest_fault is not None:
        yield f"REST: {record.rest_fault}"
    if record.compared:
        yield f"prices compared with REST: {record.compared}, of which {record.differed} differed"
    for symbol, other in feed.substitutes.items():
        yield f"{symbol} is quoted as {other}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _plural(count: int, one: str, many: str) -> str:
    return one if count == 1 else many


def ago(seconds: float, wording: Callable[[str], str] = "{} ago".format) -> str:
    """Say how long ago something was, as people write it: `3 min ago`, `5 years ago`."""
    if seconds < 0:
        return ago(-seconds, "{} ahead of this clock".format)
    for length, one, many in _UNITS:
        if seconds >= length:
            count = int(seconds / length)
            return wording(f"{count} {_plural(count, one, many)}")
    return "just now"
