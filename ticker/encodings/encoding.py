"""An encoding: a format for messages and prices, and the framing that carries them.

Subscribers with the same encoding share every byte that is made for them, so an encoding is
part of a topic's key (`ticker.market.topic`). Rules for this module: pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from operator import attrgetter
from typing import Final, Protocol

import attrs

from ticker.protocol.details import FULL_FIELDS, Detail
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

    @property
    def details(self) -> object | None:
        """What only the detail `full` shows, by the names of `FULL_FIELDS`; None for nothing."""


#: Reads the attributes that only the detail `full` shows, all at once, of a quote's `details`.
full_values: Final[Callable[[object], tuple[Decimal | int | None, ...]]] = attrgetter(*FULL_FIELDS)


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
        frame_ticker: does so for a ticker message, of which it is told the epoch and the seq,
            where that is another way.
    """

    name: str
    format: Format = attrs.field(repr=False)
    frame: Callable[[bytes], bytes] = attrs.field(repr=False)
    frame_ticker: Callable[[bytes, str, int], bytes] | None = attrs.field(default=None, repr=False)

    def ticker(
        self,
        entries: Iterable[bytes],
        *,
        epoch: str,
        seq: int,
        time_ms: int,
        prev: int | None = None,
        snapshot: bool = False,
    ) -> bytes:
        """Return a ticker message as it is written; see `Format.ticker`."""
        message = self.format.ticker(
            entries, seq=seq, time_ms=time_ms, prev=prev, snapshot=snapshot
        )
        if self.frame_ticker is None:
            return self.frame(message)
        return self.frame_ticker(message, epoch, seq)

    def message(self, message: Message) -> bytes:
        """Return a message as it is written."""
        return self.frame(self.format.message(message))
