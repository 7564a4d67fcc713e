"""The source `okx`: OKX's WebSocket API v5, public channels, without an account.

Rules of the exchange that this follows:

- `tickers` sends the last price upon subscribing and when it or the best bid or ask changes, at
  most every 100 ms. Each symbol is acknowledged by a message of its own that repeats the
  request's `id`; `error` has a code and names the symbol in its text.
  https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-tickers-channel
- `tickers` has `bidPx`, `askPx`, `open24h`, `high24h`, `low24h` and `vol24h` (of the base currency)
  too. It does not say whether there was a trade: there was one where `last` or its size `lastSz`
  is another than before; else the message affirms the last price, which keeps its time.
- A connection without data for 30 s is closed: the text `ping` is answered by `pong`, a sign of
  life of the connection, and of nothing else.
- `notice` with code 64008 announces that the connection is about to be closed.
  https://www.okx.com/docs-v5/en/#overview-websocket-notification
- At most 3 connections a second and address, 480 requests an hour and connection, and 64 KB a
  request. https://www.okx.com/docs-v5/en/#overview-websocket-connect
- REST: `public/instruments` is the catalogue, `market/tickers` has the last trades; 20 in 2 s.
  https://www.okx.com/docs-v5/en/#public-data-rest-api-get-instruments

Symbols are ours unchanged. What is in USD here is quoted in USDT there, and a warning says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ticker.market.exchanges.decoding import (
    UNREADABLE,
    BadMessage,
    Entries,
    Unavailable,
    decoded,
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

__all__ = ["DIALECT", "create", "parse"]

#: The connection will be closed for an upgrade of the service.
_CLOSING: Final = "64008"
_NAMED: Final = re.compile(r"instId:\s*([A-Z0-9-]+)")


#: Codes that pass: the service is away or busy, or there were too many questions.
#: https://www.okx.com/docs-v5/en/#error-code-rest-api-public
_LATER: Final = frozenset({"50001", "50004", "50011", "50013", "50026", "50061"})


class _Argument(msgspec.Struct):
    channel: str = ""
    inst_id: str = msgspec.field(name="instId", default="")


class _Ticker(msgspec.Struct):
    inst_id: str = msgspec.field(name="instId")
    last: Decimal | None = None
    ts: str = ""
    size: str | None = msgspec.field(name="lastSz", default=None)
    bid: str | None = msgspec.field(name="bidPx", default=None)
    ask: str | None = msgspec.field(name="askPx", default=None)
    open: str | None = msgspec.field(name="open24h", default=None)
    high: str | None = msgspec.field(name="high24h", default=None)
    low: str | None = msgspec.field(name="low24h", default=None)
    volume: str | None = msgspec.field(name="vol24h", default=None)


class _Message(msgspec.Struct):
    event: str = ""
    arg: _Argument | None = None
    data: msgspec.Raw = msgspec.Raw(b"[]")
    code: str = ""
    msg: str = ""
    id: str = ""


class _Instrument(msgspec.Struct):
    inst_id: str = msgspec.field(name="instId")
    base: str = msgspec.field(name="baseCcy")
    quote: str = msgspec.field(name="quoteCcy")
    tick: str = msgspec.field(name="tickSz", default="")
    state: str = "live"


class _Answer(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"[]")
    code: str = "0"
    msg: str = ""


_decoder = msgspec.json.Decoder(_Message)
_tickers = Entries(_Ticker, ("ts", "size", "bid", "ask", "open", "high", "low", "volume"))
_instruments = Entries(_Instrument)
_answers = msgspec.json.Decoder(_Answer)


def parse(raw: bytes | str) -> Sequence[Event]:
    """Read one message.

    Raises:
        BadMessage: it is not what the documentation describes.
    """
    if raw in {"pong", b"pong"}:
        return (Alive(),)
    try:
        return _read(_decoder.decode(raw))
    except UNREADABLE as error:
        raise BadMessage(str(error)) from None


def _read(message: _Message) -> Sequence[Event]:
    request = whole_number(message.id)
    match message.event:
        case "":
            if message.arg is None:
                raise BadMessage("neither an event nor a channel")
            if message.arg.channel != "tickers":
                return (Ignored(message.arg.channel),)
            return good_ones(_price, _tickers.decode(message.data))
        case "subscribe" if message.arg is not None:
            return (Subscribed((message.arg.inst_id,), request),)
        case "error":
            named = tuple(_NAMED.findall(message.msg))
            return (Refused(f"{message.msg} ({message.code})", named, request),)
        case "notice" if message.code == _CLOSING:
            return (Ending(),)
        case other:
            return (Ignored(other),)


def _price(ticker: _Ticker) -> PriceSeen:
    return PriceSeen(
        checked_name(ticker.inst_id),
        checked_price(ticker.last),
        whole_number(ticker.ts),
        size=volume_or_none(_number(ticker.size)),
        details=checked_details(
            bid=_number(ticker.bid),
            ask=_number(ticker.ask),
            open_24h=_number(ticker.open),
            high_24h=_number(ticker.high),
            low_24h=_number(ticker.low),
            volume_24h=_number(ticker.volume),
        ),
    )


def _number(text: str | None) -> Decimal | None:
    """Read a number; what is not known is an empty text."""
    try:
        return Decimal(text) if text else None
    except ArithmeticError:
        return None


def _recognises(message: Mapping[str, msgspec.Raw]) -> bool:
    return "arg" in message or "connId" in message


def _in_usdt(symbol: str) -> str:
    return f"{symbol}T" if symbol.endswith("-USD") else symbol


def _subscribe(names: Sequence[str], request: int) -> Sequence[str]:
    channels = [{"channel": "tickers", "instId": name} for name in names]
    message = {"id": str(request), "op": "subscribe", "args": channels}
    return [msgspec.json.encode(message).decode()]


def _listings(names: Sequence[str] | None) -> str:
    path = "/api/v5/public/instruments?instType=SPOT"
    return f"{path}&instId={names[0]}" if names is not None and len(names) == 1 else path


def _read_listings(body: bytes) -> Sequence[Listing]:
    return [
        Listing(
            each.inst_id,
            f"{each.base}-{each.quote}",
            each.state == "live",
            each.state,
            _number(each.tick),
            (each.inst_id,),
        )
        for each in _instruments.decode(_data(body))
    ]


def _prices(listings: Sequence[Listing]) -> Sequence[Question]:
    if len(listings) == 1:
        return [(f"/api/v5/market/ticker?instId={listings[0].name}", listings)]
    return [("/api/v5/market/tickers?instType=SPOT", listings)]


def _read_prices(body: bytes, asked: Sequence[Listing]) -> Mapping[str, RestPrice]:
    def read(ticker: _Ticker) -> tuple[str, RestPrice]:
        return ticker.inst_id, RestPrice(checked_price(ticker.last), whole_number(ticker.ts))

    wanted = {listing.name for listing in asked}
    tickers = _tickers.decode(_data(body))
    return dict(good_ones(read, (each for each in tickers if each.inst_id in wanted)))


def _data(body: bytes) -> msgspec.Raw:
    """Return the data of an answer; raises BadMessage for one with another code than 0."""
    answer = decoded(_answers, body)
    if answer.code != "0":
        reason = f"{answer.msg} ({answer.code})"
        raise Unavailable(reason) if answer.code in _LATER else BadMessage(reason)
    return answer.data


DIALECT: Final = Dialect(
    name="okx",
    url="wss://ws.okx.com:8443/ws/v5/public",
    rest=Rest(
        url="https://www.okx.com",
        listings=_listings,
        read_listings=_read_listings,
        prices=_prices,
        read_prices=_read_prices,
    ),
    substitute=_in_usdt,
    recognises=_recognises,
    parse=parse,
    subscribe=_subscribe,
    batch=100,
    request_seconds=1.0,
    ping="ping",
    any_message_is_alive=True,
)

create: Final = Exchange(DIALECT)
