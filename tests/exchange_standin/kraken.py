"""Kraken, WebSocket API v2: https://docs.kraken.com/api/docs/websocket-v2/ticker."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.exchange_standin.manners import Answer, Manners, Market, NoSuchPath, candles, encoded

_TIMES = {"time_in": "2023-09-25T09:04:31.742599Z", "time_out": "2023-09-25T09:04:31.742648Z"}
_OLD = {"BTC": "XBT", "DOGE": "XDG"}


class Kraken(Manners):
    name = "kraken"
    path = "/v2"
    example = """{
  "channel": "ticker", "type": "snapshot", "data": [{
    "symbol": "ALGO/USD", "bid": 0.10025, "bid_qty": 740.0, "ask": 0.10036,
    "ask_qty": 1361.44813783, "last": 0.10035, "volume": 997038.98383185, "vwap": 0.10148,
    "low": 0.09979, "high": 0.10285, "change": -0.00017, "change_pct": -0.17
  }]
}"""

    def theirs(self, symbol: str) -> str:
        return symbol.replace("-", "/")

    def greeting(self, system: str) -> Sequence[str]:
        data = [{"version": "2.0.8", "system": system, "api_version": "v2"}]
        return [encoded({"channel": "status", "type": "update", "data": data})]

    def answer(
        self, markets: Mapping[str, Market], message: str, holds: Sequence[str], path: str
    ) -> Answer:
        del path, holds
        request = json.loads(message)
        accepted, replies = [], []
        for pair in request["params"]["symbol"]:
            reply: dict[str, Any] = {"method": "subscribe", "req_id": request["req_id"], **_TIMES}
            symbol = pair.replace("/", "-")
            if symbol in markets:
                accepted.append(symbol)
                result = {"channel": "ticker", "snapshot": True, "symbol": pair}
                reply |= {"result": result, "success": True}
            else:
                error = f"Currency pair not supported {pair}"
                reply |= {"error": error, "success": False, "symbol": pair}
            replies.append(encoded(reply))
        return Answer(replies, accepted)

    def heartbeat(self, markets: Mapping[str, Market], holds: Sequence[str]) -> Sequence[str]:
        del markets
        return ['{"channel":"heartbeat"}'] if holds else []

    def price(self, market: Market) -> str:
        pair, price = self.theirs(market.symbol), market.price
        # Spelled out, since a float would lose the digits that the exchange sends.
        return (
            f'{{"channel":"ticker","type":"update","data":[{{"symbol":"{pair}",'
            f'"bid":{market.bid or price},"bid_qty":740.0,"ask":{market.ask or price},'
            f'"ask_qty":1361.44813783,"last":{price},"volume":{market.volume},"vwap":0.10148,'
            f'"low":{market.low},"high":{market.high},"change":-0.00017,'
            f'"change_pct":{market.change}}}]}}'
        )

    def rest(self, markets: Mapping[str, Market], path: str, query: Mapping[str, str]) -> object:
        known = {self._altname(market): market for market in markets.values()}
        wanted = query["pair"].split(",") if "pair" in query else list(known)
        if any(name not in known for name in wanted):
            return {"error": ["EQuery:Unknown asset pair"]}
        found = [known[name] for name in wanted]
        if path == "/0/public/AssetPairs":
            return {"error": [], "result": {self._key(each): self._pair(each) for each in found}}
        if path == "/0/public/Ticker":
            last = {
                self._key(each): {"c": [each.price, "0.01"], "a": [each.price, "1", "1.000"]}
                for each in found
                if each.price is not None
            }
            return {"error": [], "result": last}
        if path == "/0/public/OHLC":
            return self._candles(found[0], query)
        raise NoSuchPath

    def _candles(self, market: Market, query: Mapping[str, str]) -> object:
        step_ms, now_ms = int(query["interval"]) * 60_000, self.clock()
        newest = candles(market, step_ms, now_ms - 720 * step_ms, now_ms)
        since = int(query["since"])
        rows = [
            [
                each.begin_ms // 1000,
                each.open,
                each.high,
                each.low,
                each.close,
                "101",
                each.volume,
                7,
            ]
            for each in newest
            if each.begin_ms // 1000 > since and not each.empty
        ]
        last = newest[-1].begin_ms // 1000 if newest else since
        return {"error": [], "result": {self._key(market): rows, "last": last}}

    def _key(self, market: Market) -> str:
        """Return what REST calls it: the oldest coins with a letter before each currency."""
        if market.base in {"BTC", "ETH"} and market.quote in {"USD", "EUR"}:
            return f"X{_OLD.get(market.base, market.base)}Z{market.quote}"
        return self._altname(market)

    def _altname(self, market: Market) -> str:
        return "".join(_OLD.get(each, each) for each in (market.base, market.quote))

    def _pair(self, market: Market) -> object:
        names = (_OLD.get(each, each) for each in (market.base, market.quote))
        return {
            "altname": self._altname(market),
            "wsname": "/".join(names),
            "base": f"X{_OLD.get(market.base, market.base)}",
            "quote": f"Z{market.quote}",
            "tick_size": market.tick,
            "status": "online" if market.trading else "cancel_only",
        }


KRAKEN = Kraken()
