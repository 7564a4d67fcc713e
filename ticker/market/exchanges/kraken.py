"""The source `kraken`: Kraken's spot WebSocket API v2, public, without an account.

Rules of the exchange that this follows:

- `ticker` sends a snapshot upon subscribing and an update on every trade; each symbol is
  acknowledged, or refused, by a message of its own.
  https://docs.kraken.com/api/docs/websocket-v2/ticker
- `ticker` has `bid`, `ask`, `high`, `low` and `volume` (of the base currency) of 24 hours, `change`
  and `change_pct` over them; the open is not told: it is `last` less `change`.
- `heartbeat` comes about once a second "in the absence of any other channel updates", so that
  any message is a sign of life. https://docs.kraken.com/api/docs/websocket-v2/heartbeat
- `status` tells, upon connecting and on each change, whether the engine is `online`; otherwise
  nothing is matched. https://docs.kraken.com/api/docs/websocket-v2/status
- Tickers are not numbered: a gap cannot be seen, and none can last, since each ticker is whole.
- About 150 connections in ten minutes and address.
  https://support.kraken.com/articles/360022326871-kraken-websocket-api-frequently-asked-questions
- REST: `OHLC` has candles of a minute or an hour as `[time, open, high, low, close, vwap, volume,
  count]`, the newest 720 and none before; the last is of the interval that is not over yet.
  https://docs.kraken.com/api/docs/rest-api/get-ohlc-data
- REST: `AssetPairs` is the catalogue, `Ticker` has the last trade (`c`); about one a second.
  https://docs.kraken.com/api/docs/rest-api/get-tradable-asset-pairs
  https://docs.kraken.com/api/docs/rest-api/get-ticker-information

`BTC-USD` is `BTC/USD` there, and `XBTUSD` or `XXBTZUSD` for REST, whose `wsname` is in the names
of the streams before v2 (`XBT/USD`). Prices are JSON numbers, read digit by digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeAlias
from urllib.parse import quote

import msgspec

from ticker.market.candles import MINUTE, STEPS, ExactBar
from ticker.market.exchanges.decoding import (
    UNREADABLE,
    BadMessage,
    Entries,
    Unavailable,
    decoded,
    good_ones,
)
from ticker.market.exchanges.dialect import Dialect, Listing, Question, Rest, RestPrice
from ticker.market.exchanges.events import (
    Alive,
    Event,
    Halted,
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

__all__ = ["DIALECT", "create", "parse"]

#: Currencies whose name was another before v2, and still is for REST.
_RENAMED: Final = {"XBT": "BTC", "XDG": "DOGE"}
_BEFORE: Final = {new: old for old, new in _RENAMED.items()}
#: States of a pair in which orders are matched.
_TRADING: Final = {"online", "limit_only", "reduce_only"}
#: Errors of REST that pass: too many questions, or a service that is away.
#: https://docs.kraken.com/api/docs/guides/spot-errors
_LATER: Final = (
    "EAPI:Rate limit",
    "EGeneral:Internal",
    "EGeneral:Temporary",
    "EGeneral:Too many",
    "EService:",
)
#: Candles that it tells, of whatever interval.
_CANDLES: Final = 720
#: What v1 says besides prices, which are in arrays.
_OLD_EVENTS: Final = {b'"heartbeat"', b'"systemStatus"', b'"subscriptionStatus"'}


class _Ticker(msgspec.Struct):
    symbol: str
    last: Decimal
    timestamp: datetime | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    volume: Decimal | None = None
    change: Decimal | None = None
    change_pct: Decimal | None = None


class _Status(msgspec.Struct):
    system: str


class _Acknowledged(msgspec.Struct):
    channel: str = ""
    symbol: str = ""


class _Message(msgspec.Struct):
    channel: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    method: str = ""
    success: bool = True
    result: _Acknowledged | None = None
    error: str | None = None
    symbol: str | None = None
    req_id: int | None = None
    event: str = ""


class _OldTicker(msgspec.Struct):
    c: list[Decimal]


class _Pair(msgspec.Struct):
    altname: str
    wsname: str = ""
    status: str = "online"
    tick_size: Decimal | None = None


class _Answer(msgspec.Struct):
    """What REST answers; of candles, the result has `last` beside the pair."""

    error: list[str] = []
    result: dict[str, msgspec.Raw] = {}


#: Time in seconds, open, high, low, close, average by volume, volume, and how many trades.
_Row: TypeAlias = tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal, Decimal | None, int]

_decoder = msgspec.json.Decoder(_Message)
_tickers = Entries(
    _Ticker, ("timestamp", "bid", "ask", "high", "low", "volume", "change", "change_pct")
)
_statuses = msgspec.json.Decoder(list[_Status])
_old_tickers = msgspec.json.Decoder(tuple[int, _OldTicker, str, str])
_answers = msgspec.json.Decoder(_Answer)
_pair = msgspec.json.Decoder(_Pair)
_rest_ticker = msgspec.json.Decoder(_OldTicker)
_candle_rows: Final[Entries[_Row]] = Entries(_Row)  # type: ignore[arg-type]  # a type it is


def parse(raw: bytes | str) -> Sequence[Event]:
    """Read one message. Recordings may also hold the `ticker` of v1, which is an array.

    Raises:
        BadMessage: it is not what the documentation describes.
    """
    try:
        if raw[:1] in {"[", b"["}:
            _, ticker, channel, pair = _old_tickers.decode(raw)
            return (_old_price(ticker, pair),) if channel == "ticker" else (Ignored(channel),)
        return _read(_decoder.decode(raw))
    except UNREADABLE as error:
        raise BadMessage(str(error)) from None


def _old_price(ticker: _OldTicker, pair: str) -> PriceSeen:
    return PriceSeen(checked_name(_renamed(pair)), checked_price(next(iter(ticker.c), None)))


def _renamed(pair: str) -> str:
    return "/".join(_RENAMED.get(currency, currency) for currency in pair.split("/"))


def _read(message: _Message) -> Sequence[Event]:
    match message.channel, message.method or message.event:
        case "ticker", _:
            return good_ones(_price, _tickers.decode(message.data))
        case ("heartbeat", _) | ("", "heartbeat"):
            return (Alive(),)
        case "status", _:
            return [
                Halted(None if status.system == "online" else status.system.replace("_", " "))
                for status in _statuses.decode(message.data)
            ]
        case _, "subscribe":
            return (_acknowledgement(message),)
        case "", "":
            raise BadMessage("neither a channel nor a method")
        case channel, method:
            return (Ignored(channel or method),)


def _price(ticker: _Ticker) -> PriceSeen:
    return PriceSeen(
        checked_name(ticker.symbol),
        checked_price(ticker.last),
        milliseconds(ticker.timestamp),
        details=checked_details(
            bid=ticker.bid,
            ask=ticker.ask,
            open_24h=_open(ticker),
            high_24h=ticker.high,
            low_24h=ticker.low,
            volume_24h=ticker.volume,
            change_24h=ticker.change_pct,
        ),
    )


def _open(ticker: _Ticker) -> Decimal | None:
    try:
        return None if ticker.change is None else ticker.last - ticker.change
    except ArithmeticError:
        return None


def _acknowledgement(message: _Message) -> Event:
    if not message.success:
        named, reason = (message.symbol,) if message.symbol else (), message.error or "refused"
        if named and reason.startswith("Already subscribed"):
            return Subscribed(named, message.req_id)
        return Refused(reason, named, message.req_id)
    if message.result is None or message.result.channel != "ticker":
        return Ignored("subscribe")
    return Subscribed((message.result.symbol,), message.req_id)


def _recognises(message: Mapping[str, msgspec.Raw]) -> bool:
    fields = message.keys()
    if "event" in fields:  # of v1
        return bytes(message["event"]) in _OLD_EVENTS and "arg" not in fields
    return (
        "[]" in fields
        or "method" in fields
        or fields == {"channel"}
        or {
            "channel",
            "data",
        }
        <= fields
    )


def _theirs(symbol: str) -> str:
    return symbol.replace("-", "/")


def _guess(name: str) -> str:
    return name.replace("/", "-")


def _subscribe(names: Sequence[str], request: int) -> Sequence[str]:
    params = {"channel": "ticker", "symbol": names}
    message = {"method": "subscribe", "params": params, "req_id": request}
    return [msgspec.json.encode(message).decode()]


def _rest_name(name: str) -> str:
    return "".join(_BEFORE.get(currency, currency) for currency in name.split("/"))


def _listings(names: Sequence[str] | None) -> str:
    if names is None:
        return "/0/public/AssetPairs"
    return f"/0/public/AssetPairs?pair={quote(','.join(_rest_name(name) for name in names))}"


def _read_listings(body: bytes) -> Sequence[Listing]:
    def read(entry: tuple[str, msgspec.Raw]) -> Listing:
        key, pair = entry[0], decoded(_pair, bytes(entry[1]))
        name = _renamed(pair.wsname)
        state = pair.status
        trading = state in _TRADING
        keys = (key, pair.altname)
        return Listing(name, _guess(name), trading, state.replace("_", " "), pair.tick_size, keys)

    return [each for each in good_ones(read, _result(body).items()) if each.name]


def _prices(listings: Sequence[Listing]) -> Sequence[Question]:
    known = [listing for listing in listings if listing.keys]
    questions: list[Question] = []
    if known:
        questions.append((_ticker_path(listing.keys[-1] for listing in known), known))
    # Without the catalogue, an answer of one pair is known for what was asked.
    presumed = (listing for listing in listings if not listing.keys)
    questions += [(_ticker_path([_rest_name(each.name)]), [each]) for each in presumed]
    return questions


def _ticker_path(pairs: Iterable[str]) -> str:
    return f"/0/public/Ticker?pair={quote(','.join(pairs))}"


def _read_prices(body: bytes, asked: Sequence[Listing]) -> Mapping[str, RestPrice]:
    def read(entry: tuple[str, msgspec.Raw]) -> tuple[str, RestPrice]:
        ticker = decoded(_rest_ticker, bytes(entry[1]))
        return entry[0], RestPrice(checked_price(next(iter(ticker.c), None)))

    prices = dict(good_ones(read, _result(body).items()))
    if len(asked) == 1 and len(prices) == 1:
        return {asked[0].name: next(iter(prices.values()))}
    names = {key: listing.name for listing in asked for key in listing.keys}
    return {names[key]: price for key, price in prices.items() if key in names}


def _candles_path(listing: Listing, step: str, begin_ms: int, end_ms: int) -> str:
    del end_ms  # it tells all that is newer
    pair = listing.keys[-1] if listing.keys else _rest_name(listing.name)
    minutes = STEPS[step].ms // MINUTE.ms
    since = begin_ms // 1000 - 1  # exclusive
    return f"/0/public/OHLC?pair={quote(pair)}&interval={minutes}&since={since}"


def _read_candles(body: bytes) -> Sequence[ExactBar]:
    def read(row: _Row) -> ExactBar:
        at, opening, high, low, close, _, volume, _ = row
        return checked_bar(at * 1000, opening, high, low, close, volume)

    pairs = [rows for name, rows in _result(body).items() if name != "last"]
    if len(pairs) != 1:
        raise BadMessage(f"candles of {len(pairs)} pairs")
    return good_ones(read, _candle_rows.decode(bytes(pairs[0])))


def _result(body: bytes) -> Mapping[str, msgspec.Raw]:
    """Return the result of an answer; raises BadMessage for what stands in its `error`."""
    answer = decoded(_answers, body)
    if answer.error:
        reason = ", ".join(answer.error)[:100]
        raise Unavailable(reason) if reason.startswith(_LATER) else BadMessage(reason)
    return answer.result


DIALECT: Final = Dialect(
    name="kraken",
    url="wss://ws.kraken.com/v2",
    rest=Rest(
        url="https://api.kraken.com",
        listings=_listings,
        read_listings=_read_listings,
        prices=_prices,
        read_prices=_read_prices,
        candles=_candles_path,
        read_candles=_read_candles,
        candles_at_once=_CANDLES,
        candles_reach=_CANDLES,
        seconds=1.0,
    ),
    theirs=_theirs,
    guess=_guess,
    recognises=_recognises,
    parse=parse,
    subscribe=_subscribe,
    batch=100,
    any_message_is_alive=True,
)

create: Final = Exchange(DIALECT)
