"""Bitstamp: https://www.bitstamp.net/websocket/v2/ and https://www.bitstamp.net/api/."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tests.exchange_standin.manners import Answer, Manners, Market, NoSuchPath, encoded


class Bitstamp(Manners):
    name = "bitstamp"
    snapshots = False
    example = """{
  "event": "trade", "channel": "live_trades_btcusd", "data": {
    "id": 320158923, "timestamp": "1707130110", "amount": 0.005, "amount_str": "0.00500000",
    "price": 42740, "price_str": "42740", "type": 0, "microtimestamp": "1707130110418000",
    "buy_order_id": 1711861297471491, "sell_order_id": 1711861296590848
  }
}"""

    def theirs(self, symbol: str) -> str:
        return symbol.replace("-", "").lower()

    def answer(
        self, markets: Mapping[str, Market], message: str, holds: Sequence[str], path: str
    ) -> Answer:
        del holds, path
        request = json.loads(message)
        if request["event"] == "bts:heartbeat":
            beat = {"event": "bts:heartbeat", "channel": "", "data": {"status": "success"}}
            return Answer([encoded(beat)])
        channel = request["data"]["channel"]
        accepted = self.find(markets, [channel.removeprefix("live_trades_")])
        if not accepted:
            fault = {"code": None, "message": "Bad subscription string."}
            return Answer([encoded({"event": "bts:error", "channel": "", "data": fault})])
        reply = {"event": "bts:subscription_succeeded", "channel": channel, "data": {}}
        return Answer([encoded(reply)], accepted)

    def price(self, market: Market) -> str:
        data = {
            "id": market.number,
            "timestamp": str(market.time_ms // 1000),
            "amount": 0.25,
            "amount_str": market.size,
            "price": float(market.price or "0") if _plain(market.price) else 0,
            "price_str": market.price,
            "type": 0,
            "microtimestamp": str(market.time_ms * 1000),
        }
        channel = f"live_trades_{self.theirs(market.symbol)}"
        return encoded({"event": "trade", "channel": channel, "data": data})

    def shutdown(self) -> str:
        return encoded({"event": "bts:request_reconnect", "channel": "", "data": ""})

    def rest(self, markets: Mapping[str, Market], path: str, query: Mapping[str, str]) -> object:
        del query
        if path == "/api/v2/markets/":
            return [self._market(market) for market in markets.values()]
        if path == "/api/v2/ticker/":
            return [self._ticker(market) for market in markets.values() if market.price]
        names = [path.removeprefix("/api/v2/ticker/").strip("/")]
        found = self.find(markets, names)
        if not found or markets[found[0]].price is None:
            raise NoSuchPath
        return self._ticker(markets[found[0]])

    def _ticker(self, market: Market) -> object:
        pair = f"{market.base}/{market.quote}"
        return {
            "last": market.price,
            "pair": pair,
            "timestamp": "1707130110",
            "side": "0",
            "open": market.open,
            "open_24": market.open,
            "high": market.high,
            "low": market.low,
            "volume": market.volume,
            "percent_change_24": market.change,
            "bid": market.bid or market.price,
            "ask": market.ask or market.price,
        }

    def _market(self, market: Market) -> object:
        return {
            "name": f"{market.base}/{market.quote}",
            "market_symbol": self.theirs(market.symbol),
            "base_currency": market.base,
            "base_decimals": 8,
            "counter_currency": market.quote,
            "counter_decimals": len(market.tick.partition(".")[2]),
            "trading": "Enabled" if market.trading else "Disabled",
            "market_type": "SPOT",
        }


def _plain(price: str | None) -> bool:
    """Tell whether JSON can have the price as a number."""
    return price is not None and price.replace(".", "", 1).isdecimal()


BITSTAMP = Bitstamp()
