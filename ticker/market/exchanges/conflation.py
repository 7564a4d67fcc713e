"""Of many prices of one symbol, those that make a difference.

Rules for this module: pure. Between two batches the newest price is all that subscribers need. Bars
need more: of each second its first, highest, lowest and last price, and all that was traded in it.
So of each second at most four quotes go on, in the order in which they came, however many there
were; what was traded with the others is added to the next one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ticker.limits import FEED_BATCH_QUOTES
from ticker.market.quote import Quote

__all__ = ["Conflated"]

_NOTHING: Final = Decimal(0)


class Conflated:
    """The quotes of one symbol since they were taken last."""

    __slots__ = ("_again", "_quotes")

    def __init__(self) -> None:
        self._quotes: list[Quote] = []
        self._again: Quote | None = None

    def add(self, quote: Quote) -> None:
        """Take in a price that is newer than all before."""
        self._again = None
        quotes = self._quotes
        quotes.append(quote)
        first, second = len(quotes) - 1, quote.time_ms // 1000
        while first and quotes[first - 1].time_ms // 1000 == second:
            first -= 1
        spare = _spare(quotes[first:])
        if spare is not None:
            self._merge(first + spare)
        if len(quotes) > FEED_BATCH_QUOTES:
            self._merge(0)

    def _merge(self, place: int) -> None:
        """Leave a quote out, and count what was traded with it to the next one."""
        left_out, following = self._quotes[place], self._quotes[place + 1]
        traded: Decimal | None = None
        if left_out.traded is not None and following.traded is not None:
            traded = left_out.traded + following.traded
        self._quotes[place + 1] = msgspec.structs.replace(following, traded=traded)
        del self._quotes[place]

    def add_late(self, quote: Quote, newest: Quote) -> None:
        """Take in a trade that came after newer ones.

        Args:
            quote: of that trade.
            newest: of the newest trade, which stays the newest.
        """
        self._again = None
        if self._quotes:
            self._quotes.insert(-1, quote)
        else:
            self._quotes = [quote, msgspec.structs.replace(newest, traded=_NOTHING)]

    def renew(self, quote: Quote) -> None:
        """Learn more of the newest price, without a trade: its details, or that it still is it."""
        if self._quotes:
            traded = self._quotes[-1].traded
            self._quotes[-1] = msgspec.structs.replace(quote, traded=traded)
        else:
            self._again = quote

    def take(self) -> list[Quote]:
        """Return what is to go on, the newest last, and begin anew."""
        taken, self._quotes = self._quotes, []
        if self._again is not None:
            taken, self._again = [self._again], None
        return taken


def _spare(quotes: Sequence[Quote]) -> int | None:
    """Return the place of one that tells no first, highest, lowest or last price, if any does."""
    if len(quotes) < 2:  # noqa: PLR2004 - a first and a last
        return None
    first, last = quotes[0].price, quotes[-1].price
    if first == quotes[1].price:
        return 0
    highest, lowest = (first, last) if first > last else (last, first)
    high = low = None
    for place in range(1, len(quotes) - 1):
        price = quotes[place].price
        if price > highest:
            if high is not None:
                return high
            high, highest = place, price
        elif price < lowest:
            if low is not None:
                return low
            low, lowest = place, price
        else:
            return place
    return None
