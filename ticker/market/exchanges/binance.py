"""The source `binance`: Binance's combined spot streams, public, without an account.

Rules of the exchange that this follows:

- Of the streams with a price, `trade` has the exchange's own time and numbers every trade of
  a symbol without gaps; `bookTicker` has neither. So the price is that of the last trade,
  as it is at the other exchanges, and a number left out is a gap. A gap loses trades, not
  the newest price: it is counted.
- A connection lives 24 h; it is replaced after 23, or when `serverShutdown` announces its end.
- The server pings every 20 s and wants the pong within a minute (trio-websocket's part).
  There is no other heartbeat, so that we ping it too, well within the limit of 5 messages
  a second: a pong tells that everything said before it has arrived.
- At most 1024 streams a connection, and 300 connections in 5 minutes.
- An unknown symbol is accepted in silence, so that symbols are first looked up among the
  prices of all (`ticker.price` of the WebSocket API, at another address: of ours, where
  the address is set, the path `/ws-api/v3`).

https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
https://developers.binance.com/docs/binance-spot-api-docs/websocket-api/market-data-requests

`BTC-USDT` is `BTCUSDT` there. Nothing is quoted in USD: `BTC-USD` is the price in USDT, and
a warning says so at start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from ticker.limits import BINANCE_LIFETIME_SECONDS, BINANCE_STREAMS
from ticker.market.exchanges import binance_messages as wire
from ticker.market.exchanges.dialect import Dialect
from ticker.market.exchanges.feed import Feed, create_feed
from ticker.market.sources import SourceContext

__all__ = ["DIALECT", "create"]

URL: Final = "wss://stream.binance.com:9443/stream"
CATALOGUE_URL: Final = "wss://ws-api.binance.com:443/ws-api/v3"


def _canonical(symbol: str) -> str:
    return f"{symbol}T" if symbol.endswith("-USD") else symbol


def _subscriptions(symbols: Sequence[str]) -> Sequence[str]:
    request = {
        "method": "SUBSCRIBE",
        "params": [f"{symbol.replace('-', '').lower()}@trade" for symbol in symbols],
        "id": 1,
    }
    return [msgspec.json.encode(request).decode()]


def _catalogue_url(url: str) -> str:
    if url == URL:
        return CATALOGUE_URL
    return urlunsplit(urlsplit(url)._replace(path="/ws-api/v3", query=""))


DIALECT: Final = Dialect(
    name="binance",
    url=URL,
    parse=wire.parse,
    canonical=_canonical,
    subscriptions=_subscriptions,
    catalogue_url=_catalogue_url,
    catalogue_request='{"id":1,"method":"ticker.price","params":{},"returnRateLimits":false}',
    names_unknown=False,
    pings=True,
    consecutive=True,
    lifetime_seconds=BINANCE_LIFETIME_SECONDS,
    most_symbols=BINANCE_STREAMS,
)


def create(argument: str, context: SourceContext) -> Feed:
    """Make the source for `binance`."""
    return create_feed(DIALECT, argument, context)
