"""The newest price of each symbol, and whether it may be acted on.

Rules for this module: values only; messages in, no I/O and no clock. `Client.latest` and
`Client.is_live` show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ticker.client.messages import (
    Message,
    Price,
    Status,
    Subscribed,
    Ticker,
    Unsubscribed,
    Welcome,
)

#: The source that a price without one is from (docs/protocol.md, "Messages").
_UNNAMED_SOURCE: Final = "simulated"


class Book:
    """What the messages so far add up to.

    Attributes:
        latest: symbol to newest price, of the subscription in force; a view that stays current.
    """

    def __init__(self) -> None:
        self._prices: dict[str, Price] = {}
        self._stale: dict[str, Status] = {}  # by source
        self.latest: Mapping[str, Price] = MappingProxyType(self._prices)

    def take(self, message: Message) -> None:
        """Take in one message."""
        match message:
            case Ticker(data=prices, snapshot=snapshot):
                if snapshot:
                    self._prices.clear()
                self._prices.update((price.symbol, price) for price in prices)
            case Status(state="stale", source=source):
                self._stale[source or _UNNAMED_SOURCE] = message
            case Status(source=source):
                self._stale.pop(source or _UNNAMED_SOURCE, None)
            case Welcome():
                self._stale.clear()  # a stream begins with what is stale
            case Subscribed(symbols=symbols):
                for symbol in self._prices.keys() - set(symbols):
                    del self._prices[symbol]
            case Unsubscribed():
                self._prices.clear()

    def is_fresh(self, symbol: str) -> bool:
        """Whether there is a price of the symbol whose source is not stale, in it or at all."""
        price = self._prices.get(symbol)
        if price is None:
            return False
        status = self._stale.get(price.source or _UNNAMED_SOURCE)
        return status is None or bool(status.symbols and symbol not in status.symbols)
