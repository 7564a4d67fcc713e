"""The ingest: every source under its supervisor, and what it brings into the book.

A source's crash leaves the book as it was and everybody connected; who wants to know is
told that the source is stale, and later that it is live. A source that runs but has nothing
to say of some symbols is stale in those. Rules for this module: it runs sources and decides
nothing about prices; which source a symbol comes from is `source_selection`'s business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Literal

import attrs
import structlog
import trio

from ticker import limits
from ticker.market.book import Book
from ticker.market.source_selection import SelectionStatistics, SourceSelection
from ticker.market.sources import Batch, Source, SourceError, open_batches
from ticker.supervision import RestartPolicy, supervise

log = structlog.get_logger()


@attrs.frozen
class SourceState:
    """What is to be said of one source.

    Attributes:
        source: its name.
        state: `live` from its first quotes until it stops, unless it is silent.
        since: when that began, in milliseconds since the epoch.
        reason: why it is stale: `starting`, `crashed`, `ended`, or `silent` about `symbols`.
        symbols: those of which it holds the price and has not spoken for too long.
    """

    source: str
    state: Literal["live", "stale"]
    since: int
    reason: str = ""
    symbols: tuple[str, ...] = ()

    def among(self, known: Collection[str]) -> SourceState:
        """Return it as it is to somebody for whom there are no other symbols than these."""
        if not self.symbols:
            return self
        symbols = tuple(symbol for symbol in self.symbols if symbol in known)
        if symbols:
            return attrs.evolve(self, symbols=symbols)
        return attrs.evolve(self, state="live", reason="", symbols=())


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
        first_prices: set once any source has brought prices.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        book: Book,
        policy: RestartPolicy,
        *,
        stale_after: float,
        wall_ms: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        """Prepare; `run` begins.

        Args:
            sources: the most preferred first.
            book: where quotes go.
            policy: when to restart a source that crashed.
            stale_after: seconds without a quote after which a symbol is stale.
            wall_ms: the wall clock.
            changed: called after the state of a source has changed.
        """
        self._sources = tuple(sources)
        self._book = book
        self._policy = policy
        self._wall_ms = wall_ms
        self._changed = changed
        self._states = {
            source.name: SourceState(source.name, "stale", wall_ms(), "starting")
            for source in self._sources
        }
        age_limit_ms = round(stale_after * 1000)
        self._selection = SourceSelection(
            [source.name for source in self._sources],
            age_limit_ms,
            age_limit_ms * limits.RECOVERY_AGE_LIMITS,
        )
        self._up: set[str] = set()
        self.first_prices = trio.Event()
        self._restarts: Counter[str] = Counter({source.name: 0 for source in self._sources})
        self._faults: Counter[tuple[str, str]] = Counter()

    @property
    def states(self) -> tuple[SourceState, ...]:
        """The state of each source, the most preferred first."""
        return tuple(self._states.values())

    @property
    def live(self) -> bool:
        """Whether any source runs and has brought prices."""
        return bool(self._up)

    def fresh(self) -> bool:
        """Whether any symbol's price is within the age limit."""
        known = sum(quote is not None for quote in self._book.quotes)
        return self.live and len(self._selection.stale(_now_ms())) < known

    def statistics(self) -> IngestStatistics:
        """Return what the sources have done so far."""
        return IngestStatistics(
            self.states, dict(self._restarts), dict(self._faults), self._selection.statistics()
        )

    def report_symbol(self, source: str, symbol: str, reason: str | None) -> None:
        """Learn that a source has no good price of a symbol, and why, or that it has again."""
        log.info("symbol_state", source=source, symbol=symbol, reason=reason)

    def count_fault(self, source: str, kind: str) -> None:
        """Count a fault that a source got over by itself."""
        self._faults[source, kind] += 1

    async def run(self) -> None:
        """Run every source until cancelled, or until all have ended by themselves."""
        async with trio.open_nursery() as nursery:
            for source in self._sources:
                nursery.start_soon(self._supervise, source)

    async def _supervise(self, source: Source) -> None:
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
        """Put a batch into the book, but for what another source is preferred for."""
        now_ms = _now_ms()
        chosen = [quote for quote in batch if self._selection.offer(quote, now_ms)]
        unknown = self._book.apply(chosen)
        if unknown:
            self._faults[source, "unknown_symbol"] += unknown
        if source not in self._up:
            self._up.add(source)
            self.first_prices.set()
            self._set(source, "live")

    def _stopped(self, source: str, reason: str) -> None:
        self._up.discard(source)
        self._selection.lose(source)
        self._set(source, "stale", reason)

    def refresh(self) -> None:
        """Look which symbols have gone stale, or come back, since the last look."""
        silent: dict[str, list[str]] = {}
        for stale in self._selection.stale(_now_ms()):
            silent.setdefault(stale.source, []).append(stale.symbol)
        for source in self._up:
            symbols = tuple(silent.get(source, ()))
            if symbols != self._states[source].symbols:
                if symbols:
                    self._set(source, "stale", "silent", symbols)
                else:
                    self._set(source, "live")

    def _set(
        self,
        source: str,
        state: Literal["live", "stale"],
        reason: str = "",
        symbols: tuple[str, ...] = (),
    ) -> None:
        self._states[source] = SourceState(source, state, self._wall_ms(), reason, symbols)
        log.info("source_state", source=source, state=state, reason=reason, symbols=symbols)
        self._changed()


def _now_ms() -> int:
    """Return a monotonic time: ages must not jump with the wall clock."""
    return int(trio.current_time() * 1000)
