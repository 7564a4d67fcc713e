"""What of an exchange's prices may be believed, and the newest of each symbol.

Rules: pure; the time is an argument. Prices are conflated here, so that however many
come in, at most one a symbol goes on. A price that is affirmed anew (the exchange says
that its last trade still is the last one) is passed on again with its own time and the
new time of receipt: that is what tells a quiet market from a stale price.

What an exchange tells besides the price goes with the quote. Told alone, it is passed on with the
last price as that was, neither younger nor older; the same trade told again is no trade.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import attrs
import msgspec

from ticker.limits import (
    FEED_CLOCK_AHEAD_MS,
    FEED_CLOCK_EARLIEST_MS,
    FEED_HOLD_MS,
    FEED_JUMP,
    FEED_JUMP_TICKS,
)
from ticker.market.exchanges.events import PriceSeen
from ticker.market.quote import Details, Quote

__all__ = ["PriceFilter"]


@attrs.frozen
class _Held:
    """A price too far from the last one to be believed yet."""

    quote: PriceSeen
    since_ms: int


class PriceFilter:
    """Takes prices in, hands batches of quotes out."""

    def __init__(
        self,
        source: str,
        names: Mapping[str, Sequence[str]],
        report: Callable[[str, str], None],
        *,
        every_trade: bool = False,
    ) -> None:
        """Begin with no price.

        Args:
            source: the name that quotes carry.
            names: what each symbol of the exchange is called here, maybe several names.
            report: told of each price that is not believed.
            every_trade: whether every trade comes with its size, which is then added up.
        """
        self._source = source
        self._names = names
        self._report = report
        self._last: dict[str, PriceSeen] = {}
        self._held: dict[str, _Held] = {}
        self._pending: dict[str, Quote] = {}
        self._ticks: dict[str, Decimal] = {}
        self._every_trade = every_trade
        self._details: dict[str, Details] = {}
        self._received: dict[str, int] = {}
        self._told: dict[str, int] = {}  # the last time that an exchange told
        self._late: dict[str, int] = {}  # since when its prices are of an earlier time
        self._traded: dict[str, Decimal] = {}

    def __bool__(self) -> bool:
        """Tell whether there is anything to hand out."""
        return bool(self._pending)

    def set_tick(self, symbol: str, tick: Decimal) -> None:
        """Learn the smallest step of a symbol's price; without it, its last digit is taken."""
        self._ticks[symbol] = tick

    def last(self, symbol: str) -> Decimal | None:
        """Return the last price of a symbol that is believed."""
        seen = self._last.get(symbol)
        return None if seen is None else seen.price

    def withhold(self, symbol: str) -> None:
        """Do not hand out what was taken in of a symbol."""
        self._traded.pop(symbol, None)
        for name in self._names[symbol]:
            self._pending.pop(name, None)

    def note(self, symbol: str, details: Details) -> None:
        """Learn what an exchange tells of a symbol besides its price."""
        if self._details.get(symbol) == details:
            return
        self._details[symbol] = details
        last = self._last.get(symbol)
        if last is not None:
            self._hand_out(last, self._received[symbol])

    def take(self, seen: PriceSeen, now_ms: int) -> None:
        """Take in one price."""
        if seen.symbol not in self._names:
            self._report("unexpected_symbol", seen.symbol)
            return
        last = self._last.get(seen.symbol)
        if last is not None and (_overtaken(seen, last) or self._told_late(seen, now_ms)):
            return
        if last is not None and _told_again(seen, last):
            seen = msgspec.structs.replace(last, details=seen.details)
        else:
            seen = self._with_sane_time(seen, now_ms)
        held = self._held.pop(seen.symbol, None)
        believed = last is None or self._near(seen, last)
        if not believed and held is not None:
            believed = self._near(seen, held.quote)
        if believed:
            self._accept(seen, now_ms)
            return
        self._report("price_jump", f"{seen.symbol} to {seen.price:f}")
        since = now_ms if held is None else held.since_ms
        self._held[seen.symbol] = _Held(seen, since)

    def affirm(
        self, symbol: str, number: int | None, now_ms: int, price: Decimal | None = None
    ) -> bool:
        """Learn that the last price of a symbol still is the last one; return whether it was ours.

        With a `number` or a `price`, only if that is the last price's. Nothing is affirmed
        while another price is held back; after `FEED_HOLD_MS` that one is believed.
        """
        held, last = self._held.get(symbol), self._last.get(symbol)
        if held is not None:
            if now_ms - held.since_ms < FEED_HOLD_MS:
                return False
            del self._held[symbol]
            self._accept(held.quote, now_ms)
            return True
        if last is None or (number is not None and number != last.number):
            return False
        if price is not None and price != last.price:
            return False
        self._hand_out(last, now_ms)
        return True

    def batch(self) -> list[Quote]:
        """Return the newest quote of each symbol with news since the last batch."""
        batch = list(self._pending.values())
        self._pending.clear()
        self._traded.clear()
        return batch

    def _near(self, seen: PriceSeen, other: PriceSeen) -> bool:
        """Tell whether a price may follow another, by their distance or by a few steps of it."""
        tick = self._ticks.get(seen.symbol)
        if tick is None:
            tick = min(_last_digit(seen.price), _last_digit(other.price))
        distance = abs(seen.price - other.price)
        return distance < FEED_JUMP * other.price or distance <= FEED_JUMP_TICKS * tick

    def _told_late(self, seen: PriceSeen, now_ms: int) -> bool:
        """Tell whether a price without a number is of an earlier time than the last one.

        As a snapshot that was made before an update. Where all are for `FEED_HOLD_MS`, it is the
        exchange's clock that was set back.
        """
        told = self._told.get(seen.symbol)
        if seen.number is not None or seen.time_ms is None or told is None or seen.time_ms >= told:
            self._late.pop(seen.symbol, None)
            return False
        since = self._late.setdefault(seen.symbol, now_ms)
        if now_ms - since < FEED_HOLD_MS:
            self._report("out_of_order", f"{seen.symbol} at {seen.time_ms} ms")
            return True
        del self._late[seen.symbol]
        return False

    def _with_sane_time(self, seen: PriceSeen, now_ms: int) -> PriceSeen:
        if seen.time_ms is None:
            return msgspec.structs.replace(seen, time_ms=now_ms)
        if FEED_CLOCK_EARLIEST_MS <= seen.time_ms <= now_ms + FEED_CLOCK_AHEAD_MS:
            self._told[seen.symbol] = seen.time_ms
            return seen
        self._report("bad_clock", f"{seen.symbol} at {seen.time_ms} ms")
        return msgspec.structs.replace(seen, time_ms=now_ms)

    def _accept(self, seen: PriceSeen, now_ms: int) -> None:
        last = self._last.get(seen.symbol)
        self._last[seen.symbol] = seen
        if seen.details is not None:
            self._details[seen.symbol] = seen.details
        if self._every_trade and seen.size is not None and not _same_trade(seen, last):
            before = self._traded.get(seen.symbol, Decimal(0))
            self._traded[seen.symbol] = before + seen.size
        self._hand_out(seen, now_ms)

    def _hand_out(self, seen: PriceSeen, received_ms: int) -> None:
        symbol = seen.symbol
        self._received[symbol] = received_ms
        details, traded = self._details.get(symbol), self._traded.get(symbol)
        time_ms = received_ms if seen.time_ms is None else seen.time_ms
        for name in self._names[symbol]:
            self._pending[name] = Quote(
                name,
                seen.price,
                time_ms,
                received_ms,
                self._source,
                details=details,
                traded=traded,
            )


def _same_trade(seen: PriceSeen, last: PriceSeen | None) -> bool:
    """Tell whether a trade is the last one, as the connection before may have told it too."""
    return last is not None and seen.number is not None and seen.number == last.number


def _told_again(seen: PriceSeen, last: PriceSeen) -> bool:
    """Tell whether a message without a number of a trade is about the last trade."""
    return (
        seen.number is None
        and seen.size is not None
        and (seen.size, seen.price) == (last.size, last.price)
    )


def _last_digit(price: Decimal) -> Decimal:
    """Return the value of one in a price's last digit, as 0.01 for 42000.10."""
    return Decimal((0, (1,), int(price.as_tuple().exponent)))


def _overtaken(seen: PriceSeen, last: PriceSeen) -> bool:
    """Tell whether a price is older than the last one: its number is lower and its time no later.

    The time is asked too since numbers begin anew where an exchange lists a symbol anew.
    """
    if seen.number is None or last.number is None or seen.number >= last.number:
        return False
    return seen.time_ms is None or last.time_ms is None or seen.time_ms <= last.time_ms
