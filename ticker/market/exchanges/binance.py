"""The sources `binance` and `binance_us`: spot trade streams, public, without an account.

Rules of the exchange that this follows:

- Of the streams with a price, `trade` has the exchange's own time and numbers every trade of
  a symbol without gaps; `bookTicker` has neither. So the price is that of the last trade,
  as it is at the other exchanges, and a number left out is a gap.
- `ticker` comes each second with what is best bid and asked and the figures of the last 24 hours,
  and with the number of the last trade: that proves the price, where it is the trade we have.
  Its own last price is not taken, since the trade comes by itself.
- At `/stream` messages come wrapped (`{"stream":…,"data":…}`), at `/ws` as they are; with
  `timeUnit=MICROSECOND` their times are in microseconds. All of that is understood.
- A connection lives 24 h; it is replaced after 23, or when `serverShutdown` announces its end.
- The server pings every 20 s and wants the pong within a minute (trio-websocket's part).
  There is no other heartbeat, so that we ping it too: a pong tells that the connection works
  and nothing of a symbol. `LIST_SUBSCRIPTIONS` tells what it is subscribed to.
- At most 5 messages a second to it, beyond which it disconnects and, repeated, bans; at most
  1024 streams a connection, and 300 connections in 5 minutes and address. A request of about
  5 KiB was seen to be ignored.
- An unknown symbol is accepted in silence: the catalogue (`exchangeInfo`) tells.
- REST: `klines` has candles of a minute or an hour as `[open time, open, high, low, close, volume,
  close time, ...]`, 1000 in one answer, both ends inclusive, also where nothing was traded.
- REST: 418 is a ban, 429 a warning before one, both with `Retry-After`.

https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
https://developers.binance.com/docs/binance-spot-api-docs/rest-api/limits
https://docs.binance.us (the same, of Binance.US)

`BTC-USDT` is `BTCUSDT` there, for streams `btcusdt`. Binance quotes nothing in USD: `BTC-USD` is
the price in USDT, and a warning says so at start. Binance.US has both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import msgspec

from ticker.market.candles import ExactBar
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
    DetailsSeen,
    Ending,
    Event,
    Holding,
    Ignored,
    PriceSeen,
    Refused,
    Subscribed,
    checked_bar,
    checked_details,
    checked_name,
    checked_price,
    volume_or_none,
)
from ticker.market.exchanges.exchange import Exchange
from ticker.market.exchanges.joined_names import split_joined

__all__ = ["BINANCE", "BINANCE_US", "create", "create_us", "parse"]

#: A connection is ended after 24 h; an hour is left to replace it in.
LIFETIME_SECONDS: Final = 23 * 3600.0
#: What one connection may subscribe to.
MOST_STREAMS: Final = 1024
#: Streams of one symbol: its trades, and its ticker.
_STREAMS: Final = ("trade", "ticker")
#: Symbols of one request: with two streams each, 50 take 3 KB at most.
BATCH: Final = 50
#: Candles of one answer, and what of each is read.
_CANDLES_AT_ONCE: Final = 1000
_CANDLE_FIELDS: Final = 6
#: Symbols of one question.
_ASKED_AT_ONCE: Final = 100
#: A time above this is in microseconds: in milliseconds it would be in the year 5138.
_MICROSECONDS: Final = 10**14

#: What is traded against. Only recordings need it, which do not say where a symbol is to be
#: split; the first that fits wins, so that of those that end alike the usual one comes first.
_QUOTES: Final = (
    *("USDT", "FDUSD", "USDC", "USDS", "USDP", "BIDR", "IDRT", "BKRW", "BVND", "GYEN", "EURI"),
    *("USD1", "USDE", "RLUSD", "BTC", "ETH", "BNB", "EUR", "GBP", "AUD", "TRY", "BRL", "RUB"),
    *("UAH", "ZAR", "NGN", "PLN", "RON", "ARS", "JPY", "MXN", "CZK", "COP", "IDR", "DAI", "PAX"),
    *("VAI", "UST", "XRP", "TRX", "SOL", "DOT", "DOGE", "BUSD", "TUSD", "USD"),
)
#: Binance.US has these in USD; they look as if they were in BUSD or TUSD.
_IN_USD: Final = frozenset(
    f"{coin}USD" for coin in ("BNB", "BAT", "GRT", "HNT", "ONT", "OXT", "VET", "DOT", "USDT")
)


class _Trade(msgspec.Struct):
    """What `trade` and `aggTrade` have for us; the rest is skipped unread."""

    symbol: str = msgspec.field(name="s", default="")
    price: Decimal | None = msgspec.field(name="p", default=None)
    time: int | None = msgspec.field(name="T", default=None)
    size: Decimal | None = msgspec.field(name="q", default=None)
    trade: int | None = msgspec.field(name="t", default=None)
    aggregate: int | None = msgspec.field(name="a", default=None)


class _Day(msgspec.Struct):
    """What `ticker` has for us; the documentation's `24hrTicker`."""

    symbol: str = msgspec.field(name="s")
    price: Decimal | None = msgspec.field(name="c", default=None)
    trade: int | None = msgspec.field(name="L", default=None)
    bid: Decimal | None = msgspec.field(name="b", default=None)
    ask: Decimal | None = msgspec.field(name="a", default=None)
    open: Decimal | None = msgspec.field(name="o", default=None)
    high: Decimal | None = msgspec.field(name="h", default=None)
    low: Decimal | None = msgspec.field(name="l", default=None)
    volume: Decimal | None = msgspec.field(name="v", default=None)
    change: Decimal | None = msgspec.field(name="P", default=None)


class _Book(msgspec.Struct):
    symbol: str = msgspec.field(name="s")
    bid: Decimal = msgspec.field(name="b")
    ask: Decimal = msgspec.field(name="a")


class _Fault(msgspec.Struct):
    code: int = 0
    msg: str = ""


class _Message(msgspec.Struct):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    id: int | str | None = None
    error: _Fault | None = None
    code: int | None = None
    msg: str = ""
    result: msgspec.Raw = msgspec.Raw(b"")
    event: str = msgspec.field(name="e", default="")
    update: int | None = msgspec.field(name="u", default=None)


class _Filter(msgspec.Struct):
    kind: str = msgspec.field(name="filterType", default="")
    tick: Decimal | None = msgspec.field(name="tickSize", default=None)


class _Symbol(msgspec.Struct):
    symbol: str
    base: str = msgspec.field(name="baseAsset")
    quote: str = msgspec.field(name="quoteAsset")
    status: str = "TRADING"
    filters: list[_Filter] = []


class _Info(msgspec.Struct):
    symbols: msgspec.Raw


class _Price(msgspec.Struct):
    symbol: str
    price: Decimal


_decoder = msgspec.json.Decoder(_Message)
_trades = Tolerant(_Trade, ("time", "size"))
_days = Tolerant(_Day, ("price", "bid", "ask", "open", "high", "low", "volume", "change"))
_books = msgspec.json.Decoder(_Book)
_streams = msgspec.json.Decoder(list[str])
_info = msgspec.json.Decoder(_Info)
_symbols = Entries(_Symbol)
_last_prices = Entries(_Price)
_last_price = msgspec.json.Decoder(_Price)
_candles = Entries(list[int | Decimal])
_NOTHING: Final = msgspec.Raw(b"null")


def parse(raw: bytes | str) -> Sequence[Event]:
    """Read one message, wrapped or not.

    A `bookTicker` is priced at the exact middle between the best bid and the best ask.

    Raises:
        BadMessage: it is not what the documentation describes.
    """
    try:
        message = _decoder.decode(raw)
        if message.stream:
            return _streamed(message.stream.partition("@")[2], message, message.data)
        if message.event or message.update is not None:
            return _streamed(message.event or "bookTicker", message, raw)
        return _answer(message)
    except UNREADABLE as error:
        raise BadMessage(str(error)) from None


def _streamed(kind: str, message: _Message, data: bytes | str | msgspec.Raw) -> Sequence[Event]:
    if "serverShutdown" in (message.stream.removeprefix("!"), message.event):
        return (Ending(),)
    match kind:
        case "trade" | "aggTrade":
            trade = _trades.decode(data)
            number = trade.aggregate if trade.trade is None else trade.trade
            name, price = checked_name(trade.symbol), checked_price(trade.price)
            size = volume_or_none(trade.size)
            return (PriceSeen(name, price, _milliseconds(trade.time), number, size),)
        case "ticker" | "24hrTicker":
            return _of_day(_days.decode(data))
        case "bookTicker":
            book = _books.decode(data)
            middle = (checked_price(book.bid) + checked_price(book.ask)) / 2
            return (PriceSeen(checked_name(book.symbol), checked_price(middle)),)
        case other:
            return (Ignored(other or message.stream),)


def _of_day(day: _Day) -> Sequence[Event]:
    name = checked_name(day.symbol)
    details = checked_details(
        bid=day.bid,
        ask=day.ask,
        open_24h=day.open,
        high_24h=day.high,
        low_24h=day.low,
        volume_24h=day.volume,
        change_24h=day.change,
    )
    seen = DetailsSeen(name, details)
    # Without a number it would be a sign of life that proves any price.
    return (seen,) if day.trade is None else (seen, Alive(name, day.trade, day.price))


def _milliseconds(time: int | None) -> int | None:
    return time // 1000 if time is not None and time > _MICROSECONDS else time


def _answer(message: _Message) -> Sequence[Event]:
    request = message.id if isinstance(message.id, int) else None
    fault = message.error
    if fault is None and message.code is not None:
        fault = _Fault(message.code, message.msg)
    if fault is not None:
        return (Refused(f"{fault.msg} ({fault.code})", (), request),)
    if message.result == _NOTHING:
        return (Subscribed(None, request),)
    if bytes(message.result):
        streams = _streams.decode(message.result)
        trades = [name for name, _, kind in (s.partition("@") for s in streams) if kind == "trade"]
        return (Holding(tuple(name.upper() for name in trades), request),)
    raise BadMessage("neither a stream nor an answer")


def _recognises(message: Mapping[str, msgspec.Raw]) -> bool:
    answers = "id" in message and bool({"result", "error"} & message.keys())
    return "stream" in message or "e" in message or "u" in message or answers


def _theirs(symbol: str) -> str:
    return symbol.replace("-", "")


def _guess(name: str) -> str:
    if name in _IN_USD:
        return f"{name.removesuffix('USD')}-USD"
    return split_joined(name, _QUOTES)


def _in_usdt(symbol: str) -> str:
    return f"{symbol}T" if symbol.endswith("-USD") else symbol


def _address(url: str) -> str:
    parts = urlsplit(url)
    return url if parts.path.strip("/") else urlunsplit(parts._replace(path="/stream"))


def _subscribe(names: Sequence[str], request: int) -> Sequence[str]:
    streams = [f"{name.lower()}@{stream}" for name in names for stream in _STREAMS]
    message = {"method": "SUBSCRIBE", "params": streams, "id": request}
    return [msgspec.json.encode(message).decode()]


def _holdings(request: int) -> str:
    return f'{{"method":"LIST_SUBSCRIPTIONS","id":{request}}}'


def _symbols_parameter(names: Sequence[str]) -> str:
    return f"symbols={quote(msgspec.json.encode(names).decode())}"


def _listings(names: Sequence[str] | None) -> str:
    path = "/api/v3/exchangeInfo?showPermissionSets=false"
    few = names is not None and len(names) <= _ASKED_AT_ONCE
    return f"{path}&{_symbols_parameter(names or [])}" if few else path


def _read_listings(body: bytes) -> Sequence[Listing]:
    info = decoded(_info, body)
    return [
        Listing(
            each.symbol,
            f"{each.base}-{each.quote}",
            each.status == "TRADING",
            each.status.replace("_", " ").lower(),
            next((f.tick for f in each.filters if f.kind == "PRICE_FILTER" and f.tick), None),
            (each.symbol,),
        )
        for each in _symbols.decode(info.symbols)
    ]


def _prices(listings: Sequence[Listing]) -> Sequence[Question]:
    # One unknown symbol has the whole question refused: those not in the catalogue go alone.
    known = [listing for listing in listings if listing.keys]
    groups: list[Sequence[Listing]] = [
        known[start : start + _ASKED_AT_ONCE] for start in range(0, len(known), _ASKED_AT_ONCE)
    ]
    groups += [[listing] for listing in listings if not listing.keys]
    path = "/api/v3/ticker/price"
    return [(f"{path}?{_symbols_parameter([e.name for e in group])}", group) for group in groups]


def _read_prices(body: bytes, asked: Sequence[Listing]) -> Mapping[str, RestPrice]:
    del asked  # the answer says of which symbols it is
    one = body.lstrip()[:1] == b"{"
    prices = [decoded(_last_price, body)] if one else _last_prices.decode(body)
    return dict(good_ones(lambda e: (e.symbol, RestPrice(checked_price(e.price))), prices))


def _candles_path(listing: Listing, step: str, begin_ms: int, end_ms: int) -> str:
    query = {"symbol": listing.name, "interval": step, "startTime": begin_ms, "endTime": end_ms - 1}
    return f"/api/v3/klines?{urlencode(query)}&limit={_CANDLES_AT_ONCE}"


def _read_candles(body: bytes) -> Sequence[ExactBar]:
    def read(row: Sequence[int | Decimal]) -> ExactBar:
        begin, *numbers = row[:_CANDLE_FIELDS]
        opening, high, low, close, volume = map(Decimal, numbers)
        if not isinstance(begin, int):
            raise BadMessage(f"a candle at {str(begin)[:40]}")
        return checked_bar(begin, opening, high, low, close, volume)

    return good_ones(read, _candles.decode(body))


def _as_it_is(symbol: str) -> str:
    return symbol


def _dialect(name: str, url: str, rest_url: str, *, has_usd: bool) -> Dialect:
    return Dialect(
        name=name,
        url=url,
        rest=Rest(
            url=rest_url,
            listings=_listings,
            read_listings=_read_listings,
            prices=_prices,
            read_prices=_read_prices,
            candles=_candles_path,
            read_candles=_read_candles,
            candles_at_once=_CANDLES_AT_ONCE,
        ),
        theirs=_theirs,
        guess=_guess,
        substitute=_as_it_is if has_usd else _in_usdt,
        recognises=_recognises,
        address=_address,
        parse=parse,
        subscribe=_subscribe,
        batch=BATCH,
        refuses_whole=True,
        holdings=_holdings,
        snapshots=False,
        pings=True,
        consecutive=True,
        every_trade=True,
        lifetime_seconds=LIFETIME_SECONDS,
        most_symbols=MOST_STREAMS // len(_STREAMS),
    )


BINANCE: Final = _dialect(
    "binance", "wss://stream.binance.com:9443/stream", "https://api.binance.com", has_usd=False
)
BINANCE_US: Final = _dialect(
    "binance_us", "wss://stream.binance.us:9443/stream", "https://api.binance.us", has_usd=True
)

create: Final = Exchange(BINANCE)
create_us: Final = Exchange(BINANCE_US)
