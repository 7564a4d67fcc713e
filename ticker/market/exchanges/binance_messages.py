"""The messages of Binance's combined spot streams.

- Streams: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
- Prices of all symbols (`ticker.price`), which serve as the catalogue:
  https://developers.binance.com/docs/binance-spot-api-docs/websocket-api/market-data-requests

A symbol comes without a separator (`BTCUSDT`), so that the quote asset is told by the
table below. There is no heartbeat but the ping frames of the WebSocket itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ticker.market.exchanges.events import (
    UNREADABLE,
    BadMessage,
    Ending,
    Event,
    Ignored,
    PriceSeen,
    Refused,
    Subscribed,
    Tradable,
    checked_price,
    checked_symbol,
)

__all__ = ["QUOTE_ASSETS", "parse", "split_symbol"]

#: What is traded against at Binance, now or in old recordings. The longest that fits wins.
QUOTE_ASSETS: Final = (
    *("FDUSD", "USDT", "USDC", "USDS", "TUSD", "BUSD", "BIDR", "IDRT", "BKRW", "BVND", "EURI"),
    *("USD1", "USDE", "XUSD", "AEUR", "DOGE", "BFUSD"),
    *("BTC", "ETH", "BNB", "XRP", "TRX", "SOL", "DOT", "DAI", "PAX", "VAI", "UST"),
    *("EUR", "GBP", "AUD", "TRY", "BRL", "RUB", "UAH", "ZAR", "NGN", "PLN", "RON", "ARS"),
    *("JPY", "MXN", "CZK", "COP", "IDR", "USD"),
)
_BY_LENGTH: Final = sorted(QUOTE_ASSETS, key=len, reverse=True)


class _Data(msgspec.Struct):
    """What `trade`, `aggTrade` and `bookTicker` have for us; the rest is skipped unread."""

    symbol: str = msgspec.field(name="s", default="")
    price: Decimal | None = msgspec.field(name="p", default=None)
    time_ms: int | None = msgspec.field(name="T", default=None)
    trade: int | None = msgspec.field(name="t", default=None)
    aggregate: int | None = msgspec.field(name="a", default=None)


class _Book(msgspec.Struct):
    symbol: str = msgspec.field(name="s")
    bid: Decimal = msgspec.field(name="b")
    ask: Decimal = msgspec.field(name="a")


class _Listed(msgspec.Struct):
    symbol: str
    price: Decimal


class _Fault(msgspec.Struct):
    code: int = 0
    msg: str = ""


class _Message(msgspec.Struct):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    id: int | str | None = None
    error: _Fault | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    event: str = msgspec.field(name="e", default="")


_decoder = msgspec.json.Decoder(_Message)
_trades = msgspec.json.Decoder(_Data)
_books = msgspec.json.Decoder(_Book)
_catalogue = msgspec.json.Decoder(list[_Listed])
_NOTHING: Final = msgspec.Raw(b"null")


def split_symbol(symbol: str) -> str:
    """Return our `BASE-QUOTE` for a symbol of Binance, as `NKN-USDT` for `NKNUSDT`.

    Raises:
        BadMessage: it ends in no quote asset that we know.
    """
    for asset in _BY_LENGTH:
        if symbol.endswith(asset) and symbol != asset:
            return checked_symbol(f"{symbol.removesuffix(asset)}-{asset}")
    raise BadMessage(f"symbol {symbol[:40]!r} ends in no known quote asset")


def parse(raw: bytes | str | msgspec.Raw) -> Sequence[Event]:
    """Read one message.

    A `bookTicker` is priced at the exact middle between the best bid and the best ask.

    Raises:
        BadMessage: it is not what the documentation describes.
    """
    try:
        return _read(_decoder.decode(raw))
    except UNREADABLE as error:
        raise BadMessage(str(error)) from None


def _read(message: _Message) -> Sequence[Event]:
    if "serverShutdown" in (message.stream.removeprefix("!"), message.event):
        return (Ending(),)
    match message.stream.partition("@")[2]:
        case "trade" | "aggTrade":
            trade = _trades.decode(message.data)
            symbol, price = split_symbol(trade.symbol), checked_price(trade.price)
            number = trade.aggregate if trade.trade is None else trade.trade
            return (PriceSeen(symbol, price, trade.time_ms, number),)
        case "bookTicker":
            book = _books.decode(message.data)
            middle = (checked_price(book.bid) + checked_price(book.ask)) / 2
            return (PriceSeen(split_symbol(book.symbol), checked_price(middle)),)
        case "":
            return _answer(message)
        case other:
            return (Ignored(other),)


def _answer(message: _Message) -> Sequence[Event]:
    if message.error is not None:
        return (Refused(f"{message.error.msg} ({message.error.code})"),)
    if message.result == _NOTHING:
        return (Subscribed(),)
    if bytes(message.result):
        return _read_catalogue(_catalogue.decode(message.result))
    if message.stream:
        return (Ignored(message.stream),)
    raise BadMessage("neither a stream nor an answer")


def _read_catalogue(listed: Sequence[_Listed]) -> Sequence[Event]:
    """Return all symbols and their last prices; what trades against the unknown is left out."""
    prices: list[PriceSeen] = []
    for each in listed:
        with contextlib.suppress(BadMessage):
            prices.append(PriceSeen(split_symbol(each.symbol), checked_price(each.price)))
    return (*prices, Tradable(tuple(price.symbol for price in prices)))
