"""`ticker doctor`: connect to a source of prices, and say what is seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import TypeAlias

import attrs
import click
import trio

from ticker import logs
from ticker.limits import DOCTOR_SECONDS
from ticker.market.exchanges.connection import FeedError, place_of
from ticker.market.exchanges.feed import Feed
from ticker.market.quote import Quote
from ticker.market.sources import (
    Source,
    SourceConfigError,
    load_source,
    open_batches,
)
from ticker.market.sources.spec import parse_spec
from ticker.settings.model import Settings
from ticker.settings.sources import source_context

#: What a source said of itself: the faults that it got over, by kind.
Faults: TypeAlias = Counter[str]


@attrs.define
class _Seen:
    """What was seen of a source."""

    messages: int = 0
    quotes: Counter[str] = attrs.field(factory=Counter)
    newest: dict[str, Quote] = attrs.field(factory=dict)
    first_after: float | None = None
    ended: str | None = None


@click.command()
@click.option("--source", help="The source to look at; the first of the settings by default.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, DOCTOR_SECONDS),
    default=10.0,
    show_default=True,
    help="For how long.",
)
@click.pass_obj
def doctor(settings: Settings, source: str | None, seconds: float) -> int:
    """Connect to a source of prices and print what it says.

    Exits with 0 where every symbol had a price, else with 1.
    """
    logs.configure(settings.log_format)
    try:
        spec = parse_spec(source) if source else settings.source[0]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--source'") from None
    faults: Faults = Counter()
    reasons: dict[str, str | None] = {}
    context = source_context(
        attrs.evolve(settings, source=(spec,)),
        spec,
        next_tick=partial(trio.sleep, settings.tick),
        report=lambda kind, _: faults.update([kind]),
        report_symbol=reasons.__setitem__,
    )
    try:
        found = load_source(spec.source, context)
    except SourceConfigError as error:
        raise click.UsageError(str(error)) from None
    place = f" at {place_of(found.url)}" if isinstance(found, Feed) else ""
    click.echo(f"{found.name}{place}, for {seconds:g} s")
    seen = trio.run(_look, found, seconds)
    return _tell(found, seen, faults, reasons, context.wall_ms())


async def _look(source: Source, seconds: float) -> _Seen:
    """Watch a source for so long, or until it ends."""
    seen = _Seen()

    def tap(_raw: bytes | str) -> None:
        seen.messages += 1

    if isinstance(source, Feed):
        source = attrs.evolve(source, tap=tap)
    began = trio.current_time()
    try:
        with trio.move_on_after(seconds):
            async with open_batches(source) as batches:
                async for batch in batches:
                    if seen.first_after is None:
                        seen.first_after = trio.current_time() - began
                    seen.quotes.update(quote.symbol for quote in batch)
                    seen.newest.update((quote.symbol, quote) for quote in batch)
    except (FeedError, SourceConfigError) as error:
        seen.ended = str(error)
    return seen


def _tell(
    source: Source,
    seen: _Seen,
    faults: Faults,
    reasons: Mapping[str, str | None],
    now_ms: int,
) -> int:
    """Print what was seen and return the exit code."""
    if isinstance(source, Feed):
        click.echo(f"{seen.messages} messages")
    if seen.first_after is not None:
        click.echo(f"first price after {seen.first_after:.2f} s")
    for symbol in source.symbols:
        quote, reason = seen.newest.get(symbol), reasons.get(symbol)
        because = f": {reason}" if reason else ""
        if quote is None:
            click.echo(f"  {symbol:<12} no price{because}")
            continue
        age = (now_ms - quote.time_ms) / 1000
        count = seen.quotes[symbol]
        traded = f"{count} quotes, traded {age:.1f} s ago"
        click.echo(f"  {symbol:<12} {quote.price:f}  {traded}{because}")
    for kind, count in sorted(faults.items()):
        click.echo(f"  {kind}: {count}")
    if seen.ended is not None:
        click.echo(f"ticker: {seen.ended}", err=True)
    priced = all(symbol in seen.newest and not reasons.get(symbol) for symbol in source.symbols)
    healthy = seen.ended is None and priced
    click.echo("healthy" if healthy else "not healthy")
    return 0 if healthy else 1
