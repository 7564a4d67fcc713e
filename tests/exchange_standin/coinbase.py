"""Coinbase Exchange: https://docs.cdp.coinbase.com/exchange/websocket-feed/channels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from tests.exchange_standin.manners import Answer, Manners, Market, NoSuchPath, candles, encoded


def _time(market: Market) -> str:
    moment = datetime.fromtimestamp(market.time_ms / 1000, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


class Coinbase(Manners):
    name = "coinbase"
    subscribe_seconds = 5
    example = """{
  "type": "ticker", "sequence": 37475248783, "product_id": "ETH-USD", "price": "1285.22",
  "open_24h": "1310.79", "volume_24h": "245532.79269678", "low_24h": "1280.52",
  "high_24h": "1313.8", "volume_30d": "9788783.60117027", "best_bid": "1285.04",
  "best_bid_size": "0.46688654", "best_ask": "1285.27", "best_ask_size": "1.56637040",
  "side": "buy", "time": "2022-10-19T23:28:22.061769Z", "trade_id": 370843401,
  "last_size": "11.4396987"
}"""

    def theirs(self, symbol: str) -> str:
        return symbol

    def answer(
        self, markets: Mapping[str, Market], message: str, holds: Sequence[str], path: str
    ) -> Answer:
        del path
        request = json.loads(message)
        asked = request["product_ids"]
        for product in asked:
            if product not in markets:
                reason = f"{product} is not a valid product"
                refusal = {"type": "error", "message": "Failed to subscribe", "reason": reason}
                return Answer([encoded(refusal)])
        # The whole of what the connection is subscribed to.
        held = list(dict.fromkeys([*holds, *asked]))
        channels = [{"name": name, "product_ids": held} for name in request["channels"]]
        return Answer([encoded({"type": "subscriptions", "channels": channels})], asked)

    def heartbeat(self, markets: Mapping[str, Market], holds: Sequence[str]) -> Sequence[str]:
        return [
            encoded(
                {
                    "type": "heartbeat",
                    "sequence": 90,
                    "last_trade_id": markets[symbol].number,
                    "product_id": symbol,
                    "time": "2014-11-07T08:19:28.464459Z",
                }
            )
            for symbol in holds
            if symbol in markets
        ]

    def price(self, market: Market) -> str:
        return encoded(
            {
                "type": "ticker",
                "sequence": 37475248783 + market.number,
                "product_id": market.symbol,
                "price": market.price,
                "open_24h": market.open,
                "volume_24h": market.volume,
                "low_24h": market.low,
                "high_24h": market.high,
                "best_bid": market.bid or market.price,
                "best_ask": market.ask or market.price,
                "side": "buy",
                "time": _time(market),
                "trade_id": market.number,
                "last_size": "11.4396987",
            }
        )

    def rest(self, markets: Mapping[str, Market], path: str, query: Mapping[str, str]) -> object:
        parts = path.strip("/").split("/")
        if parts[0] != "products":
            raise NoSuchPath
        if len(parts) == 1:
            return [self._product(market) for market in markets.values()]
        if parts[1] not in markets:
            raise NoSuchPath
        market = markets[parts[1]]
        if len(parts) == 2:
            return self._product(market)
        if parts[2] == "candles":
            return self._candles(market, query)
        if market.price is None:
            raise NoSuchPath
        return {
            "trade_id": market.number,
            "price": market.price,
            "size": "5",
            "time": _time(market),
            "bid": market.price,
            "ask": market.price,
            "volume": "1",
        }

    def _candles(self, market: Market, query: Mapping[str, str]) -> Sequence[Sequence[object]]:
        first, last = (
            int(datetime.fromisoformat(query[name]).timestamp()) for name in ("start", "end")
        )
        step = int(query["granularity"])
        if (last - first) // step >= 300:
            raise NoSuchPath(400)
        # Newest first, as numbers, and nothing of where nothing was traded.
        return [
            [
                each.begin_ms // 1000,
                float(each.low),
                float(each.high),
                float(each.open),
                float(each.close),
                float(each.volume),
            ]
            for each in reversed(candles(market, step * 1000, first * 1000, (last + step) * 1000))
            if not each.empty
        ]

    def _product(self, market: Market) -> object:
        return {
            "id": market.symbol,
            "base_currency": market.base,
            "quote_currency": market.quote,
            "quote_increment": market.tick,
            "base_increment": "0.00000001",
            "display_name": market.symbol.replace("-", "/"),
            "post_only": False,
            "limit_only": False,
            "cancel_only": False,
            "status": "online",
            "status_message": "",
            "trading_disabled": not market.trading,
        }


COINBASE = Coinbase()
