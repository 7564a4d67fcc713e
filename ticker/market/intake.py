"""The intake: every source under its supervisor, and what it brings into the book.

A source's crash leaves the book as it was and everybody connected; who wants to know is
told that the source is stale, and later that it is live. Rules for this module: it runs
sources and decides nothing about prices; that is the arbiter's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

import attrs
import structlog
import trio

from ticker.market.book import Book
from ticker.market.sources import Source
from ticker.supervision import RestartPolicy, supervise

log = structlog.get_logger()


@attrs.frozen
class SourceState:
    """What is to be said of one source.

    Attributes:
        source: its name.
        state: `live` from its first quotes until it stops.
        since: when that began, in milliseconds since the epoch.
        reason: why it is stale: `starting`, `crashed` or `ended`.
    """

    source: str
    state: Literal["live", "stale"]
    since: int
    reason: str = ""


@attrs.frozen
class IntakeStatistics:
    """What the sources have done.

    Attributes:
        states: one for each source, in order of preference.
        restarts: by source.
        faults: by source and kind, those a source got over by itself.
    """

    states: tuple[SourceState, ...]
    restarts: dict[str, int]
    faults: dict[tuple[str, str], int]


class Intake:
    """Runs the sources and fills the book."""

    def __init__(
        self,
        sources: Sequence[Source],
        book: Book,
        policy: RestartPolicy,
        *,
        wall_ms: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        """Prepare; `run` begins.

        Args:
            sources: the most preferred first.
            book: where quotes go.
            policy: when to restart a source that crashed.
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
        self._restarts: Counter[str] = Counter({source.name: 0 for source in self._sources})
        self._faults: Counter[tuple[str, str]] = Counter()

    @property
    def states(self) -> tuple[SourceState, ...]:
        """The state of each source, the most preferred first."""
        return tuple(self._states.values())

    @property
    def live(self) -> bool:
        """Whether any source is live."""
        return any(state.state == "live" for state in self._states.values())

    def statistics(self) -> IntakeStatistics:
        """Return what the sources have done so far."""
        return IntakeStatistics(self.states, dict(self._restarts), dict(self._faults))

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
            stopped=lambda reason: self._set(source.name, "stale", reason),
            restarting=restarting,
        )

    async def _consume(self, source: Source) -> None:
        """Take in one life of a source."""
        async with trio.as_safe_channel(source.batches)() as batches:
            async for batch in batches:
                for _ in range(self._book.apply(batch)):
                    self.count_fault(source.name, "unknown_symbol")
                if self._states[source.name].state == "stale":
                    self._set(source.name, "live", "")

    def _set(self, source: str, state: Literal["live", "stale"], reason: str) -> None:
        self._states[source] = SourceState(source, state, self._wall_ms(), reason)
        log.info("source_state", source=source, state=state, reason=reason)
        self._changed()
