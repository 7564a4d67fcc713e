"""Binance and Binance.US.

https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tests.exchange_standin.manners import Answer, Manners, Market, NoSuchPath, candles, encoded


class Binance(Manners):
    name = "binance"
    path = "/stream"
    snapshots = False
    most_bytes = 4096
    most_requests = 5
    example = """{
  "stream": "bnbbtc@trade", "data": {
    "e": "trade", "E": 1672515782136, "s": "BNBBTC", "t": 12345, "p": "0.001", "q": "100",
    "b": 88, "a": 50, "T": 1672515782136, "m": true, "M": true
  }
}"""

    def __init__(self, name: str = "binance", *, raw: bool = False, micros: bool = False) -> None:
        """Speak as one of the two, in one of the documented forms."""
        self.name = name
        self.raw = raw
        self.micros = micros
        if raw:
            self.path = "/ws"

    def theirs(self, symbol: str) -> str:
        return symbol.replace("-", "")

    def answer(
        self, markets: Mapping[str, Market], message: str, holds: Sequence[str], path: str
    ) -> Answer:
        request = json.loads(message)
        if request["method"] == "LIST_SUBSCRIPTIONS":
            names = [self.theirs(symbol).lower() for symbol in holds]
            streams = [f"{name}@{kind}" for name in names for kind in ("trade", "ticker")]
            return Answer([encoded({"result": streams, "id": request["id"]})])
        if request["method"] != "SUBSCRIBE" or not path.startswith(self.path):
            fault = {"code": 2, "msg": "Invalid request: unknown variant"}
            return Answer([encoded({"error": fault, "id": request["id"]})])
        # Unknown streams are accepted, and silent.
        trades = [stream for stream in request["params"] if stream.endswith("@trade")]
        accepted = self.find(markets, [each.removesuffix("@trade").upper() for each in trades])
        return Answer([encoded({"result": None, "id": request["id"]})], accepted)

    def price(self, market: Market) -> str:
        name = self.theirs(market.symbol)
        time = market.time_ms * 1000 if self.micros else market.time_ms
        data = {
            "e": "trade",
            "E": time,
            "s": name,
            "t": market.number,
            "p": market.price,
            "q": market.size,
            "T": time,
            "m": True,
            "M": True,
        }
        return encoded(data if self.raw else {"stream": f"{name.lower()}@trade", "data": data})

    def ticker(self, market: Market) -> str:
        name = self.theirs(market.symbol)
        data = {
            "e": "24hrTicker",
            "E": market.time_ms * 1000 if self.micros else market.time_ms,
            "s": name,
            "P": market.change,
            "c": market.price,
            "b": market.bid or market.price,
            "a": market.ask or market.price,
            "o": market.open,
            "h": market.high,
            "l": market.low,
            "v": market.volume,
            "L": market.number,
        }
        return encoded(data if self.raw else {"stream": f"{name.lower()}@ticker", "data": data})

    def heartbeat(self, markets: Mapping[str, Market], holds: Sequence[str]) -> Sequence[str]:
        """Return the tickers, which come each second of what was ever traded."""
        known = [markets[symbol] for symbol in holds if symbol in markets]
        return [self.ticker(market) for market in known if market.price is not None]

    def shutdown(self) -> str:
        event = {"e": "serverShutdown", "E": 1770123456789}
        return encoded(event if self.raw else {"stream": "!serverShutdown", "data": event})

    def rest(self, markets: Mapping[str, Market], path: str, query: Mapping[str, str]) -> object:
        if path == "/api/v3/klines":
            return self._candles(markets, query)
        names = json.loads(query["symbols"]) if "symbols" in query else None
        found = list(markets) if names is None else self.find(markets, names)
        if names is not None and len(found) != len(names):
            raise NoSuchPath(400)  # -1121, Invalid symbol
        if path == "/api/v3/exchangeInfo":
            return {"timezone": "UTC", "symbols": [self._symbol(markets[each]) for each in found]}
        if path == "/api/v3/ticker/price":
            return [
                {"symbol": self.theirs(each), "price": price}
                for each in found
                if (price := markets[each].price) is not None
            ]
        raise NoSuchPath

    def _candles(self, markets: Mapping[str, Market], query: Mapping[str, str]) -> object:
        found = self.find(markets, [query["symbol"]])
        if not found:
            raise NoSuchPath(400)
        step_ms = {"1m": 60_000, "1h": 3_600_000}[query["interval"]]
        begin, end = int(query["startTime"]), int(query["endTime"]) + 1
        first = begin + -begin % step_ms
        return [
            [
                *(each.begin_ms, each.open, each.high, each.low, each.close, each.volume),
                *(each.begin_ms + step_ms - 1, "1", 7, "1", "1", "0"),
            ]
            for each in candles(markets[found[0]], step_ms, first, end)[: int(query["limit"])]
        ]

    def _symbol(self, market: Market) -> object:
        return {
            "symbol": self.theirs(market.symbol),
            "status": "TRADING" if market.trading else "BREAK",
            "baseAsset": market.base,
            "quoteAsset": market.quote,
            "filters": [{"filterType": "PRICE_FILTER", "tickSize": market.tick}],
        }


BINANCE = Binance()
BINANCE_US = Binance("binance_us")
