"""What of an exchange's prices may be believed, and the newest of each symbol.

Rules: pure; the time is an argument. Prices are conflated here, so that however many
come in, at most one a symbol goes on. A price that is affirmed anew (the exchange says
that its last trade still is the last one) is passed on again with its own time and the
new time of receipt: that is what tells a quiet market from a stale price.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import attrs

from ticker.limits import (
    FEED_CLOCK_AHEAD_MS,
    FEED_CLOCK_EARLIEST_MS,
    FEED_HOLD_MS,
    FEED_JUMP,
)
from ticker.market.exchanges.events import PriceSeen
from ticker.market.quote import Quote

__all__ = ["PriceFilter"]


@attrs.frozen
class _Held:
    """A price too far from the last one to be believed yet."""

    quote: PriceSeen
    since_ms: int


def _near(price: Decimal, other: Decimal) -> bool:
    return abs(price - other) < FEED_JUMP * other


class PriceFilter:
    """Takes prices in, hands batches of quotes out."""

    def __init__(
        self,
        source: str,
        names: Mapping[str, Sequence[str]],
        report: Callable[[str, str], None],
    ) -> None:
        """Begin with no price.

        Args:
            source: the name that quotes carry.
            names: what each symbol of the exchange is called here, maybe several names.
            report: told of each price that is not believed.
        """
        self._source = source
        self._names = names
        self._report = report
        self._last: dict[str, PriceSeen] = {}
        self._held: dict[str, _Held] = {}
        self._pending: dict[str, Quote] = {}

    def __bool__(self) -> bool:
        """Tell whether there is anything to hand out."""
        return bool(self._pending)

    def take(self, seen: PriceSeen, now_ms: int) -> None:
        """Take in one price."""
        if seen.symbol not in self._names:
            self._report("unexpected_symbol", seen.symbol)
            return
        last = self._last.get(seen.symbol)
        if last is not None and _overtaken(seen, last):
            return
        seen = self._with_sane_time(seen, now_ms)
        held = self._held.pop(seen.symbol, None)
        believed = last is None or _near(seen.price, last.price)
        if not believed and held is not None:
            believed = _near(seen.price, held.quote.price)
        if believed:
            self._accept(seen, now_ms)
            return
        self._report("price_jump", f"{seen.symbol} to {seen.price:f}")
        since = now_ms if held is None else held.since_ms
        self._held[seen.symbol] = _Held(seen, since)

    def affirm(self, symbol: str | None, number: int | None, now_ms: int) -> None:
        """Learn that the feed is alive and the last price of a symbol, or of all, still is.

        With a `number`, only if that is the number of the last price. Nothing is affirmed
        while another price is held back; after `FEED_HOLD_MS` that one is believed.
        """
        for each in self._names if symbol is None else [symbol]:
            held, last = self._held.get(each), self._last.get(each)
            if held is not None:
                if now_ms - held.since_ms >= FEED_HOLD_MS:
                    del self._held[each]
                    self._accept(held.quote, now_ms)
            elif last is not None and (number is None or number == last.number):
                self._hand_out(last, now_ms)

    def batch(self) -> list[Quote]:
        """Return the newest quote of each symbol with news since the last batch."""
        batch = list(self._pending.values())
        self._pending.clear()
        return batch

    def _with_sane_time(self, seen: PriceSeen, now_ms: int) -> PriceSeen:
        if seen.time_ms is None:
            return PriceSeen(seen.symbol, seen.price, now_ms, seen.number)
        if FEED_CLOCK_EARLIEST_MS <= seen.time_ms <= now_ms + FEED_CLOCK_AHEAD_MS:
            return seen
        self._report("bad_clock", f"{seen.symbol} at {seen.time_ms} ms")
        return PriceSeen(seen.symbol, seen.price, now_ms, seen.number)

    def _accept(self, seen: PriceSeen, now_ms: int) -> None:
        self._last[seen.symbol] = seen
        self._hand_out(seen, now_ms)

    def _hand_out(self, seen: PriceSeen, now_ms: int) -> None:
        time_ms = now_ms if seen.time_ms is None else seen.time_ms
        for name in self._names[seen.symbol]:
            self._pending[name] = Quote(name, seen.price, time_ms, now_ms, self._source)


def _overtaken(seen: PriceSeen, last: PriceSeen) -> bool:
    """Tell whether a price is older than the last one: its number is lower and its time no later.

    The time is asked too since numbers begin anew where an exchange lists a symbol anew.
    """
    if seen.number is None or last.number is None or seen.number >= last.number:
        return False
    return seen.time_ms is None or last.time_ms is None or seen.time_ms <= last.time_ms
