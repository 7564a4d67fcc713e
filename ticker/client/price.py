"""A price as the stream shows it.

Rules for this module: values only.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec


class Price(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One symbol's price.

    Attributes:
        symbol: as in `BTC-USD`.
        price: exactly as on the wire, with its decimals.
        timestamp: when the market made it, in whole seconds since the epoch.
        source: the exchange it came from; None for simulated prices.
        bid, ask: the best offers; these and what follows only with the detail `full`, and None
            where it is not known.
        open_24h, high_24h, low_24h: of the last 24 hours.
        volume_24h: how much of the base currency was traded in them.
        change_24h: by how many per cent the price has changed in them.
        since: since when these are known, where that is less than 24 hours, in milliseconds since
            the epoch.
    """

    symbol: str
    price: Decimal
    timestamp: int
    source: str | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    open_24h: Decimal | None = None
    high_24h: Decimal | None = None
    low_24h: Decimal | None = None
    volume_24h: Decimal | None = None
    change_24h: Decimal | None = None
    since: int | None = None

    def __post_init__(self) -> None:
        if not self.price.is_finite():
            raise ValueError("a price must be finite")
