"""How each exchange answers and what its messages look like, after its documentation.

The examples are the documentation's own, but for prices and names where noted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import attrs

#: What every stand-in lists, in our form of the symbol.
LISTED = (
    *("BTC-USD", "ETH-USD", "SOL-USD", "BTC-USDT", "ETH-USDT", "SOL-USDT"),
    # What the recorded captures have:
    *("SKL-USD", "SKL-BTC", "SKL-GBP", "BAND-BTC", "BAND-GBP", "DASH-BTC", "NMR-EUR", "CRV-EUR"),
    *("NU-GBP", "YFI-BTC", "NKN-USDT", "LRC-BTC", "BLZ-ETH"),
)


@attrs.frozen(kw_only=True)
class Manners:
    """One exchange's side of its protocol.

    Attributes:
        name: the exchange's.
        answer: the replies to a request; which symbols it subscribed to comes first.
        heartbeat: what is sent each second to a connection with these symbols; the last
            argument has the number of each symbol's newest trade.
        price: the message of one trade of a symbol.
        refuses: how it begins to refuse, in words that a user sees.
    """

    name: str
    answer: Callable[[Any, str], tuple[list[str], list[str]]]
    heartbeat: Callable[[Sequence[str], dict[str, int]], list[str]]
    price: Callable[[str, str, int], str]
    greeting: Sequence[str] = ()
    example: str


def encoded(message: object) -> str:
    return json.dumps(message, separators=(",", ":"))


# https://docs.cdp.coinbase.com/exchange/websocket-feed/channels


def _coinbase_answer(request: Any, path: str) -> tuple[list[str], list[str]]:
    del path
    if request["channels"] == [{"name": "status"}]:
        products = [
            {"id": symbol, "base_currency": symbol.split("-")[0], "status": "online"}
            for symbol in LISTED
        ]
        return [], [encoded({"type": "status", "products": products, "currencies": []})]
    asked = request["product_ids"]
    for product in asked:
        if product not in LISTED:
            reason = f"{product} is not a valid product"
            refusal = {"type": "error", "message": "Failed to subscribe", "reason": reason}
            return [], [encoded(refusal)]
    channels = [{"name": name, "product_ids": asked} for name in request["channels"]]
    return asked, [encoded({"type": "subscriptions", "channels": channels})]


def _coinbase_heartbeat(symbols: Sequence[str], numbers: dict[str, int]) -> list[str]:
    return [
        encoded(
            {
                "type": "heartbeat",
                "sequence": 90,
                "last_trade_id": numbers.get(symbol, 0),
                "product_id": symbol,
                "time": "2014-11-07T08:19:28.464459Z",
            }
        )
        for symbol in symbols
    ]


def _coinbase_price(symbol: str, price: str, number: int) -> str:
    return encoded(
        {
            "type": "ticker",
            "sequence": 37475248783 + number,
            "product_id": symbol,
            "price": price,
            "open_24h": "1310.79",
            "best_bid": price,
            "best_ask": price,
            "side": "buy",
            "time": "2022-10-19T23:28:22.061769Z",
            "trade_id": number,
            "last_size": "11.4396987",
        }
    )


COINBASE = Manners(
    name="coinbase",
    answer=_coinbase_answer,
    heartbeat=_coinbase_heartbeat,
    price=_coinbase_price,
    example="""{
  "type": "ticker", "sequence": 37475248783, "product_id": "ETH-USD", "price": "1285.22",
  "open_24h": "1310.79", "volume_24h": "245532.79269678", "low_24h": "1280.52",
  "high_24h": "1313.8", "volume_30d": "9788783.60117027", "best_bid": "1285.04",
  "best_bid_size": "0.46688654", "best_ask": "1285.27", "best_ask_size": "1.56637040",
  "side": "buy", "time": "2022-10-19T23:28:22.061769Z", "trade_id": 370843401,
  "last_size": "11.4396987"
}""",
)

# https://docs.kraken.com/api/docs/websocket-v2/ticker


def _kraken_answer(request: Any, path: str) -> tuple[list[str], list[str]]:
    del path
    times = {"time_in": "2023-09-25T09:04:31.742599Z", "time_out": "2023-09-25T09:04:31.742648Z"}
    if request["params"]["channel"] == "instrument":
        pairs = [{"symbol": s.replace("-", "/"), "status": "online"} for s in LISTED]
        data = {"assets": [], "pairs": pairs}
        result = {"channel": "instrument", "snapshot": True}
        return [], [
            encoded({"method": "subscribe", "result": result, "success": True, **times}),
            encoded({"channel": "instrument", "type": "snapshot", "data": data}),
        ]
    accepted, replies = [], []
    for pair in request["params"]["symbol"]:
        if pair.replace("/", "-") in LISTED:
            accepted.append(pair.replace("/", "-"))
            result = {"channel": "ticker", "snapshot": True, "symbol": pair}
            reply = {"method": "subscribe", "result": result, "success": True, **times}
        else:
            error = f"Currency pair not supported {pair}"
            reply = {"error": error, "method": "subscribe", "success": False, "symbol": pair}
        replies.append(encoded(reply))
    return accepted, replies


def _kraken_price(symbol: str, price: str, number: int) -> str:
    del number
    pair = symbol.replace("-", "/")
    # Spelled out, since a float would lose the digits that the exchange sends.
    return (
        f'{{"channel":"ticker","type":"update","data":[{{"symbol":"{pair}","bid":{price},'
        f'"bid_qty":740.0,"ask":{price},"ask_qty":1361.44813783,"last":{price},'
        '"volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,'
        '"change":-0.00017,"change_pct":-0.17}]}'
    )


KRAKEN = Manners(
    name="kraken",
    answer=_kraken_answer,
    heartbeat=lambda symbols, _: ['{"channel":"heartbeat"}'] if symbols else [],
    price=_kraken_price,
    greeting=[
        encoded(
            {
                "channel": "status",
                "type": "update",
                "data": [{"version": "2.0.8", "system": "online", "api_version": "v2"}],
            }
        )
    ],
    example="""{
  "channel": "ticker", "type": "snapshot", "data": [{
    "symbol": "ALGO/USD", "bid": 0.10025, "bid_qty": 740.0, "ask": 0.10036,
    "ask_qty": 1361.44813783, "last": 0.10035, "volume": 997038.98383185, "vwap": 0.10148,
    "low": 0.09979, "high": 0.10285, "change": -0.00017, "change_pct": -0.17
  }]
}""",
)

# https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams


def _binance_answer(request: Any, path: str) -> tuple[list[str], list[str]]:
    if request["method"] == "ticker.price" and path.startswith("/ws-api/v3"):
        prices = [{"symbol": s.replace("-", ""), "price": "0.07200000"} for s in LISTED]
        return [], [encoded({"id": request["id"], "status": 200, "result": prices})]
    if request["method"] != "SUBSCRIBE" or not path.startswith("/stream"):
        fault = {"code": 2, "msg": "Invalid request: unknown variant"}
        return [], [encoded({"error": fault, "id": request["id"]})]
    streams = {f"{s.replace('-', '').lower()}@trade": s for s in LISTED}
    # Unknown streams are accepted, and silent.
    accepted = [streams[stream] for stream in request["params"] if stream in streams]
    return accepted, [encoded({"result": None, "id": request["id"]})]


def _binance_price(symbol: str, price: str, number: int) -> str:
    theirs = symbol.replace("-", "")
    data = {
        "e": "trade",
        "E": 1672515782136,
        "s": theirs,
        "t": number,
        "p": price,
        "q": "100",
        "b": 88,
        "a": 50,
        "T": 1672515782136,
        "m": True,
        "M": True,
    }
    return encoded({"stream": f"{theirs.lower()}@trade", "data": data})


BINANCE = Manners(
    name="binance",
    answer=_binance_answer,
    heartbeat=lambda _symbols, _numbers: [],
    price=_binance_price,
    example="""{
  "stream": "bnbbtc@trade", "data": {
    "e": "trade", "E": 1672515782136, "s": "BNBBTC", "t": 12345, "p": "0.001", "q": "100",
    "b": 88, "a": 50, "T": 1672515782136, "m": true, "M": true
  }
}""",
)
