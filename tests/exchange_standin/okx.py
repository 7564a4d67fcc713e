"""OKX: https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-tickers-channel."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tests.exchange_standin.manners import Answer, Manners, Market, NoSuchPath, encoded


class Okx(Manners):
    name = "okx"
    path = "/ws/v5/public"
    most_requests = 3
    example = """{
  "arg": {"channel": "tickers", "instId": "LTC-USDT"},
  "data": [{
    "instType": "SPOT", "instId": "LTC-USDT", "last": "9999.99", "lastSz": "0.1",
    "askPx": "9999.99", "askSz": "11", "bidPx": "8888.88", "bidSz": "5", "open24h": "9000",
    "high24h": "10000", "low24h": "8888.88", "volCcy24h": "2222", "vol24h": "2222",
    "sodUtc0": "2222", "sodUtc8": "2222", "ts": "1597026383085"
  }]
}"""

    def theirs(self, symbol: str) -> str:
        return symbol

    def answer(
        self, markets: Mapping[str, Market], message: str, holds: Sequence[str], path: str
    ) -> Answer:
        del holds, path
        if message == "ping":
            return Answer(["pong"])
        request = json.loads(message)
        accepted, replies = [], []
        for arg in request["args"]:
            reply = {"id": request["id"], "connId": "a4d3ae55"}
            if arg["instId"] in markets:
                accepted.append(arg["instId"])
                replies.append(encoded(reply | {"event": "subscribe", "arg": arg}))
            else:
                text = f"Wrong URL or channel:tickers,instId:{arg['instId']} doesn't exist."
                fault = {"event": "error", "code": "60018", "msg": text}
                replies.append(encoded(reply | fault))
        return Answer(replies, accepted)

    def price(self, market: Market) -> str:
        arg = {"channel": "tickers", "instId": market.symbol}
        return encoded({"arg": arg, "data": [self._ticker(market)]})

    def shutdown(self) -> str:
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        return encoded({"event": "notice", "code": "64008", "msg": text, "connId": "a4d3ae55"})

    def rest(self, markets: Mapping[str, Market], path: str, query: Mapping[str, str]) -> object:
        wanted = query.get("instId")
        found = [each for each in markets.values() if wanted in {None, each.symbol}]
        if not found:
            return {"code": "51001", "msg": "Instrument ID doesn't exist", "data": []}
        if path == "/api/v5/public/instruments":
            return {"code": "0", "msg": "", "data": [self._instrument(each) for each in found]}
        if path in {"/api/v5/market/tickers", "/api/v5/market/ticker"}:
            data = [self._ticker(each) for each in found if each.price is not None]
            return {"code": "0", "msg": "", "data": data}
        raise NoSuchPath

    def _ticker(self, market: Market) -> object:
        return {
            "instType": "SPOT",
            "instId": market.symbol,
            "last": market.price,
            "lastSz": market.size,
            "askPx": market.ask or market.price,
            "bidPx": market.bid or market.price,
            "open24h": market.open,
            "high24h": market.high,
            "low24h": market.low,
            "vol24h": market.volume,
            "ts": str(market.time_ms),
        }

    def _instrument(self, market: Market) -> object:
        return {
            "instType": "SPOT",
            "instId": market.symbol,
            "baseCcy": market.base,
            "quoteCcy": market.quote,
            "tickSz": market.tick,
            "state": "live" if market.trading else "suspend",
        }


OKX = Okx()
