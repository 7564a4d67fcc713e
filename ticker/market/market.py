"""One market, put together: its sources, the newest prices, and their way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from ticker.market.book import Book
from ticker.market.broadcast import Broadcast, TickInterval, Turns
from ticker.market.condition import Condition, SourceState
from ticker.market.followed import Followed
from ticker.market.hub import Hub
from ticker.market.ingest import Ingest
from ticker.market.past import Past


@attrs.frozen(kw_only=True)
class Market:
    """The parts of one market.

    Attributes:
        book: the newest quotes.
        hub: the topics and who subscribes to them.
        ingest: the sources, which this process may run.
        followed: what another process says of them that runs them instead.
        broadcast: the ticks, where this process makes them.
        turns: how the market moves, wherever its ticks are made.
        past: what looks after the bars.
        interval: between two ticks.
        wall: the wall clock, in seconds since the epoch.
    """

    book: Book
    hub: Hub
    ingest: Ingest
    followed: Followed
    broadcast: Broadcast
    turns: Turns
    past: Past
    interval: TickInterval
    wall: Callable[[], float]

    def wall_ms(self) -> int:
        """Return the wall clock in milliseconds since the epoch."""
        return int(self.wall() * 1000)

    @property
    def status(self) -> tuple[SourceState, ...]:
        """The state of each source, the most preferred first."""
        followed = self.followed.condition
        return self.ingest.states if followed is None else followed.states

    def condition(self) -> Condition:
        """Return all that is to be said of the sources and prices now."""
        return self.followed.condition or self.ingest.condition()

    def stale(self) -> Mapping[str, str]:
        """Return the symbols that have no good price, and why."""
        followed = self.followed.condition
        return self.ingest.stale() if followed is None else followed.stale

    def not_ready(self) -> str | None:
        """Say why prices are not fresh; None while they are."""
        followed = self.followed.condition
        if not (self.ingest.live if followed is None else followed.live):
            reasons = ", ".join(f"{state.source} {state.reason}" for state in self.status)
            return f"no source is live: {reasons}"
        if not (self.ingest.fresh() if followed is None else followed.fresh):
            return "every price is stale"
        return None
