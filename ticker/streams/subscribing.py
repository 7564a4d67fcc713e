"""From what a client asks for to the subscription it gets, under the policy of its role.

Rules for this module: values in, values out; nothing is subscribed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

from ticker import limits
from ticker.http.refusal import FORBIDDEN, Refusal, RefusedError
from ticker.market.broadcast import TickInterval
from ticker.market.market import Market
from ticker.protocol.details import Detail, Mode
from ticker.protocol.messages import Subscribed
from ticker.protocol.requests import NO_ID, RequestId, Subscribe
from ticker.redaction import redact
from ticker.streams.own_sets import OwnSets
from ticker.streams.subscription_query import QueryError, read_event_id, read_subscription
from ticker.streams.terms import Terms


@attrs.frozen
class Wanted:
    """A subscription that is granted.

    Attributes:
        symbols: in the order to show them.
        every: the interval in ticks.
        mode: what of the market a frame holds.
        detail: what of a quote is shown.
        seq: the tick that the client has and is brought on from; None for a snapshot first.
        resumed: whether that was asked for, and granted; None where it was not asked for.
        account: the key whose account the symbols are on; empty where they are on none.
    """

    symbols: tuple[str, ...]
    every: int
    mode: Mode = "latest"
    detail: Detail = "price"
    seq: int | None = None
    resumed: bool | None = None
    account: str = ""

    def in_force(self, market: Market, request_id: RequestId = NO_ID) -> Subscribed:
        """Return the message that tells of it."""
        return Subscribed(
            id=request_id,
            symbols=self.symbols,
            interval_ms=self.every * market.interval.milliseconds,
            mode=self.mode,
            detail=self.detail,
            epoch=market.hub.published.epoch,
            seq=market.hub.published.seq,
            resumed=self.resumed,
        )


class SubscriptionRefusedError(Exception):
    """A subscription is not granted; the text is for the client, and `code` its error code."""

    def __init__(self, code: Literal["unknown_symbol", "forbidden"], text: str) -> None:
        super().__init__(text)
        self.code = code


def grant_subscription(request: Subscribe, terms: Terms, market: Market) -> Wanted:
    """Turn a request into a subscription.

    Raises:
        SubscriptionRefusedError: a symbol is unknown, or the role may not have it or be sent
            every tick.
    """
    allowed = terms.allowed("subscribe")
    symbols = allowed
    if request.symbols is not None:
        symbols = tuple(dict.fromkeys(request.symbols))
        _check_symbols(symbols, allowed, market)
    if not symbols:
        raise SubscriptionRefusedError("forbidden", "your role may not subscribe to any symbol")
    every = ticks_in(request.interval_ms, terms, market.interval)
    mode = request.mode or "latest"
    if mode == "every" and every != 1:
        raise SubscriptionRefusedError("forbidden", "your role may not have every tick")
    wanted = Wanted(symbols, every, mode, request.detail or "price")
    resume = request.resume
    if resume is None:
        return wanted
    resumed = market.hub.resumable(mode, resume.epoch, resume.seq)
    return attrs.evolve(wanted, seq=resume.seq if resumed else None, resumed=resumed)


def _check_symbols(symbols: Sequence[str], allowed: Sequence[str], market: Market) -> None:
    for symbol in symbols:
        if symbol not in market.book:
            text = f"there is no symbol {symbol[: limits.SYMBOL_CHARS]!r}"
            raise SubscriptionRefusedError("unknown_symbol", text)
    if len(allowed) < len(market.book.symbols):
        known = frozenset(allowed)
        for symbol in symbols:
            if symbol not in known:
                text = f"your role may not subscribe to {symbol}"
                raise SubscriptionRefusedError("forbidden", text)


def price(request: Subscribe, wanted: Wanted) -> int:
    """Return the work that a subscription makes, in symbols: those read, and those of its snapshot.

    A quote is some eighty bytes of a snapshot, and takes as long as a symbol that is looked up.
    """
    return len(request.symbols or ()) + len(wanted.symbols)


def charge(wanted: Wanted, terms: Terms, own_sets: OwnSets) -> Wanted:
    """Return a subscription with the interval that its key's account leaves it.

    The mode `every` has no interval; it sends only what has changed.
    """
    if wanted.symbols == terms.allowed("subscribe"):
        return wanted
    account, every = terms.grant.key_id, wanted.every
    if wanted.mode != "every":
        every = max(every, own_sets.interval(account, len(wanted.symbols)))
    return attrs.evolve(wanted, every=every, account=account)


def read_query(
    query: str, terms: Terms, market: Market, last_event_id: str | None = None
) -> Subscribe | None:
    """Read the subscription in the query of a request for a stream, and see that it is granted.

    Args:
        query: of the request.
        terms: what the client may have.
        market: what there is.
        last_event_id: of server-sent events, which says better than the query where to resume.

    Returns:
        What to grant once the stream begins; None where the query asks for nothing.

    Raises:
        RefusedError: it cannot be, or the role may not have it.
    """
    try:
        asked = read_subscription(query)
        if last_event_id:
            asked = asked or Subscribe()
            asked.resume = read_event_id(last_event_id)
        if asked is not None:
            grant_subscription(asked, terms, market)
    except QueryError as error:
        text = redact(str(error))[: limits.ERROR_TEXT_CHARS]  # it may quote a misplaced token
        raise RefusedError(Refusal(400, text, "bad_subscription")) from None
    except SubscriptionRefusedError as error:
        if error.code == "forbidden":
            raise RefusedError(FORBIDDEN) from None
        raise RefusedError(Refusal(400, redact(str(error)), "bad_subscription")) from None
    return asked


def whole_market(terms: Terms, interval: TickInterval) -> Wanted:
    """Return the subscription of a client that asks for nothing: everything, maybe nothing."""
    return Wanted(terms.allowed("subscribe"), ticks_in(None, terms, interval))


def ticks_in(interval_ms: int | None, terms: Terms, interval: TickInterval) -> int:
    """Turn an interval into ticks: never faster than the tick or the role allows."""
    fastest = terms.limits.fastest_interval_ms or 0
    return interval.ticks_in(max(interval_ms or 0, fastest))
