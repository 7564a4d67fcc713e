"""The source `bitstamp`: Bitstamp's WebSocket API v2, public, without an account.

Rules of the exchange that this follows:

- `live_trades_btcusd` has every trade, with its number, its price as sent (`price_str`) and its
  time in microseconds. Channels are subscribed to one by one; `bts:subscription_succeeded` names
  the channel, `bts:error` does not always.
- `bts:heartbeat` is answered by the same: a sign of life of the connection, and of nothing else.
- `bts:request_reconnect` announces that the server goes away within seconds: the connection is
  to be replaced. Connections last 90 days at most.
  https://www.bitstamp.net/websocket/v2/
- The figures of 24 hours (`open_24`, `high`, `low`, `volume` of the base currency,
  `percent_change_24`) are those of REST, each minute; so would be `bid` and `ask`, which are left
  out, since a minute later they are wrong.
- REST: `/api/v2/markets/` is the catalogue, `/api/v2/ticker/` has all last trades; at most
  400 requests a second, 10,000 in ten minutes. https://www.bitstamp.net/api/

`BTC-USD` is `btcusd` there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ticker.market.exchanges.decoding import (
    UNREADABLE,
    BadMessage,
    Entries,
    Tolerant,
    good_ones,
    whole_number,
)
from ticker.market.exchanges.dialect import Dialect, Listing, Question, Rest, RestPrice
from ticker.market.exchanges.events import (
    Alive,
    Ending,
    Event,
    Ignored,
    PriceSeen,
    Refused,
    Subscribed,
    checked_details,
    checked_name,
    checked_price,
    volume_or_none,
)
from ticker.market.exchanges.exchange import Exchange
from ticker.market.exchanges.joined_names import split_joined

__all__ = ["DIALECT", "create", "parse"]

_CHANNEL: Final = "live_trades_"
#: What is traded against, for recordings, which do not say where a symbol is to be split.
_QUOTES: Final = ("USDT", "USDC", "PYUSD", "RLUSD", "USD", "EUR", "GBP", "BTC", "ETH")


class _Data(msgspec.Struct):
    id: int | None = None
    price: Decimal | None = None
    price_str: Decimal | None = None
    amount_str: Decimal | None = None
    microtimestamp: str = ""
    message: str = ""


class _Message(msgspec.Struct):
    event: str
    channel: str = ""
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _Market(msgspec.Struct):
    market_symbol: str
    base_currency: str
    counter_currency: str
    trading: str = "Enabled"
    counter_decimals: int | None = None
    market_type: str = "SPOT"


class _Ticker(msgspec.Struct):
    last: Decimal
    pair: str = ""
    open_24: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    volume: Decimal | None = None
    percent_change_24: Decimal | None = None


_decoder = msgspec.json.Decoder(_Message)
_DETAILS: Final = ("open_24", "high", "low", "volume", "percent_change_24")
_datas = Tolerant(_Data, ("price_str", "amount_str", "microtimestamp"))
_markets = Entries(_Market)
_tickers = Entries(_Ticker, _DETAILS)
_ticker = Tolerant(_Ticker, _DETAILS)


def parse(raw: bytes | str) -> Sequence[Event]:
    """Read one message.

    Raises:
        BadMessage: it is not what the documentation describes.
    """
    try:
        return (_read(_decoder.decode(raw)),)
    except UNREADABLE as error:
        raise BadMessage(str(error)) from None


def _read(message: _Message) -> Event:
    name = message.channel.removeprefix(_CHANNEL) if message.channel.startswith(_CHANNEL) else ""
    match message.event:
        case "trade" if name:
            trade = _datas.decode(message.data)
            price = checked_price(trade.price if trade.price_str is None else trade.price_str)
            micros = whole_number(trade.microtimestamp)
            time_ms = None if micros is None else micros // 1000
            size = volume_or_none(trade.amount_str)
            return PriceSeen(checked_name(name), price, time_ms, trade.id, size)
        case "bts:subscription_succeeded":
            return Subscribed((name,) if name else ())
        case "bts:error":
            reason = _datas.decode(message.data).message
            return Refused(reason or "refused", (name,) if name else ())
        case "bts:heartbeat":
            return Alive()
        case "bts:request_reconnect":
            return Ending()
        case other:
            return Ignored(other)


def _recognises(message: Mapping[str, msgspec.Raw]) -> bool:
    event = bytes(message.get("event", b""))
    return event.startswith(b'"bts:') or ("event" in message and "channel" in message)


def _theirs(symbol: str) -> str:
    return symbol.replace("-", "").lower()


def _guess(name: str) -> str:
    return split_joined(name.upper(), _QUOTES)


def _subscribe(names: Sequence[str], request: int) -> Sequence[str]:
    del request  # it repeats no number
    messages = [{"event": "bts:subscribe", "data": {"channel": _CHANNEL + name}} for name in names]
    return [msgspec.json.encode(message).decode() for message in messages]


def _listings(names: Sequence[str] | None) -> str:
    del names  # it has one answer, of some 100 KB
    return "/api/v2/markets/"


def _read_listings(body: bytes) -> Sequence[Listing]:
    markets = _markets.decode(body)
    return good_ones(_listing, (market for market in markets if market.market_type == "SPOT"))


def _listing(market: _Market) -> Listing:
    return Listing(
        market.market_symbol,
        f"{market.base_currency}-{market.counter_currency}",
        market.trading == "Enabled",
        f"trading is {market.trading.lower()}",
        _tick(market.counter_decimals),
        (f"{market.base_currency}/{market.counter_currency}",),
    )


def _tick(decimals: int | None) -> Decimal | None:
    return None if decimals is None else Decimal((0, (1,), -decimals))


def _prices(listings: Sequence[Listing]) -> Sequence[Question]:
    known = [listing for listing in listings if listing.keys]
    if len(known) > 1:  # all of them, in one answer of some 60 KB
        presumed = [listing for listing in listings if not listing.keys]
        return [("/api/v2/ticker/", known), *_one_by_one(presumed)]
    return _one_by_one(listings)


def _one_by_one(listings: Sequence[Listing]) -> Sequence[Question]:
    return [(f"/api/v2/ticker/{listing.name}/", [listing]) for listing in listings]


def _read_prices(body: bytes, asked: Sequence[Listing]) -> Mapping[str, RestPrice]:
    if body.lstrip()[:1] == b"{":
        try:
            return {asked[0].name: _price(_ticker.decode(body))}
        except UNREADABLE as error:
            raise BadMessage(str(error)) from None
    tickers = _tickers.decode(body)
    names = {listing.keys[0]: listing.name for listing in asked}
    ours = (ticker for ticker in tickers if ticker.pair in names)
    return dict(good_ones(lambda each: (names[each.pair], _price(each)), ours))


def _price(ticker: _Ticker) -> RestPrice:
    details = checked_details(
        open_24h=ticker.open_24,
        high_24h=ticker.high,
        low_24h=ticker.low,
        volume_24h=ticker.volume,
        change_24h=ticker.percent_change_24,
    )
    return RestPrice(checked_price(ticker.last), details=details)


DIALECT: Final = Dialect(
    name="bitstamp",
    url="wss://ws.bitstamp.net",
    rest=Rest(
        url="https://www.bitstamp.net",
        listings=_listings,
        read_listings=_read_listings,
        prices=_prices,
        read_prices=_read_prices,
        details_seconds=60.0,
    ),
    theirs=_theirs,
    guess=_guess,
    recognises=_recognises,
    parse=parse,
    subscribe=_subscribe,
    batch=1,  # an error does not say of which channel it is
    request_seconds=0.05,
    snapshots=False,
    every_trade=True,
    ping='{"event":"bts:heartbeat"}',
    any_message_is_alive=True,
)

create: Final = Exchange(DIALECT)
