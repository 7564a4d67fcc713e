"""Where prices come from. A source is found by its name through an entry point.

A source is any object with the three members of `Source`. It runs under a supervisor:
when `batches()` raises, it is restarted with backoff, so it need not catch what it
cannot mend. It may end, as a recording does that is played once.

Theory of freshness. A `Quote` says when its price was last proved to be the symbol's last one
(`received_ms`): by the price itself, or by a heartbeat that affirms it, with which the same
quote is yielded again. A price that is only known to have been right at an earlier moment, as
one of a catalogue is, carries that moment. A symbol whose newest proof is older than
`TICKER_STALE_AFTER` is stale at this source; so is one whose price the source has taken back
by `SourceContext.report_symbol`.
"""

from __future__ import annotations

import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager
from decimal import Decimal
from importlib.metadata import EntryPoint, entry_points
from typing import Final, Protocol, TypeAlias

import attrs
import trio

from ticker.market.backfill import Backfill
from ticker.market.quote import Quote

__all__ = [
    "INVENTED",
    "Batch",
    "Source",
    "SourceConfigError",
    "SourceContext",
    "SourceError",
    "UnknownSymbolError",
    "find_source",
    "load_source",
    "no_report",
    "nothing_kept",
    "nothing_shown",
    "open_batches",
    "source_names",
    "substitutes",
    "wall_ms",
]

#: Sources whose prices are made up, or were played before: no past of a market.
INVENTED: Final = frozenset({"simulated", "replay"})
#: The entry-point group a package registers its own sources in.
GROUP = "ticker.sources"


class SourceError(Exception):
    """A source ended for a reason that its text tells in one line, without a traceback.

    Attributes:
        retry_after: the fewest seconds to wait before it is started again; the supervisor
            takes the longer of this and its own backoff.
    """

    def __init__(self, reason: str, *, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class SourceConfigError(SourceError):
    """A source cannot be set up as asked. The text is one line, for the person who asked."""


class UnknownSymbolError(SourceConfigError):
    """A source lacks some of the symbols that it was asked for.

    Beside other sources it is made again without them: each source serves what it has.

    Attributes:
        symbols: those that it lacks.
    """

    def __init__(self, text: str, symbols: Collection[str]) -> None:
        super().__init__(text)
        self.symbols = frozenset(symbols)


#: What a source yields at once: quotes, the later the newer.
Batch: TypeAlias = Sequence[Quote]


class Source(Protocol):
    """What the engine needs of a source of prices."""

    @property
    def name(self) -> str:
        """What quotes, status messages and metrics call it, as in `coinbase`."""

    @property
    def symbols(self) -> Sequence[str]:
        """Every symbol it was asked for or offers, in the order to show them.

        Of those that it turns out not to have it tells by `SourceContext.report_symbol`.
        """

    def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield batches of quotes until cancelled, or until there are no more.

        It is an async generator and is run by `open_batches`, in a task of its own unless it says
        that it needs none, so it may open nurseries and cancel scopes around its `yield`s. An
        exception ends it and lets the
        supervisor restart it.
        """


def wall_ms() -> int:
    """Return the wall clock in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def nothing_shown(_symbol: str) -> Quote | None:
    """Know of no quote: the default for what a source may ask of the market."""
    return None


def nothing_kept(_symbol: str) -> Decimal | None:
    """Know of no price of before: the default for what a source may ask of the past."""
    return None


def no_report(*_what: str | None) -> None:
    """Do nothing: the default for what a source reports."""


@attrs.frozen(kw_only=True)
class SourceContext:
    """What a source may use of its surroundings, handed to its factory.

    Attributes:
        symbols: the symbols asked for, each with the price the simulation starts from, or
            None; empty where the user named none, and a source then offers what it has.
        wall_ms: the wall clock, in milliseconds since the epoch.
        next_tick: returns when the market's next broadcast has gone out; a source that
            invents prices waits for it between batches and so moves once a tick.
        last: returns the newest quote of a symbol that the market has, from whatever source and
            whatever process; a source that invents prices goes on from it.
        kept: returns the last price that was kept of a symbol before this process began, where
            all that is kept was made up by the same source.
        url: another address for an exchange's protocol, or None for the public one.
        rest_url: another address for an exchange's REST, as in `https://host:port`; None for
            the same host as `url` or, where there is none either, the public one.
        proxy: an HTTP proxy for the way to an exchange, as in `http://host:port`; None for
            what the environment's `HTTPS_PROXY` and `NO_PROXY` say.
        backfill: what of the past is to be filled from the exchange's public candles; None for
            nothing.
        report: counts a named fault (`bad_message`, `gap`, ...) that the source got over
            by itself; `detail` is for the log and holds no secret.
        report_symbol: tells that the source has no good price of one of its symbols, and why
            in a few words for a user (`not listed`, `refused: ...`, `halted`), or, with None,
            that it has one again. Until then the symbol is stale at this source, whatever
            quotes of it came before; the others are not concerned. What was reported is
            forgotten when `batches()` ends.
    """

    symbols: Mapping[str, Decimal | None]
    wall_ms: Callable[[], int] = wall_ms
    next_tick: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
    last: Callable[[str], Quote | None] = nothing_shown
    kept: Callable[[str], Decimal | None] = nothing_kept
    url: str | None = attrs.field(default=None, repr=False)  # these may hold credentials
    rest_url: str | None = attrs.field(default=None, repr=False)
    proxy: str | None = attrs.field(default=None, repr=False)
    backfill: Backfill | None = None
    report: Callable[[str, str], None] = no_report
    report_symbol: Callable[[str, str | None], None] = no_report


#: A factory takes what follows the colon in `name:argument` (or "") and the context.
SourceFactory = Callable[[str, SourceContext], Source]


@asynccontextmanager
async def open_batches(source: Source) -> AsyncGenerator[AsyncIterator[Batch], None]:
    """Run a source until the block is left; gives its batches to iterate over.

    The generator runs in a task of its own, behind a memory channel (`trio.as_safe_channel`),
    since it may yield inside a nursery (PEP 789). One that never does says so by an attribute
    `inline`, and is iterated over as it is: that saves three steps of a task for each batch.
    """
    if getattr(source, "inline", False):
        async with aclosing(source.batches()) as batches:
            yield batches
        return
    async with trio.as_safe_channel(source.batches)() as channel:
        yield channel


def substitutes(source: Source) -> Mapping[str, str]:
    """Return what a source quotes in another currency than it was asked for.

    As in `{"BTC-USD": "BTC-USDT"}` of an exchange that has nothing in US dollars: its
    `BTC-USD` is the price of `BTC-USDT`. A source tells by an attribute `substitutes`;
    without one, it quotes what it was asked for.
    """
    found: Mapping[str, str] = getattr(source, "substitutes", {})
    return found


def source_names() -> tuple[str, ...]:
    """Name every source there is, without importing any."""
    return tuple(sorted(entry_points(group=GROUP).names))


def find_source(spec: str) -> EntryPoint:
    """Find where the source that a setting names comes from, without importing it.

    Raises:
        SourceConfigError: no such source.
    """
    name = spec.partition(":")[0]
    found = entry_points(group=GROUP, name=name)
    if not found:
        known = ", ".join(source_names())
        raise SourceConfigError(f"no source is called {name!r}; there are: {known}")
    return next(iter(found))


def load_source(spec: str, context: SourceContext) -> Source:
    """Make the source that a setting names, as in `simulated` or `replay:FILE`.

    Raises:
        SourceConfigError: no such source, or the source refuses its argument or symbols.
    """
    factory: SourceFactory = find_source(spec).load()
    return factory(spec.partition(":")[2], context)
