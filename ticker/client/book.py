"""The newest price of each symbol, whether it may be acted on, and how far the stream has come.

Rules for this module: values only; messages in, no I/O and no clock. `Client.latest`,
`Client.is_live` and `Client.position` show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ticker.client.disconnects import ProtocolViolation, Retry
from ticker.client.messages import (
    Epoch,
    Message,
    Status,
    Subscribed,
    Ticker,
    Unsubscribed,
    Welcome,
)
from ticker.client.price import Price
from ticker.client.requests import Resume

#: The source that a price without one is from (docs/protocol.md, "Messages").
_UNNAMED_SOURCE: Final = "simulated"


class Book:
    """What the messages so far add up to.

    Attributes:
        latest: symbol to newest price, of the subscription in force; a view that stays current.
        position: the last frame that was applied, with the epoch that it came in; None where a
            snapshot has to come first. An epoch that was told of begins with its first frame:
            until then it is not known whether something is missing.
    """

    def __init__(self, position: Resume | None = None) -> None:
        """Begin without a price, after the frame that a program says it has."""
        self.position = position
        self._epoch = ""
        self._held: frozenset[str] | None = None  # the symbols of the subscription in force
        self._prices: dict[str, Price] = {}
        self._stale: dict[str, Status] = {}  # by source
        self.latest: Mapping[str, Price] = MappingProxyType(self._prices)

    def take(self, message: Message) -> None:
        """Take in one message.

        Raises:
            ProtocolViolation: it is a frame of changes that does not follow the last one.
            Retry: symbols were resumed that were not held, as where a role may see more than
                before: what has not changed of them would be missing.
        """
        match message:
            case Ticker():
                self._apply(message)
            case Status(state="stale", source=source):
                self._stale[source or _UNNAMED_SOURCE] = message
            case Status(source=source):
                self._stale.pop(source or _UNNAMED_SOURCE, None)
            case Welcome(epoch=epoch):
                self._stale.clear()  # a stream begins with what is stale
                self._epoch = epoch or ""
            case Epoch(epoch=epoch):
                self._epoch = epoch
            case Subscribed():
                self._hold(message)
            case Unsubscribed():
                self._held = frozenset()
                self._prices.clear()
                self.position = None

    def _hold(self, answer: Subscribed) -> None:
        """Hold the symbols of a subscription, and let go of all others."""
        self._epoch = answer.epoch or self._epoch
        if not answer.resumed:
            self.position = None
        for symbol in self._prices.keys() - set(answer.symbols):
            del self._prices[symbol]
        held, self._held = self._held, frozenset(answer.symbols)
        if answer.resumed and held is not None and not self._held <= held:
            self.position = None
            raise Retry("there are symbols that were not held before")

    def _apply(self, frame: Ticker) -> None:
        held, self.position = self.position, None
        if frame.prev is not None and (held is None or frame.prev > held.seq):
            raise ProtocolViolation("the server left out what changed between two frames")
        if frame.snapshot:
            self._prices.clear()
        self._prices.update((price.symbol, price) for price in frame.data)
        if self._epoch:
            self.position = Resume(self._epoch, frame.seq)

    def is_fresh(self, symbol: str) -> bool:
        """Whether there is a price of the symbol whose source is not stale, in it or at all."""
        price = self._prices.get(symbol)
        if price is None:
            return False
        status = self._stale.get(price.source or _UNNAMED_SOURCE)
        return status is None or bool(status.symbols and symbol not in status.symbols)
