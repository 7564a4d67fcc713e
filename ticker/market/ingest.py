"""The ingest: every source under its supervisor, and what it brings into the book.

A source's crash leaves the book as it was and every client connected; subscribers are told that
the source is stale, and later that it is live. A source that runs but has no good price of some
symbols is stale in those. Rules for this module: it runs sources and tells how they are; which
source a symbol's price comes from is decided in `source_selection.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import attrs
import structlog
import trio

from ticker.market.book import Book
from ticker.market.condition import Condition, SourceState, common
from ticker.market.offers import Offering
from ticker.market.source_selection import (
    SelectionRules,
    SelectionStatistics,
    SourceSelection,
    StaleSymbol,
)
from ticker.market.sources import Batch, Source, SourceError, open_batches, substitutes
from ticker.supervision import RestartPolicy, supervise

log = structlog.get_logger()


@attrs.frozen
class IngestStatistics:
    """What the sources have done.

    Attributes:
        states: one for each source, in order of preference.
        restarts: by source.
        faults: by source and kind, those a source got over by itself.
        selection: which source each symbol comes from.
    """

    states: tuple[SourceState, ...]
    restarts: dict[str, int]
    faults: dict[tuple[str, str], int]
    selection: SelectionStatistics


class Ingest:
    """Runs the sources and fills the book.

    Attributes:
        sources: the most preferred first; each is to be run by `supervise`.
        first_prices: set once any source has brought prices.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        book: Book,
        policy: RestartPolicy,
        *,
        rules: SelectionRules,
        wall_ms: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        """Prepare; `supervise` begins.

        Args:
            sources: the most preferred first.
            book: where quotes go.
            policy: when to restart a source that crashed.
            rules: how to choose between sources, and when a price is stale.
            wall_ms: the wall clock.
            changed: called after the state of a source has changed.
        """
        self.sources = tuple(sources)
        self._book = book
        self._policy = policy
        self._wall_ms = wall_ms
        self._changed = changed
        self._began_ms = wall_ms()
        self._states = {
            source.name: SourceState(source.name, "stale", self._began_ms, "starting")
            for source in self.sources
        }
        self._selection = SourceSelection(
            [Offering(each.name, each.symbols, substitutes(each)) for each in self.sources], rules
        )
        for name, symbols in self._selection.unused().items():
            hint = "TICKER_FALLBACK_QUOTES=stable lets them stand in"
            log.warning("quote_currency_differs", source=name, symbols=symbols, hint=hint)
        self._reported: dict[tuple[str, str], str] = {}
        self._orphans: frozenset[str] = frozenset()
        self._up: set[str] = set()
        self._inherited: Condition | None = None
        self._inherited_until = -math.inf
        self.first_prices = trio.Event()
        self._restarts: Counter[str] = Counter({source.name: 0 for source in self.sources})
        self._faults: Counter[tuple[str, str]] = Counter()

    @property
    def states(self) -> tuple[SourceState, ...]:
        """The state of each source, the most preferred first."""
        return tuple(self._states.values())

    @property
    def live(self) -> bool:
        """Whether any source runs and has brought prices, or lately did so elsewhere."""
        return bool(self._up) or self._inherits()

    def fresh(self) -> bool:
        """Whether any symbol has a good price."""
        return self._inherits() or (self.live and self._selection.any_fresh(_now_ms()))

    def stale(self) -> dict[str, str]:
        """Return the symbols that have no good price, and why the most preferred has none."""
        found: dict[str, str] = {}
        for each in self._selection.stale(_now_ms()):
            state = self._states[each.source]
            why = each.reason if each.source in self._up else state.reason
            found.setdefault(each.symbol, why or each.reason)
        if self._inherited is not None and self._inherits():
            for symbol, why in self._inherited.stale.items():
                if not self._selection.quoted(symbol):
                    found.setdefault(symbol, why)
        return found

    def condition(self) -> Condition:
        """Return all that is to be said of the sources and prices now."""
        return Condition(self.states, self.stale(), live=self.live, fresh=self.fresh())

    def inherit(self, condition: Condition, seconds: float) -> None:
        """Begin where another process ended, whose prices are good for so many seconds more.

        Until then a source that has not brought anything here counts as it did there.
        """
        known = {state.source: state for state in condition.states}
        self._states = {name: known.get(name, state) for name, state in self._states.items()}
        if condition.fresh:
            self._inherited = condition
            self._inherited_until = trio.current_time() + seconds

    def rest(self) -> None:
        """Note that no source runs any more, since another process runs them."""
        for source in self._up:
            self._selection.lose(source, _now_ms())
        self._up.clear()
        self._reported.clear()
        self._inherited_until = -math.inf

    def _inherits(self) -> bool:
        return trio.current_time() < self._inherited_until

    def statistics(self) -> IngestStatistics:
        """Return what the sources have done so far."""
        return IngestStatistics(
            self.states, dict(self._restarts), dict(self._faults), self._selection.statistics()
        )

    def report_symbol(self, source: str, symbol: str, reason: str | None) -> None:
        """Learn that a source has no good price of a symbol, and why, or that it has again.

        What follows from it is done at the next `refresh`, since many may come at once.
        """
        if self._reported.get((source, symbol)) == reason:
            return
        if reason is None:
            del self._reported[source, symbol]
        else:
            self._reported[source, symbol] = reason
        log.warning("symbol_state", source=source, symbol=symbol, reason=reason or "")
        self._selection.report(source, symbol, reason)

    def count_fault(self, source: str, kind: str) -> None:
        """Count a fault that a source got over by itself."""
        self._faults[source, kind] += 1

    async def supervise(self, source: Source) -> None:
        """Run a source until cancelled, or until it has ended by itself."""

        def restarting() -> None:
            self._restarts[source.name] += 1

        await supervise(
            source.name,
            lambda: self._consume(source),
            self._policy,
            stopped=lambda reason: self._stopped(source.name, reason),
            restarting=restarting,
            known=(SourceError,),
        )

    async def _consume(self, source: Source) -> None:
        """Take in one life of a source."""
        async with open_batches(source) as batches:
            async for batch in batches:
                self._take(source.name, batch)

    def _take(self, source: str, batch: Batch) -> None:
        """Put into the book what of a batch is chosen."""
        chosen, unknown = self._selection.take(
            source, batch, now_ms=_now_ms(), wall_ms=self._wall_ms()
        )
        self._book.apply(chosen)
        if unknown:
            self._faults[source, "unknown_symbol"] += unknown
        if source not in self._up and self._selection.priced(source):
            self._up.add(source)
            self.first_prices.set()
            self._set(SourceState(source, "live", self._wall_ms()))

    def _stopped(self, source: str, reason: str) -> None:
        self._up.discard(source)
        self._selection.lose(source, _now_ms())
        for key in [key for key in self._reported if key[0] == source]:
            del self._reported[key]
        since = self._selection.priced_until(source) or self._began_ms
        self._set(SourceState(source, "stale", since, reason))

    def refresh(self) -> None:
        """Let other sources take over, and look which symbols have gone stale or come back."""
        now_ms = _now_ms()
        self._book.apply(self._selection.look(now_ms))
        stale: dict[str, list[StaleSymbol]] = {}
        for symbol in self._selection.stale(now_ms):
            stale.setdefault(symbol.source, []).append(symbol)
        for source in self.sources:
            found = stale.get(source.name, [])
            if source.name in self._up or self._refused(source):
                self._set(self._partly_stale(source.name, found))
            elif self._states[source.name].state == "live" and not self._inherits():
                self._set(SourceState(source.name, "stale", self._began_ms, "starting"))
        self._tell_orphans()

    def _refused(self, source: Source) -> bool:
        """Tell whether a source that is there has something against every one of its symbols."""
        return all((source.name, symbol) in self._reported for symbol in source.symbols)

    def _partly_stale(self, source: str, symbols: Sequence[StaleSymbol]) -> SourceState:
        if not symbols:
            return SourceState(source, "live", self._wall_ms())
        reasons = {each.symbol: each.reason for each in symbols}
        since = min(self._began_ms if s.since_ms is None else s.since_ms for s in symbols)
        return SourceState(source, "stale", since, common(reasons.values()), reasons)

    def _tell_orphans(self) -> None:
        """Log each symbol that not one of the sources has, once."""
        orphans = self._selection.refused_everywhere()
        for symbol in sorted(orphans.keys() - self._orphans):
            log.error("symbol_without_source", symbol=symbol, reasons=orphans[symbol])
        self._orphans = frozenset(orphans)

    def _set(self, new: SourceState) -> None:
        """Keep and tell a source's state where it is another than before."""
        old = self._states[new.source]
        if (new.state, new.reason, new.reasons) == (old.state, old.reason, old.reasons):
            return
        self._states[new.source] = new
        log.info(
            "source_state",
            source=new.source,
            state=new.state,
            since=new.since,
            reason=new.reason,
            symbols=new.symbols,
        )
        self._changed()


def _now_ms() -> int:
    """Return a monotonic time: ages must not jump with the wall clock."""
    return int(trio.current_time() * 1000)
