"""The sources of prices as the settings name them, and when to start one again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Literal, cast

import attrs
import trio

from ticker import limits
from ticker.market.backfill import Backfill
from ticker.market.quote import Quote
from ticker.market.source_selection import SelectionRules
from ticker.market.sources import (
    Source,
    SourceConfigError,
    SourceContext,
    UnknownSymbolError,
    load_source,
    no_report,
    nothing_kept,
    nothing_shown,
    wall_ms,
)
from ticker.market.sources.spec import SourceSpec
from ticker.settings.model import Settings
from ticker.supervision import RestartPolicy

__all__ = ["load_sources", "restart_policy", "selection_rules", "source_context"]


def restart_policy(settings: Settings) -> RestartPolicy:
    """Return when a source that crashed is started again."""
    return RestartPolicy(
        initial=settings.restart_initial,
        factor=settings.restart_factor,
        maximum=settings.restart_max,
        jitter=settings.restart_jitter,
        reset_after=settings.restart_reset,
    )


def selection_rules(settings: Settings) -> SelectionRules:
    """Return how to choose between the sources."""
    age_limit_ms = round(settings.stale_after * 1000)
    return SelectionRules(
        strategy=cast("Literal['first', 'median']", settings.select),
        fallback_quotes=cast("Literal['same', 'stable']", settings.fallback_quotes),
        age_limit_ms=age_limit_ms,
        grace_ms=round(limits.FAILOVER_GRACE_SECONDS * 1000),
        recover_ms=age_limit_ms * limits.RECOVERY_AGE_LIMITS,
    )


def source_context(
    settings: Settings,
    spec: SourceSpec,
    *,
    wall_ms: Callable[[], int] = wall_ms,
    next_tick: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    last: Callable[[str], Quote | None] = nothing_shown,
    kept: Callable[[str], Decimal | None] = nothing_kept,
    report: Callable[[str, str], None] = no_report,
    report_symbol: Callable[[str, str | None], None] = no_report,
    backfill: Backfill | None = None,
) -> SourceContext:
    """Return what a source may use of its surroundings; `SourceContext` explains each part.

    Args:
        settings: name the symbols, and other addresses of exchanges.
        spec: the source as the setting names it.
        wall_ms: the wall clock.
        next_tick: waits for the market's next broadcast.
        last: returns the newest quote of a symbol.
        kept: returns the last price of a symbol's past, of before.
        report: counts a fault.
        report_symbol: tells that a symbol has no good price, and why, or has one again.
        backfill: what of the past is to be filled.
    """
    return SourceContext(
        symbols=settings.symbols_for(spec),
        wall_ms=wall_ms,
        next_tick=next_tick,
        last=last,
        kept=kept,
        url=settings.feed_urls.get(spec.name),
        rest_url=settings.rest_urls.get(spec.name),
        proxy=settings.feed_proxy,
        report=report,
        report_symbol=report_symbol,
        backfill=backfill if settings.backfill == "on" else None,
    )


def load_sources(
    settings: Settings,
    *,
    wall_ms: Callable[[], int] = wall_ms,
    tick_follower: Callable[[], Callable[[], Awaitable[None]]] = lambda: trio.lowlevel.checkpoint,
    last: Callable[[str], Quote | None] = nothing_shown,
    kept: Callable[[str], Decimal | None] = nothing_kept,
    report: Callable[[str, str, str], None] = no_report,
    report_symbol: Callable[[str, str, str | None], None] = no_report,
    backfill: Backfill | None = None,
    load: Callable[[str, SourceContext], Source] = load_source,
) -> Sequence[Source]:
    """Make all sources that the settings name, the most preferred first.

    Args:
        settings: name the sources.
        wall_ms: the wall clock.
        tick_follower: makes what waits for the market's next broadcast, one for each source.
        last: returns the newest quote of a symbol.
        kept: returns the last price of a symbol's past, of before.
        report: counts a fault: the source's name, the fault's kind, and a detail for the log.
        report_symbol: is told by which source a symbol has no good price, and why.
        backfill: what of the past is to be filled.
        load: makes one source.

    Raises:
        SourceConfigError: one cannot be made, two have one name, or a symbol is not to be had
            from any of them.
    """
    sources: list[Source] = []
    lacking: list[str] = []
    for spec in settings.source:
        context = source_context(
            settings,
            spec,
            wall_ms=wall_ms,
            next_tick=tick_follower(),
            last=last,
            kept=kept,
            report=partial(report, spec.name),
            report_symbol=partial(report_symbol, spec.name),
            backfill=backfill,
        )
        try:
            sources.append(load(spec.source, context))
        except UnknownSymbolError as error:
            # Each source serves what it has; whether anything is missing is seen at the end.
            asked = context.symbols.items()
            has = {name: price for name, price in asked if name not in error.symbols}
            if not has or len(settings.source) == 1:
                raise
            lacking.append(str(error))
            sources.append(load(spec.source, attrs.evolve(context, symbols=has)))
    _check_names(sources)
    _check_symbols(settings, sources, lacking)
    return sources


def _check_names(sources: Sequence[Source]) -> None:
    """Refuse two sources of one name: states, metrics and quotes could not tell them apart."""
    for name, count in Counter(source.name for source in sources).items():
        if count > 1:
            raise SourceConfigError(f"{name} is named {count} times; each source can be used once")


def _check_symbols(settings: Settings, sources: Sequence[Source], lacking: Sequence[str]) -> None:
    """Refuse a symbol that was asked for and that no source has."""
    asked = dict.fromkeys(symbol for spec in settings.source for symbol in spec.symbols)
    if "symbols" in settings.named:
        asked |= dict.fromkeys(settings.symbols)
    had = {symbol for source in sources for symbol in source.symbols}
    missing = [symbol for symbol in asked if symbol not in had]
    if missing:
        why = "; ".join(lacking) or "each source names symbols of its own"
        raise SourceConfigError(f"no source has {', nor '.join(missing)}: {why}")
