"""The value that everything here is about: one price of one symbol at one moment.

Rules for this module: values only, no I/O, no clock, nothing of Ticker imported.
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
    """

    symbol: str
    price: Decimal
    time_ms: int
    received_ms: int
    source: str
    counted: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
