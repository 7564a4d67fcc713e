"""Gaps in the numbers of trades. Pure.

A gap loses trades, never the newest price for long: it is reported, and what was traded meanwhile
is not known. A trade that comes late after all still counts in the second that it is of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ticker.limits import FEED_MISSING_TRADES
from ticker.market.exchanges.events import Alive, PriceSeen

__all__ = ["MissingTrades", "TradeNumbers"]


class TradeNumbers:
    """Compares each trade's number with the one before it, on one connection."""

    def __init__(self, report: Callable[[str, str], None], *, consecutive: bool) -> None:
        """Begin with no trade.

        Args:
            report: is told of `gap` and `out_of_order`.
            consecutive: the exchange numbers without gaps and sends every trade.
        """
        self._report: Final = report
        self._consecutive: Final = consecutive
        self._last: dict[str, int] = {}
        self._announced: dict[str, int] = {}

    def take(self, seen: PriceSeen) -> None:
        """Take in a trade."""
        if seen.number is None:
            return
        last = self._last.get(seen.symbol)
        if last is not None and seen.number < last:
            self._report("out_of_order", f"{seen.symbol} {seen.number} after {last}")
            return
        if last is not None and self._consecutive and seen.number > last + 1:
            self._report("gap", f"{seen.symbol} {seen.number - last - 1} trades left out")
        self._last[seen.symbol] = seen.number

    def compare(self, alive: Alive) -> None:
        """See whether the trade that the heartbeat before told of has come by now."""
        if alive.symbol is None or alive.number is None:
            return
        announced = self._announced.get(alive.symbol, 0)
        if self._last.get(alive.symbol, announced) < announced:
            self._report("gap", f"{alive.symbol} trade {announced} left out")
            self._last[alive.symbol] = announced
        self._announced[alive.symbol] = alive.number


class MissingTrades:
    """The newest numbers of one symbol's trades that were passed over and have not come since."""

    def __init__(self) -> None:
        self._numbers: dict[int, None] = {}

    def pass_over(self, after: int, before: int) -> bool:
        """Note the numbers between two trades; return whether there are any."""
        for number in range(max(after + 1, before - FEED_MISSING_TRADES), before):
            self._numbers[number] = None
        while len(self._numbers) > FEED_MISSING_TRADES:
            del self._numbers[next(iter(self._numbers))]
        return before > after + 1

    def came(self, number: int) -> bool:
        """Learn that a trade came after newer ones; return whether it was missing."""
        if number not in self._numbers:
            return False
        del self._numbers[number]
        return True
