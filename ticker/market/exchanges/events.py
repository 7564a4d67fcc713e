"""What exchanges say, in one vocabulary of events for all of them.

Each exchange's file has one pure function, `parse(raw) -> Sequence[Event]`, that knows its
messages; the live feed and the replay of a recording both go through it. It raises
`BadMessage` where a message cannot be what its exchange documents, and answers `Ignored` for
one that is well formed but of no use here. Symbols in events are the exchange's own names,
exactly as it sent them: what we call them follows from what was asked for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeAlias, TypeGuard

import msgspec

from ticker.limits import PRICE_EXPONENT, SYMBOL_CHARACTERS
from ticker.market.exchanges.decoding import BadMessage
from ticker.market.kept_bars import ExactBar
from ticker.market.quote import Details

__all__ = [
    "Alive",
    "DetailsSeen",
    "Ending",
    "Event",
    "Halted",
    "Holding",
    "Ignored",
    "PriceSeen",
    "Refused",
    "Subscribed",
    "checked_bar",
    "checked_details",
    "checked_name",
    "checked_price",
    "milliseconds",
    "price_or_none",
    "volume_or_none",
]


class PriceSeen(msgspec.Struct, frozen=True, gc=False):
    """A price, and whatever else of the symbol comes with it.

    Attributes:
        symbol: the exchange's name.
        price: of the last trade.
        time_ms: the exchange's time.
        number: grows with every trade of the symbol where the exchange numbers them.
        size: what the last trade traded, in the base currency, where that can be true.
        details: what else it says of the symbol.
    """

    symbol: str
    price: Decimal
    time_ms: int | None = None
    number: int | None = None
    size: Decimal | None = None
    details: Details | None = None


class DetailsSeen(msgspec.Struct, frozen=True, gc=False):
    """What an exchange says of a symbol besides its price, and maybe that without a trade."""

    symbol: str
    details: Details


class Alive(msgspec.Struct, frozen=True, gc=False):
    """A heartbeat, of one symbol or, without one, of the whole connection.

    `number` and `price` are those of the newest trade, where the exchange tells.
    """

    symbol: str | None = None
    number: int | None = None
    price: Decimal | None = None


class Subscribed(msgspec.Struct, frozen=True, gc=False):
    """The exchange acknowledges a request: for these symbols, or, without any, all of it.

    `request` is the number of the request, where the exchange repeats it.
    """

    symbols: tuple[str, ...] | None = None
    request: int | None = None


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The exchange refuses a request, for these symbols or, without any, does not say for which."""

    reason: str
    symbols: tuple[str, ...] = ()
    request: int | None = None


class Holding(msgspec.Struct, frozen=True, gc=False):
    """The exchange lists what this connection is subscribed to, as it was asked to."""

    symbols: tuple[str, ...]
    request: int | None = None


class Halted(msgspec.Struct, frozen=True, gc=False):
    """Nothing is traded at the whole exchange, and why; with None, it is again."""

    reason: str | None


class Ending(msgspec.Struct, frozen=True, gc=False):
    """The exchange is about to end the connection and wants it replaced."""


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """A message of a kind that there is no use for here."""

    kind: str


Event: TypeAlias = (
    PriceSeen | DetailsSeen | Alive | Subscribed | Refused | Holding | Halted | Ending | Ignored
)


def checked_price(price: Decimal | None) -> Decimal:
    """Return `price` where it can be one: finite and above zero.

    Raises:
        BadMessage: it is not there, or cannot be a price.
    """
    if price is None:
        raise BadMessage("no price")
    if not price.is_finite() or price <= 0 or abs(price.adjusted()) > PRICE_EXPONENT:
        raise BadMessage(f"price {str(price)[:40]}")
    sent = +price  # rounds to the 28 digits of the decimal context
    if sent != price:
        raise BadMessage(f"price of more than 28 digits {str(price)[:40]}")
    return sent


def checked_details(
    *,
    bid: Decimal | None = None,
    ask: Decimal | None = None,
    open_24h: Decimal | None = None,
    high_24h: Decimal | None = None,
    low_24h: Decimal | None = None,
    volume_24h: Decimal | None = None,
    change_24h: Decimal | None = None,
) -> Details:
    """Return what of some details can be true; the rest is left out.

    A price must be as `checked_price` says, a volume not below zero, a bid not above the ask, a low
    not above the high. None of them is worth losing the message's price for.
    """
    bid, ask = _in_order(price_or_none(bid), price_or_none(ask))
    low_24h, high_24h = _in_order(price_or_none(low_24h), price_or_none(high_24h))
    return Details(
        bid,
        ask,
        price_or_none(open_24h),
        high_24h,
        low_24h,
        volume_or_none(volume_24h),
        change_24h if _possible(change_24h) else None,
    )


def _in_order(
    lower: Decimal | None, upper: Decimal | None
) -> tuple[Decimal | None, Decimal | None]:
    """Return two prices, or neither where the first is above the second."""
    crossed = lower is not None and upper is not None and lower > upper
    return (None, None) if crossed else (lower, upper)


def price_or_none(price: Decimal | None) -> Decimal | None:
    """Return a price where it can be one; else None."""
    return price if _possible(price) and price > 0 else None


def _possible(value: Decimal | None) -> TypeGuard[Decimal]:
    return (
        value is not None
        and value.is_finite()
        and abs(value.adjusted()) <= PRICE_EXPONENT
        and +value == value
    )


def checked_bar(
    begin_ms: int,
    opening: Decimal,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    volume: Decimal | None,
) -> ExactBar:
    """Return a candle as a bar.

    Raises:
        BadMessage: its prices or its volume cannot be some, or its time cannot be one.
    """
    opening, high, low, close = map(checked_price, (opening, high, low, close))
    if not low <= min(opening, close) <= max(opening, close) <= high or begin_ms < 0:
        raise BadMessage(f"candle at {begin_ms}")
    checked = volume_or_none(volume)
    if volume is not None and checked is None:
        raise BadMessage(f"volume {str(volume)[:40]}")
    return begin_ms, opening, high, low, close, checked


def volume_or_none(volume: Decimal | None) -> Decimal | None:
    """Return what can have been traded: zero or more, in digits as a price has; else None.

    So it is short as text, however zero was written.
    """
    if not _possible(volume) or volume < 0:
        return None
    return volume if volume or not volume.is_signed() else -volume


def checked_name(symbol: str) -> str:
    """Return an exchange's name of a symbol where it can be one: short and printable.

    Raises:
        BadMessage: it cannot.
    """
    if not symbol or len(symbol) > SYMBOL_CHARACTERS or not symbol.isprintable():
        raise BadMessage(f"symbol {symbol[:40]!r}")
    return symbol


def milliseconds(moment: datetime | None) -> int | None:
    """Return a moment in milliseconds since the epoch; one without a zone is in UTC."""
    if moment is None:
        return None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(zoned.timestamp() * 1000)
