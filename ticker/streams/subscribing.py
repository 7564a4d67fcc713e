"""From what a client asks for to the subscription it gets, under the policy of its role.

Rules for this module: values in, values out; nothing is subscribed here.
"""

from __future__ import annotations

from typing import Literal

import attrs

from ticker import limits
from ticker.market.broadcast import TickInterval
from ticker.market.market import Market
from ticker.protocol.requests import Subscribe
from ticker.streams.terms import Terms


@attrs.frozen
class Wanted:
    """A subscription that is granted.

    Attributes:
        symbols: in the order to show them.
        every: the interval in ticks.
    """

    symbols: tuple[str, ...]
    every: int


class SubscriptionRefusedError(Exception):
    """A subscription is not granted; the text is for the client, and `code` its error code."""

    def __init__(self, code: Literal["unknown_symbol", "forbidden"], text: str) -> None:
        super().__init__(text)
        self.code = code


def grant_subscription(request: Subscribe, terms: Terms, market: Market) -> Wanted:
    """Turn a request into a subscription.

    Raises:
        SubscriptionRefusedError: a symbol is unknown or the role may not have it.
    """
    allowed = terms.allowed("subscribe")
    symbols = allowed if request.symbols is None else tuple(dict.fromkeys(request.symbols))
    for symbol in symbols:
        if symbol not in market.book:
            text = f"there is no symbol {symbol[: limits.SYMBOL_CHARS]!r}"
            raise SubscriptionRefusedError("unknown_symbol", text)
    denied = [symbol for symbol in symbols if symbol not in allowed]
    if denied or not symbols:
        text = f"your role may not subscribe to {denied[0] if denied else 'any symbol'}"
        raise SubscriptionRefusedError("forbidden", text)
    return Wanted(symbols, ticks_in(request.interval_ms, terms, market.interval))


def ticks_in(interval_ms: int | None, terms: Terms, interval: TickInterval) -> int:
    """Turn an interval into ticks: never faster than the tick or the role allows."""
    fastest = terms.limits.fastest_interval_ms or 0
    return interval.ticks_in(max(interval_ms or 0, fastest))
