"""What a running Ticker says in the mode `every`, as `ticker record --from` writes it down.

It is no exchange to connect to, since there is no trade on it; but a recording of it plays as one.
Each symbol is already in our form (docs/protocol.md).

Rules for this module: pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ticker.market.exchanges.decoding import decoded
from ticker.market.exchanges.events import PriceSeen, checked_price


class _Price(msgspec.Struct):
    symbol: str
    price: Decimal
    timestamp: int


class _Ticker(msgspec.Struct):
    data: list[_Price]
    seq: int


_tickers: Final = msgspec.json.Decoder(_Ticker)


def recognises(message: Mapping[str, msgspec.Raw]) -> bool:
    """Say whether a message of a recording is a Ticker's, by its fields."""
    return "data" in message and "seq" in message and bytes(message.get("type", b"")) == b'"ticker"'


def parse(raw: bytes) -> Sequence[PriceSeen]:
    """Return the prices of one tick; raises BadMessage where there cannot be such a message."""
    return [
        PriceSeen(each.symbol, checked_price(each.price), each.timestamp * 1000)
        for each in decoded(_tickers, raw).data
    ]
