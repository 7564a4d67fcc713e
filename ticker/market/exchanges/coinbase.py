"""The source `coinbase`: Coinbase's Exchange feed, public, without an account.

Rules of the exchange that this follows:

- One must subscribe within 5 s of connecting; `subscriptions` acknowledges; a product it does
  not have is refused with an `error`.
  https://docs.cdp.coinbase.com/exchange/websocket-feed/overview
- `heartbeat` comes each second and product with the number of its last trade, "that can be
  used to verify that no messages were missed"; `ticker` batches cascading matches, so that
  only a number a heartbeat told of before and that never came is a gap. A gap loses
  trades, never the newest price for long: the next ticker has it. It is counted.
  https://docs.cdp.coinbase.com/exchange/websocket-feed/channels
- At most 10 messages a second to it (bursts of 1000) and 10 subscriptions a product and channel.
  https://docs.cdp.coinbase.com/exchange/websocket-feed/rate-limits

Symbols are ours unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ticker.market.exchanges import coinbase_messages as wire
from ticker.market.exchanges.dialect import Dialect
from ticker.market.exchanges.feed import Feed, create_feed
from ticker.market.sources import SourceContext

__all__ = ["DIALECT", "create"]


def _subscriptions(symbols: Sequence[str]) -> Sequence[str]:
    request = {
        "type": "subscribe",
        "product_ids": symbols,
        "channels": ["ticker", "heartbeat"],
    }
    return [msgspec.json.encode(request).decode()]


DIALECT: Final = Dialect(
    name="coinbase",
    url="wss://ws-feed.exchange.coinbase.com",
    parse=wire.parse,
    subscriptions=_subscriptions,
    catalogue_request='{"type":"subscribe","channels":[{"name":"status"}]}',
)


def create(argument: str, context: SourceContext) -> Feed:
    """Make the source for `coinbase`."""
    return create_feed(DIALECT, argument, context)
