"""What a message of a recording says, whichever exchange it is of, or of another Ticker.

The exchanges are found by their entry points: a further one plays without a word here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points

import msgspec

from ticker.market.exchanges import ticker_stream
from ticker.market.exchanges.decoding import UNREADABLE, BadMessage
from ticker.market.exchanges.dialect import Dialect
from ticker.market.exchanges.events import PriceSeen
from ticker.market.exchanges.exchange import Exchange
from ticker.market.quote import SYMBOL
from ticker.market.sources import GROUP

__all__ = ["dialects", "recorded_prices"]

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


@cache
def dialects() -> Mapping[str, Dialect]:
    """Return the dialect of every exchange that is installed, by the source's name."""
    found = {entry.name: entry.load() for entry in entry_points(group=GROUP)}
    return {name: each.dialect for name, each in found.items() if isinstance(each, Exchange)}


def _checked(symbol: str) -> str:
    if SYMBOL.fullmatch(symbol) is None:
        raise BadMessage(f"symbol {symbol[:40]!r}")
    return symbol


def recorded_prices(message: bytes) -> Sequence[PriceSeen]:
    """Return the prices in a recorded message, their symbols in our form.

    Raises:
        BadMessage: it makes no sense, or is of no exchange that is known.
    """
    try:
        array = message.lstrip()[:1] == b"["
        fields = {"[]": msgspec.Raw(message)} if array else _fields.decode(message)
    except UNREADABLE as error:
        raise BadMessage(str(error)) from None
    if ticker_stream.recognises(fields):
        seen = ticker_stream.parse(message)
        for price in seen:
            _checked(price.symbol)
        return seen
    for dialect in dialects().values():
        if dialect.recognises(fields):
            return [
                msgspec.structs.replace(event, symbol=_checked(dialect.guess(event.symbol)))
                for event in dialect.parse(message)
                if isinstance(event, PriceSeen)
            ]
    raise BadMessage("of no exchange that is known")
