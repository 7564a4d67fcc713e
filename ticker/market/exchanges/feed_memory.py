"""What outlives a life of a feed, so that an exchange's limits hold across restarts."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ticker.limits import FEED_CANDLES_CONNECTS, FEED_CONNECTS_SECONDS, FEED_REST_CONNECTS
from ticker.market.exchanges.connect_pauses import ConnectBudget, RestTurns
from ticker.market.exchanges.dialect import Listing
from ticker.market.exchanges.subscriptions import Refusals

__all__ = ["FeedMemory", "FeedRecord"]


@attrs.define
class FeedRecord:
    """What a feed has done over all its lives, for `ticker doctor`.

    Attributes:
        connections: how many were opened.
        batches: how many requests the exchange acknowledged.
        confirmed: how many symbols it confirmed on the newest connection.
        checked: its catalogue was asked, and has all of our symbols or is `listed` as a whole.
        listed: how many symbols its catalogue has; None where only ours were asked for.
        compared: how many prices of REST were compared with the stream's.
        differed: how many of them differed.
        rest_fault: why REST could not be asked the last time, if so.
        doubts: how often it started anew since the stream stood still.
    """

    connections: int = 0
    batches: int = 0
    confirmed: int = 0
    checked: bool = False
    listed: int | None = None
    compared: int = 0
    differed: int = 0
    rest_fault: str | None = None
    doubts: int = 0


@attrs.define
class FeedMemory:
    """What outlives a life of a feed.

    Attributes:
        budget: when it may connect again, for whatever.
        rest_budget: when it may connect to REST again; less, so that some is left for streams.
        candles_budget: the same for candles, so that the past takes nothing from the proofs.
        turns: when REST may be asked.
        catalogue: what the whole catalogue said, and when.
        refused: symbols whose subscription the exchange refused.
        unlisted: symbols that its catalogue does not have.
        record: what it has done.
    """

    budget: ConnectBudget
    turns: RestTurns
    rest_budget: ConnectBudget = attrs.field(
        factory=lambda: ConnectBudget(FEED_REST_CONNECTS, FEED_CONNECTS_SECONDS)
    )
    candles_budget: ConnectBudget = attrs.field(
        factory=lambda: ConnectBudget(FEED_CANDLES_CONNECTS, FEED_CONNECTS_SECONDS)
    )
    catalogue: tuple[Sequence[Listing], float] | None = None
    refused: Refusals = attrs.field(factory=Refusals)
    unlisted: Refusals = attrs.field(factory=Refusals)
    record: FeedRecord = attrs.field(factory=FeedRecord)

    def may_ask(self, name: str, now: float) -> bool:
        """Tell whether a symbol may be subscribed to: it is listed, for all we know."""
        return self.refused.may_ask(name, now) and self.unlisted.reason(name) is None
