"""What an exchange does its own way, as facts and pure functions: a `Dialect`.

Rules for a dialect: no I/O and no clock. It translates symbols, writes requests, reads
messages, and states the limits that the exchange documents; the feed keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias

import attrs
import msgspec

from ticker.limits import FEED_CONNECTS, FEED_CONNECTS_SECONDS, FEED_REQUEST_SECONDS
from ticker.market.candles import ExactBar
from ticker.market.exchanges.decoding import BadMessage
from ticker.market.exchanges.events import Event
from ticker.market.quote import Details

__all__ = ["Dialect", "Listing", "Question", "Rest", "RestPrice"]


class Listing(msgspec.Struct, frozen=True, gc=False):
    """What an exchange's catalogue says of one symbol.

    Attributes:
        name: what its streams call it.
        symbol: ours, `BASE-QUOTE`, of the exchange's own fields for the two currencies.
        trading: whether it is traded now.
        status: the exchange's word for that, for a user.
        tick: the smallest step of its price, where the catalogue says.
        keys: what REST calls it, where that is something else.
    """

    name: str
    symbol: str
    trading: bool = True
    status: str = ""
    tick: Decimal | None = None
    keys: tuple[str, ...] = ()


#: A REST address without the host, and the symbols that its answer tells the prices of.
Question: TypeAlias = tuple[str, Sequence[Listing]]


class RestPrice(msgspec.Struct, frozen=True, gc=False):
    """The last price of a symbol as REST tells it; the time is the exchange's, if it tells.

    `details` are what it tells besides, where the stream does not.
    """

    price: Decimal
    time_ms: int | None = None
    details: Details | None = None


def _no_candles(body: bytes) -> Sequence[ExactBar]:
    raise BadMessage(f"candles were not asked for: {body[:40]!r}")


@attrs.frozen(kw_only=True)
class Rest:
    """How an exchange is asked over HTTP. Readers raise `BadMessage`.

    Attributes:
        url: its public address, without a path.
        listings: where to ask what it lists: all of it or, given names, at least those.
        read_listings: reads the answer.
        prices: where to ask the last prices of some symbols, in as few questions as it allows.
        read_prices: reads one answer; by the stream's name of the symbol.
        seconds: the least time between two questions.
        candles: where to ask for the candles of a step, as in `1m`, of a symbol, which begin from a
            time on and before another, in milliseconds since the epoch; None where it has none.
        read_candles: reads the answer; maybe more than was asked for, in any order.
        candles_at_once: how many candles one question may be about.
        candles_reach: how many of the newest candles it tells at all; None for any.
        details_seconds: how often to ask for prices, for what REST tells besides; None where the
            stream tells that.
    """

    url: str
    listings: Callable[[Sequence[str] | None], str]
    read_listings: Callable[[bytes], Sequence[Listing]]
    prices: Callable[[Sequence[Listing]], Sequence[Question]]
    read_prices: Callable[[bytes, Sequence[Listing]], Mapping[str, RestPrice]]
    seconds: float = 0.25
    candles: Callable[[Listing, str, int, int], str] | None = None
    read_candles: Callable[[bytes], Sequence[ExactBar]] = _no_candles
    candles_at_once: int = 0
    candles_reach: int | None = None
    details_seconds: float | None = None


def _as_it_is(text: str) -> str:
    return text


@attrs.frozen(kw_only=True)
class Dialect:
    """What an exchange does its own way.

    Attributes:
        name: what the source is called.
        url: its public address.
        rest: how it is asked over HTTP.
        theirs: its streams' name for one of our symbols.
        guess: our symbol for a name of its streams, for recordings, which do not say.
        substitute: what is quoted for a symbol that the exchange does not have as such.
        recognises: whether a message of a recording is its, by the message's fields.
        address: the address to connect to, for the one that was given.
        parse: reads one message.
        subscribe: the messages that ask for these names, given the number of the request.
        batch: how many names one request may have.
        request_seconds: the least time between two requests.
        refuses_whole: where one name of a request is refused, none of it is subscribed to.
        holdings: asks what the connection is subscribed to, given the number of the request.
        snapshots: it sends the last price upon subscribing.
        any_message_is_alive: its heartbeat comes only where there is nothing else to say;
            otherwise only the heartbeat is a sign of life.
        ping: the text message that it answers as a sign of life.
        pings: it has no heartbeat, so that we send ping frames and take the pongs for one.
        consecutive: the trades of a symbol are numbered without gaps, and we see them all.
        every_trade: the stream has every trade with its size, so that what was traded adds up.
        lifetime_seconds: after this long the connection is replaced, where the exchange
            would end it soon after.
        most_symbols: how many one connection may subscribe to, where there is a limit.
        connects: how many connections in `connects_seconds` are within its budget.
    """

    name: str
    url: str
    rest: Rest
    theirs: Callable[[str], str] = _as_it_is
    guess: Callable[[str], str] = _as_it_is
    substitute: Callable[[str], str] = _as_it_is
    recognises: Callable[[Mapping[str, msgspec.Raw]], bool]
    address: Callable[[str], str] = _as_it_is
    parse: Callable[[bytes | str], Sequence[Event]]
    subscribe: Callable[[Sequence[str], int], Sequence[str]]
    batch: int
    request_seconds: float = FEED_REQUEST_SECONDS
    refuses_whole: bool = False
    holdings: Callable[[int], str] | None = None
    snapshots: bool = True
    any_message_is_alive: bool = False
    ping: str | None = None
    pings: bool = False
    consecutive: bool = False
    every_trade: bool = False
    lifetime_seconds: float | None = None
    most_symbols: int | None = None
    connects: int = FEED_CONNECTS
    connects_seconds: float = FEED_CONNECTS_SECONDS
