"""The source `coinbase`: Coinbase's Exchange feed, public, without an account.

Rules of the exchange that this follows:

- One must subscribe within 5 s of connecting; `subscriptions` acknowledges, listing all that the
  connection has; a product it does not have has the whole request refused with an `error`.
  https://docs.cdp.coinbase.com/exchange/websocket-feed/overview
- `ticker` comes with every match (cascading ones batched) and once upon subscribing.
  `heartbeat` comes each second and product with the number of its last trade, "that can be
  used to verify that no messages were missed": that proves a price, and only a number that
  a heartbeat told of before and that never came is a gap.
  https://docs.cdp.coinbase.com/exchange/websocket-feed/channels
- `ticker` has `best_bid`, `best_ask`, `open_24h`, `high_24h`, `low_24h` and `volume_24h` (of the
  base currency) beside the price; the change is not told, and follows from the open.
- At most 8 connections a second and address, 100 messages every second to it, 10 subscriptions
  a product and channel. https://docs.cdp.coinbase.com/exchange/websocket-feed/rate-limits
- REST: `/products/ID/candles` has candles of a minute or an hour as `[time, low, high, open, close,
  volume]`, 300 in one answer, both ends inclusive; none where nothing was traded.
  https://docs.cdp.coinbase.com/exchange/reference/exchangerestapi_getproductcandles
- REST: `/products` is the catalogue, `/products/ID/ticker` the last trade; 10 a second.
  https://docs.cdp.coinbase.com/exchange/reference/exchangerestapi_getproducts

Symbols are ours unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from urllib.parse import urlencode

import msgspec

from ticker.market.candles import STEPS, ExactBar
from ticker.market.exchanges.decoding import (
    UNREADABLE,
    BadMessage,
    Entries,
    Tolerant,
    decoded,
    good_ones,
)
from ticker.market.exchanges.dialect import Dialect, Listing, Question, Rest, RestPrice
from ticker.market.exchanges.events import (
    Alive,
    Event,
    Ignored,
    PriceSeen,
    Refused,
    Subscribed,
    checked_bar,
    checked_details,
    checked_name,
    checked_price,
    milliseconds,
)
from ticker.market.exchanges.exchange import Exchange
from ticker.market.quote import Details

__all__ = ["DIALECT", "create", "parse"]


class _Channel(msgspec.Struct):
    name: str
    product_ids: list[str] = []


class _Ticker(msgspec.Struct):
    product_id: str = ""
    price: Decimal | None = None
    time: datetime | None = None
    trade_id: int | None = None


class _Tickers(msgspec.Struct):
    tickers: list[_Ticker] = []


class _Message(_Ticker):
    type: str = ""
    last_trade_id: int | None = None
    channels: list[_Channel] = []
    message: str = ""
    reason: str = ""
    channel: str = ""
    events: list[_Tickers] = []
    best_bid: Decimal | None = None
    best_ask: Decimal | None = None
    open_24h: Decimal | None = None
    high_24h: Decimal | None = None
    low_24h: Decimal | None = None
    volume_24h: Decimal | None = None


class _Product(msgspec.Struct):
    id: str
    base_currency: str
    quote_currency: str
    quote_increment: Decimal | None = None
    status: str = "online"
    trading_disabled: bool = False
    cancel_only: bool = False
    post_only: bool = False


_DETAILS: Final = ("best_bid", "best_ask", "open_24h", "high_24h", "low_24h", "volume_24h")
_decoder = Tolerant(_Message, ("time", *_DETAILS))
_products = Entries(_Product)
_one_product = msgspec.json.Decoder(_Product)
_ticker = msgspec.json.Decoder(_Ticker)
_candles = Entries(tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal | None])


def parse(raw: bytes | str) -> Sequence[Event]:
    """Read one message. Recordings may also hold the `ticker` of Advanced Trade, another feed.

    Raises:
        BadMessage: it is not what the documentation describes.
    """
    try:
        return _read(_decoder.decode(raw))
    except UNREADABLE as error:
        raise BadMessage(str(error)) from None


def _read(message: _Message) -> Sequence[Event]:
    match message.type or message.channel:
        case "ticker" if message.type:
            return (_price(message),)
        case "ticker":
            return [_price(ticker) for event in message.events for ticker in event.tickers]
        case "heartbeat":
            if message.last_trade_id is None:
                raise BadMessage("a heartbeat without a number, which would prove any price")
            return (Alive(checked_name(message.product_id), message.last_trade_id),)
        case "subscriptions":
            tickers = (c.product_ids for c in message.channels if c.name == "ticker")
            return (Subscribed(tuple(symbol for ids in tickers for symbol in ids)),)
        case "error":
            return (Refused(f"{message.message}: {message.reason}".rstrip(": ")),)
        case "":
            raise BadMessage("no type")
        case other:
            return (Ignored(other),)


def _price(ticker: _Ticker) -> PriceSeen:
    return PriceSeen(
        checked_name(ticker.product_id),
        checked_price(ticker.price),
        milliseconds(ticker.time),
        ticker.trade_id,
        details=_details(ticker) if isinstance(ticker, _Message) else Details(),
    )


def _details(ticker: _Message) -> Details:
    return checked_details(
        bid=ticker.best_bid,
        ask=ticker.best_ask,
        open_24h=ticker.open_24h,
        high_24h=ticker.high_24h,
        low_24h=ticker.low_24h,
        volume_24h=ticker.volume_24h,
    )


def _recognises(message: Mapping[str, msgspec.Raw]) -> bool:
    return "events" in message or ("type" in message and "channel" not in message)


def _subscribe(names: Sequence[str], request: int) -> Sequence[str]:
    del request  # it repeats no number
    message = {"type": "subscribe", "product_ids": names, "channels": ["ticker", "heartbeat"]}
    return [msgspec.json.encode(message).decode()]


def _listings(names: Sequence[str] | None) -> str:
    return f"/products/{names[0]}" if names is not None and len(names) == 1 else "/products"


def _read_listings(body: bytes) -> Sequence[Listing]:
    if body.lstrip()[:1] == b"{":
        return [_listing(decoded(_one_product, body))]
    return [_listing(each) for each in _products.decode(body)]


def _listing(product: _Product) -> Listing:
    held_up = [
        word
        for word, set_ in [
            (product.status, product.status != "online"),
            ("trading disabled", product.trading_disabled),
            ("cancel only", product.cancel_only),
            ("post only", product.post_only),
        ]
        if set_
    ]
    return Listing(
        product.id,
        f"{product.base_currency}-{product.quote_currency}",
        not held_up,
        ", ".join(held_up),
        product.quote_increment,
    )


def _prices(listings: Sequence[Listing]) -> Sequence[Question]:
    return [(f"/products/{listing.name}/ticker", [listing]) for listing in listings]


def _read_prices(body: bytes, asked: Sequence[Listing]) -> Mapping[str, RestPrice]:
    ticker = decoded(_ticker, body)
    return {asked[0].name: RestPrice(checked_price(ticker.price), milliseconds(ticker.time))}


def _candles_path(listing: Listing, step: str, begin_ms: int, end_ms: int) -> str:
    seconds = STEPS[step].ms // 1000
    first, last = (
        datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for at in (begin_ms // 1000, end_ms // 1000 - seconds)
    )
    query = urlencode({"granularity": seconds, "start": first, "end": last})
    return f"/products/{listing.name}/candles?{query}"


def _read_candles(body: bytes) -> Sequence[ExactBar]:
    def read(row: tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal | None]) -> ExactBar:
        at, low, high, opening, close, volume = row
        return checked_bar(at * 1000, opening, high, low, close, volume)

    return good_ones(read, _candles.decode(body))


DIALECT: Final = Dialect(
    name="coinbase",
    url="wss://ws-feed.exchange.coinbase.com",
    rest=Rest(
        url="https://api.exchange.coinbase.com",
        listings=_listings,
        read_listings=_read_listings,
        prices=_prices,
        read_prices=_read_prices,
        candles=_candles_path,
        read_candles=_read_candles,
        candles_at_once=300,
        seconds=0.2,
    ),
    recognises=_recognises,
    parse=parse,
    subscribe=_subscribe,
    batch=100,
    refuses_whole=True,
)

create: Final = Exchange(DIALECT)
