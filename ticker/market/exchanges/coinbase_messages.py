"""The messages of Coinbase's Exchange feed.

- Channels: https://docs.cdp.coinbase.com/exchange/websocket-feed/channels
- Errors, sequence numbers: https://docs.cdp.coinbase.com/exchange/websocket-feed/overview

`ticker` comes with every match (cascading ones batched) and once upon subscribing;
`heartbeat` once a second and product, with the number of its last trade.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from ticker.market.exchanges.events import (
    UNREADABLE,
    Alive,
    BadMessage,
    Event,
    Ignored,
    PriceSeen,
    Refused,
    Subscribed,
    Tradable,
    checked_price,
    checked_symbol,
    milliseconds,
)

__all__ = ["parse"]


class _Channel(msgspec.Struct):
    name: str
    product_ids: list[str] = []


class _Product(msgspec.Struct):
    id: str


class _Message(msgspec.Struct):
    type: str
    product_id: str = ""
    price: Decimal | None = None
    time: datetime | None = None
    trade_id: int | None = None
    last_trade_id: int | None = None
    channels: list[_Channel] = []
    products: list[_Product] = []
    message: str = ""
    reason: str = ""


_decoder = msgspec.json.Decoder(_Message)


def parse(raw: bytes | str | msgspec.Raw) -> Sequence[Event]:
    """Read one message.

    Raises:
        BadMessage: it is not what the documentation describes.
    """
    try:
        message = _decoder.decode(raw)
    except UNREADABLE as error:
        raise BadMessage(str(error)) from None
    match message.type:
        case "ticker":
            symbol, price = checked_symbol(message.product_id), checked_price(message.price)
            return (PriceSeen(symbol, price, milliseconds(message.time), message.trade_id),)
        case "heartbeat":
            return (Alive(checked_symbol(message.product_id), message.last_trade_id),)
        case "subscriptions":
            tickers = (c.product_ids for c in message.channels if c.name == "ticker")
            return (Subscribed(tuple(symbol for ids in tickers for symbol in ids)),)
        case "status":
            return (Tradable(tuple(product.id for product in message.products)),)
        case "error":
            return (Refused(f"{message.message}: {message.reason}".rstrip(": ")),)
        case other:
            return (Ignored(other),)
