"""The messages of Kraken's spot WebSocket API, version 2.

- Ticker: https://docs.kraken.com/api/docs/websocket-v2/ticker
- Heartbeat: https://docs.kraken.com/api/docs/websocket-v2/heartbeat
- Status: https://docs.kraken.com/api/docs/websocket-v2/status
- Instruments: https://docs.kraken.com/api/docs/websocket-v2/instrument

Prices are JSON numbers, read digit by digit into decimals. Tickers carry no sequence numbers.
While the trading engine is not `online` nothing is matched, so that no price is a live one.
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


class _Ticker(msgspec.Struct):
    symbol: str
    last: Decimal
    timestamp: datetime | None = None


class _Status(msgspec.Struct):
    system: str


class _Pair(msgspec.Struct):
    symbol: str


class _Instruments(msgspec.Struct):
    pairs: list[_Pair] = []


class _Acknowledged(msgspec.Struct):
    channel: str = ""
    symbol: str = ""


class _Message(msgspec.Struct):
    channel: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    method: str = ""
    success: bool = True
    result: _Acknowledged | None = None
    error: str = ""


_decoder = msgspec.json.Decoder(_Message)
_tickers = msgspec.json.Decoder(list[_Ticker])
_statuses = msgspec.json.Decoder(list[_Status])
_instruments = msgspec.json.Decoder(_Instruments)


def parse(raw: bytes | str | msgspec.Raw) -> Sequence[Event]:
    """Read one message.

    Raises:
        BadMessage: it is not what the documentation describes.
    """
    try:
        return _read(_decoder.decode(raw))
    except UNREADABLE as error:
        raise BadMessage(str(error)) from None


def _read(message: _Message) -> Sequence[Event]:
    match message.channel, message.method:
        case "ticker", _:
            return [
                PriceSeen(
                    checked_symbol(_ours(ticker.symbol)),
                    checked_price(ticker.last),
                    milliseconds(ticker.timestamp),
                )
                for ticker in _tickers.decode(message.data)
            ]
        case "heartbeat", _:
            return (Alive(),)
        case "status", _:
            return [
                Refused(f"the exchange says it is in {status.system}")
                for status in _statuses.decode(message.data)
                if status.system != "online"
            ]
        case "instrument", _:
            pairs = _instruments.decode(message.data).pairs
            return (Tradable(tuple(_ours(pair.symbol) for pair in pairs)),)
        case _, "subscribe":
            return (_acknowledgement(message),)
        case "", "":
            raise BadMessage("neither a channel nor a method")
        case channel, method:
            return (Ignored(channel or method),)


def _acknowledgement(message: _Message) -> Event:
    if not message.success:
        return Refused(message.error)
    if message.result is None or message.result.channel != "ticker":
        return Ignored("subscribe")
    return Subscribed((_ours(message.result.symbol),))


def _ours(symbol: str) -> str:
    return symbol.replace("/", "-")
