"""One market, put together: its sources, the newest prices, and their way out."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ticker.market.book import Book
from ticker.market.broadcast import Broadcast, TickInterval
from ticker.market.hub import Hub
from ticker.market.ingest import Ingest, SourceState


@attrs.frozen(kw_only=True)
class Market:
    """The parts of one market.

    Attributes:
        book: the newest quotes.
        hub: the topics and who subscribes to them.
        ingest: the sources.
        broadcast: the ticks.
        interval: between two ticks.
        wall: the wall clock, in seconds since the epoch.
    """

    book: Book
    hub: Hub
    ingest: Ingest
    broadcast: Broadcast
    interval: TickInterval
    wall: Callable[[], float]

    def wall_ms(self) -> int:
        """Return the wall clock in milliseconds since the epoch."""
        return int(self.wall() * 1000)

    @property
    def status(self) -> tuple[SourceState, ...]:
        """The state of each source, the most preferred first."""
        return self.ingest.states

    def not_ready(self) -> str | None:
        """Say why prices are not fresh; None while they are."""
        if not self.ingest.live:
            reasons = ", ".join(f"{state.source} {state.reason}" for state in self.status)
            return f"no source is live: {reasons}"
        if not self.ingest.fresh():
            return "every price is stale"
        return None
