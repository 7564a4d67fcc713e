"""An encoding: a format for messages and prices, and the framing that carries them.

Subscribers with the same encoding share every byte that is made for them, so an encoding is
part of a topic's key (`ticker.market.topic`). Rules for this module: pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Protocol

import attrs

from ticker.protocol.details import Detail
from ticker.protocol.messages import Message
from ticker.protocol.requests import Request


class ShownQuote(Protocol):
    """What of a quote is shown."""

    @property
    def symbol(self) -> str:
        """As in `BTC-USD`."""

    @property
    def price(self) -> Decimal:
        """Exactly as the market gave it."""

    @property
    def time_ms(self) -> int:
        """When the market made it, in milliseconds since the epoch."""

    @property
    def source(self) -> str:
        """Where it comes from."""


class Format(Protocol):
    """How values become bytes, before they are framed."""

    def entry(self, quote: ShownQuote, detail: Detail) -> bytes:
        """Encode one quote as it stands in `data`."""

    def ticker(
        self,
        entries: Iterable[bytes],
        *,
        seq: int,
        time_ms: int,
        prev: int | None = None,
        snapshot: bool = False,
    ) -> bytes:
        """Encode a ticker message of ready entries; `prev` where it holds changes since that."""

    def message(self, message: Message) -> bytes:
        """Encode any other message."""

    def request(self, message: str | bytes) -> Request:
        """Decode what a client sent; raises BadMessageError where it is no request."""


@attrs.frozen(eq=False)
class Encoding:
    """A format in a framing; two are the same only where they are one object.

    Attributes:
        name: what it is called in a repr.
        format: how values become bytes.
        frame: puts the bytes of one message into what is written.
    """

    name: str
    format: Format = attrs.field(repr=False)
    frame: Callable[[bytes], bytes] = attrs.field(repr=False)

    def message(self, message: Message) -> bytes:
        """Return a message as it is written."""
        return self.frame(self.format.message(message))
