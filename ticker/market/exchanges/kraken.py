"""The source `kraken`: Kraken's spot WebSocket API v2, public, without an account.

Rules of the exchange that this follows:

- `ticker` sends a snapshot upon subscribing and an update on every trade; each symbol is
  acknowledged, or refused, by a message of its own.
  https://docs.kraken.com/api/docs/websocket-v2/ticker
- `heartbeat` comes about once a second "in the absence of any other channel updates", so that
  any message is a sign of life. https://docs.kraken.com/api/docs/websocket-v2/heartbeat
- `status` tells, upon connecting and on each change, whether the engine is `online`.
  https://docs.kraken.com/api/docs/websocket-v2/status
- Tickers are not numbered: a gap cannot be seen, and none can last, since each ticker is whole.

`BTC-USD` is `BTC/USD` there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ticker.market.exchanges import kraken_messages as wire
from ticker.market.exchanges.dialect import Dialect
from ticker.market.exchanges.feed import Feed, create_feed
from ticker.market.sources import SourceContext

__all__ = ["DIALECT", "create"]


def _subscriptions(symbols: Sequence[str]) -> Sequence[str]:
    request = {
        "method": "subscribe",
        "params": {
            "channel": "ticker",
            "symbol": [symbol.replace("-", "/") for symbol in symbols],
        },
    }
    return [msgspec.json.encode(request).decode()]


DIALECT: Final = Dialect(
    name="kraken",
    url="wss://ws.kraken.com/v2",
    parse=wire.parse,
    subscriptions=_subscriptions,
    catalogue_request='{"method":"subscribe","params":{"channel":"instrument"}}',
    any_message_is_alive=True,
)


def create(argument: str, context: SourceContext) -> Feed:
    """Make the source for `kraken`."""
    return create_feed(DIALECT, argument, context)
