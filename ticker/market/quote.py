"""The value that everything here is about: one price of one symbol at one moment.

Rules for this module: values only, no I/O, no clock, nothing of Ticker imported.

What the detail `full` shows besides is kept apart, in `Details`: successive quotes share it where
it did not change, and who is shown the price alone pays for none of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

#: A symbol is `BASE-QUOTE`, as in `BTC-USD`: what it prices, and what in.
SYMBOL: Final = re.compile(r"[A-Z0-9]{1,20}-[A-Z0-9]{1,20}")

#: What is quoted where the user named no symbol, and where the simulation of each starts.
DEFAULT_SYMBOLS: Final[Mapping[str, Decimal]] = {
    "BTC-USD": Decimal(42000),
    "ETH-USD": Decimal(2500),
    "SOL-USD": Decimal(95),
}


#: Decimals of a change in per cent that is computed here, where the source tells none ...
_CHANGE_PLACES: Final = Decimal("0.0001")
#: ... unless it has so many digits before the point that these are not to be had.
_CHANGE_DIGITS: Final = 20


class Details(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the detail `full` shows besides the price, each where it is known.

    Attributes:
        bid: the best price that is bid.
        ask: the best price that is asked.
        open_24h: the price 24 hours ago.
        high_24h: the highest price within 24 hours.
        low_24h: the lowest price within 24 hours.
        volume_24h: what was traded within 24 hours, in the base currency.
        change_24h: from `open_24h` to the price, in per cent.
        since: since when the figures of 24 hours are known where that is less than 24 hours, in
            milliseconds since the epoch.
    """

    bid: Decimal | None = None
    ask: Decimal | None = None
    open_24h: Decimal | None = None
    high_24h: Decimal | None = None
    low_24h: Decimal | None = None
    volume_24h: Decimal | None = None
    change_24h: Decimal | None = None
    since: int | None = None

    @property
    def has_day(self) -> bool:
        """Whether a figure of 24 hours is among them."""
        return not (self.open_24h is self.high_24h is self.low_24h is self.volume_24h is None)


_NONE: Final = Details()


class Quote(msgspec.Struct, frozen=True, gc=False):
    """One price of one symbol.

    Attributes:
        symbol: `BASE-QUOTE`, matching `SYMBOL`.
        price: exactly as the market gave it; a `Decimal` so that no float noise
            is ever put on the wire. Always finite and above zero.
        time_ms: when the market says the price was made, in milliseconds since the epoch.
        received_ms: when it was last proved to be the symbol's last price, in milliseconds
            since the epoch.
        source: the name of the source that brought it, as in `coinbase`; with the pair where
            that is in another currency, as in `binance:BTC-USDT`; `median` for a price of
            several.
        counted: the sources that a price of several was made of.
        left_out: those whose price was too far from the others'.
        details: what else the source tells of the symbol.
        traded: what was traded since the symbol's quote before, in the base currency, where the
            source tells of every trade.
    """

    symbol: str
    price: Decimal
    time_ms: int
    received_ms: int
    source: str
    counted: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    details: Details | None = None
    traded: Decimal | None = None

    @property
    def bid(self) -> Decimal | None:
        """The best price that is bid."""
        return (self.details or _NONE).bid

    @property
    def ask(self) -> Decimal | None:
        """The best price that is asked."""
        return (self.details or _NONE).ask

    @property
    def open_24h(self) -> Decimal | None:
        """The price 24 hours ago."""
        return (self.details or _NONE).open_24h

    @property
    def high_24h(self) -> Decimal | None:
        """The highest price within 24 hours."""
        return (self.details or _NONE).high_24h

    @property
    def low_24h(self) -> Decimal | None:
        """The lowest price within 24 hours."""
        return (self.details or _NONE).low_24h

    @property
    def volume_24h(self) -> Decimal | None:
        """What was traded within 24 hours, in the base currency."""
        return (self.details or _NONE).volume_24h

    @property
    def change_24h(self) -> Decimal | None:
        """The change within 24 hours, in per cent."""
        return (self.details or _NONE).change_24h

    @property
    def since(self) -> int | None:
        """Since when the figures of 24 hours are known, where that is less than 24 hours."""
        return (self.details or _NONE).since


def in_full(quote: Quote, day: Details | None) -> Quote:
    """Return a quote as the detail `full` shows it.

    Args:
        quote: as its source brought it.
        day: the figures of 24 hours from our own bars, for where the source tells none.
    """
    details = quote.details
    if details is None or not details.has_day:
        if day is None:
            return quote
        if details is not None:
            day = msgspec.structs.replace(day, bid=details.bid, ask=details.ask)
        details = day
    if details.change_24h is None and details.open_24h:
        change = (quote.price - details.open_24h) / details.open_24h * 100
        if abs(change.adjusted()) < _CHANGE_DIGITS:
            change = change.quantize(_CHANGE_PLACES)
        details = msgspec.structs.replace(details, change_24h=change)
    if details is quote.details:
        return quote
    return msgspec.structs.replace(quote, details=details)
