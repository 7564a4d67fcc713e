"""What is said on one connection to an exchange, from subscribing to the end.

Rules: pure; messages and times are arguments. A message that makes no sense is counted
and passed over here, and nothing of it gets further; what was asked for is remembered
until it is acknowledged; a number left out in a symbol's trades is counted as a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs

from ticker.limits import AFFIRM_SECONDS, FEED_DETAIL_CHARACTERS
from ticker.market.exchanges.events import (
    Alive,
    BadMessage,
    Ending,
    Event,
    Ignored,
    PriceSeen,
    Refused,
    Subscribed,
)
from ticker.market.exchanges.price_filter import PriceFilter

__all__ = ["Conversation", "Dialect"]


@attrs.frozen(kw_only=True)
class Dialect:
    """What an exchange does its own way.

    Attributes:
        name: what the source is called.
        url: its public address.
        parse: reads one message.
        canonical: the exchange's symbol, in our form, for one of ours.
        subscriptions: the messages that subscribe to these symbols of the exchange.
        catalogue_url: where to ask for all symbols, given the address in use.
        catalogue_request: asks for them.
        names_unknown: it refuses an unknown symbol; otherwise it is silent about it, and
            the catalogue is read before the first subscription.
        any_message_is_alive: its heartbeat comes only where there is nothing else to say;
            otherwise only the heartbeat is a sign of life.
        pings: it has no heartbeat, so that we send pings and take the pongs for one.
        consecutive: the trades of a symbol are numbered without gaps, and we see them all.
        lifetime_seconds: after this long the connection is replaced, where the exchange
            would end it soon after.
        most_symbols: how many one connection may subscribe to, where there is a limit.
    """

    name: str
    url: str
    parse: Callable[[bytes | str], Sequence[Event]]
    canonical: Callable[[str], str] = str
    subscriptions: Callable[[Sequence[str]], Sequence[str]]
    catalogue_url: Callable[[str], str] = str
    catalogue_request: str
    names_unknown: bool = True
    any_message_is_alive: bool = False
    pings: bool = False
    consecutive: bool = False
    lifetime_seconds: float | None = None
    most_symbols: int | None = None


class Conversation:
    """The state of one connection; what it learns of prices goes to the sieve.

    Attributes:
        unacknowledged: the symbols whose subscription the exchange has not confirmed yet.
        refusal: why it refused, once it has.
        ending: the exchange has said that it will end the connection soon.
    """

    def __init__(
        self,
        dialect: Dialect,
        symbols: Iterable[str],
        sieve: PriceFilter,
        report: Callable[[str, str], None],
    ) -> None:
        self._dialect: Final = dialect
        self._sieve: Final = sieve
        self._report: Final = report
        self._numbers: dict[str, int] = {}
        self._announced: dict[str, int] = {}
        self._affirmed_ms = 0
        self.unacknowledged: set[str] = set(symbols)
        self.refusal: str | None = None
        self.ending = False

    def hear(self, raw: bytes | str, now_ms: int) -> bool:
        """Take in one message; return whether it is a sign of life."""
        try:
            events = self._dialect.parse(raw)
        except BadMessage as error:
            self._report("bad_message", str(error)[:FEED_DETAIL_CHARACTERS])
            return False
        alive = self._dialect.any_message_is_alive
        if alive and now_ms - self._affirmed_ms >= AFFIRM_SECONDS * 1000:
            self._affirmed_ms = now_ms
            self._sieve.affirm(None, None, now_ms)
        for event in events:
            self._take(event, now_ms)
            alive = alive or isinstance(event, Alive)
        return alive

    def _take(self, event: Event, now_ms: int) -> None:
        match event:
            case PriceSeen():
                self._count(event)
                self._sieve.take(event, now_ms)
            case Alive():
                self._compare(event)
                self._sieve.affirm(event.symbol, event.number, now_ms)
            case Subscribed():
                confirmed = self.unacknowledged if event.symbols is None else event.symbols
                self.unacknowledged = self.unacknowledged.difference(confirmed)
            case Refused():
                self.refusal = event.reason[:FEED_DETAIL_CHARACTERS]
            case Ending():
                self.ending = True
            case Ignored():
                self._report("unknown_type", event.kind[:FEED_DETAIL_CHARACTERS])

    def pong(self, now_ms: int) -> None:
        """Learn that a ping was answered, and with it everything said before it."""
        self._sieve.affirm(None, None, now_ms)

    def _count(self, seen: PriceSeen) -> None:
        """Compare a trade's number with the last one's of this connection."""
        if seen.number is None:
            return
        last = self._numbers.get(seen.symbol)
        if last is not None and seen.number < last:
            self._report("out_of_order", f"{seen.symbol} {seen.number} after {last}")
            return
        if last is not None and self._dialect.consecutive and seen.number > last + 1:
            self._report("gap", f"{seen.symbol} {seen.number - last - 1} trades left out")
        self._numbers[seen.symbol] = seen.number

    def _compare(self, alive: Alive) -> None:
        """See whether the trade that the heartbeat before told of has come by now."""
        if alive.symbol is None or alive.number is None:
            return
        announced = self._announced.get(alive.symbol, 0)
        if self._numbers.get(alive.symbol, announced) < announced:
            self._report("gap", f"{alive.symbol} trade {announced} left out")
            self._numbers[alive.symbol] = announced
        self._announced[alive.symbol] = alive.number
