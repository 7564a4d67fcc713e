"""What exchanges say, in one vocabulary of events for all of them.

Each module here has one pure function, `parse(raw) -> Sequence[Event]`, that knows the
messages of one exchange; the live feed and the replay of a recording both go through
it. It raises `BadMessage` where a message cannot be what its exchange documents, and
answers `Ignored` for one that is well formed but none of our business.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from ticker.limits import PRICE_EXPONENT
from ticker.market.quote import SYMBOL

__all__ = [
    "UNREADABLE",
    "Alive",
    "BadMessage",
    "Ending",
    "Event",
    "Ignored",
    "PriceSeen",
    "Refused",
    "Subscribed",
    "Tradable",
    "checked_price",
    "checked_symbol",
    "milliseconds",
]


#: What decoding raises on bytes that are not the JSON looked for, however deeply nested.
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class BadMessage(Exception):  # noqa: N818 - it is a message, not a program, that is wrong
    """A message is not what its exchange documents. The text is short and for the log."""


class PriceSeen(msgspec.Struct, frozen=True, gc=False):
    """A price. `number` grows with every trade of the symbol where the exchange numbers them."""

    symbol: str
    price: Decimal
    time_ms: int | None = None
    number: int | None = None


class Alive(msgspec.Struct, frozen=True, gc=False):
    """A heartbeat, of one symbol or, without one, of the whole connection.

    `number` is that of the newest trade, where the exchange tells.
    """

    symbol: str | None = None
    number: int | None = None


class Subscribed(msgspec.Struct, frozen=True, gc=False):
    """The exchange acknowledges what was asked for: these symbols, or, without any, all of it."""

    symbols: tuple[str, ...] | None = None


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The exchange refuses what was asked for, and says why."""

    reason: str


class Tradable(msgspec.Struct, frozen=True, gc=False):
    """Symbols that the exchange has."""

    symbols: tuple[str, ...]


class Ending(msgspec.Struct, frozen=True, gc=False):
    """The exchange is about to end the connection and wants it replaced."""


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """A message of a kind that is none of our business."""

    kind: str


Event: TypeAlias = PriceSeen | Alive | Subscribed | Refused | Tradable | Ending | Ignored


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


def milliseconds(moment: datetime | None) -> int | None:
    """Return a moment in milliseconds since the epoch; one without a zone is in UTC."""
    if moment is None:
        return None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(zoned.timestamp() * 1000)


def checked_symbol(symbol: str) -> str:
    """Return `symbol` where it has our form.

    Raises:
        BadMessage: it does not.
    """
    if SYMBOL.fullmatch(symbol) is None:
        raise BadMessage(f"symbol {symbol[:40]!r}")
    return symbol
