"""What all the streams of a service share."""

from __future__ import annotations

import attrs

from ticker.market.condition import SourceState
from ticker.market.market import Market
from ticker.pacing import Pacer
from ticker.security.access import Access
from ticker.security.authority import Authority
from ticker.sessions import Sessions
from ticker.streams.own_sets import OwnSets


@attrs.frozen(kw_only=True)
class StreamContext:
    """What a session is given of its surroundings, the same for all of them.

    Attributes:
        market: what is subscribed to.
        access: what a role may have of it.
        authority: which tokens are good.
        sessions: the register of live sessions.
        own_sets: which sets of symbols streams have chosen for themselves.
        pacer: keeps a crowd from holding up the ticks.
        close_seconds: how long a closing handshake may take at most.
        late_close_seconds: likewise with a reader that is behind, which has to read up to it first.
    """

    market: Market
    access: Access
    authority: Authority
    sessions: Sessions
    pacer: Pacer
    close_seconds: float
    late_close_seconds: float
    own_sets: OwnSets = attrs.field(factory=OwnSets)

    def status_for(self, role: str) -> tuple[SourceState, ...]:
        """Return the state of each source as a role may know it, the most preferred first."""
        allowed = self.access.allowed(role, "subscribe")
        return tuple(state.among(allowed) for state in self.market.status)
