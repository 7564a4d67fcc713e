"""The first message of every stream."""

from __future__ import annotations

from ticker import __version__
from ticker.market.market import Market
from ticker.protocol.messages import Welcome
from ticker.streams.terms import Terms


def welcome(terms: Terms, market: Market) -> Welcome:
    """Tell a client who it is, what it may have, and where the market is."""
    return Welcome(
        user_id=terms.grant.user_id,
        role=terms.grant.role,
        symbols=terms.allowed("subscribe"),
        tick_ms=market.interval.milliseconds,
        expires_in=terms.expires_in,
        time=market.wall_ms(),
        version=__version__,
        epoch=market.hub.published.epoch,
        seq=market.hub.published.seq,
    )
