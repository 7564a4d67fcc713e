"""What of an exchange's prices may be believed, and the newest of each symbol.

Rules: pure; the time is an argument. Prices are conflated here (`conflation.py`), so that however
many come in, few of a symbol go on. A price that is affirmed anew (the exchange says
that its last trade still is the last one) is passed on again with its own time and the
new time of receipt: that is what tells a quiet market from a stale price.

What an exchange tells besides the price goes with the quote. Told alone, it is passed on with the
last price as that was, neither younger nor older; the same trade told again is no trade.

What was traded is known where every trade comes with its size and none was left out: else the next
quote says that it is not.
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
from ticker.market.exchanges.conflation import Conflated
from ticker.market.exchanges.events import PriceSeen
from ticker.market.exchanges.trade_numbers import MissingTrades
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
        consecutive: bool = False,
    ) -> None:
        """Begin with no price.

        Args:
            source: the name that quotes carry.
            names: what each symbol of the exchange is called here, maybe several names.
            report: told of each price that is not believed.
            every_trade: whether every trade comes with its size, which is then added up.
            consecutive: whether their numbers have no gaps.
        """
        self._source = source
        self._names = names
        self._report = report
        self._last: dict[str, PriceSeen] = {}
        self._held: dict[str, _Held] = {}
        self._conflated = {symbol: Conflated() for symbol in names}
        self._news: dict[str, None] = {}
        self._ticks: dict[str, Decimal] = {}
        self._every_trade = every_trade
        self._missing = {symbol: MissingTrades() for symbol in names if consecutive}
        self._untold: set[str] = set()  # since its last price a trade was left out
        self._details: dict[str, Details] = {}
        self._received: dict[str, int] = {}
        self._told: dict[str, int] = {}  # the last time that an exchange told
        self._late: dict[str, int] = {}  # since when its prices are of an earlier time

    def __bool__(self) -> bool:
        """Tell whether there is anything to hand out."""
        return bool(self._news)

    def set_tick(self, symbol: str, tick: Decimal) -> None:
        """Learn the smallest step of a symbol's price; without it, its last digit is taken."""
        self._ticks[symbol] = tick

    def last(self, symbol: str) -> Decimal | None:
        """Return the last price of a symbol that is believed."""
        seen = self._last.get(symbol)
        return None if seen is None else seen.price

    def withhold(self, symbol: str) -> None:
        """Do not hand out what was taken in of a symbol."""
        self._conflated[symbol].take()
        self._news.pop(symbol, None)

    def note(self, symbol: str, details: Details) -> None:
        """Learn what an exchange tells of a symbol besides its price."""
        if self._details.get(symbol) == details:
            return
        self._details[symbol] = details
        last = self._last.get(symbol)
        if last is not None:
            self._renew(last, self._received[symbol])

    def take(self, seen: PriceSeen, now_ms: int) -> None:
        """Take in one price."""
        if seen.symbol not in self._names:
            self._report("unexpected_symbol", seen.symbol)
            return
        last = self._last.get(seen.symbol)
        if last is not None and _overtaken(seen, last):
            self._take_late(seen, last, now_ms)
            return
        if last is not None and self._told_late(seen, now_ms):
            return
        if last is not None and _told_again(seen, last):
            seen = msgspec.structs.replace(last, details=seen.details)
        else:
            seen = self._with_sane_time(seen, now_ms)
        held = self._held.pop(seen.symbol, None)
        believed = last is None or self._near(seen, last)
        if held is not None and not believed and self._near(seen, held.quote):
            believed = True
            self._accept(held.quote, now_ms)  # it was no mistake
        elif held is not None:
            self._untold.add(seen.symbol)
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
        self._renew(last, now_ms)
        return True

    def batch(self) -> list[Quote]:
        """Return what there is of each symbol with news since the last batch, its newest last."""
        batch: list[Quote] = []
        for symbol in self._news:
            quotes = self._conflated[symbol].take()
            batch += quotes
            for name in self._names[symbol][1:]:
                batch += [msgspec.structs.replace(quote, symbol=name) for quote in quotes]
        self._news.clear()
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
        if self._every_trade and _same_trade(seen, last):
            self._renew(seen, now_ms)
            return
        quote = self._quote(seen, now_ms, self._traded(seen, last))
        self._conflated[seen.symbol].add(quote)
        self._note_news(seen.symbol, now_ms)

    def _traded(self, seen: PriceSeen, last: PriceSeen | None) -> Decimal | None:
        """Return what was traded since the last price; None where that is not known."""
        if not self._every_trade:
            return None
        symbol, left_out = seen.symbol, False
        if last is not None and last.number is not None and seen.number is not None:
            missing = self._missing.get(symbol)
            left_out = missing is not None and missing.pass_over(last.number, seen.number)
        if symbol in self._untold:
            self._untold.discard(symbol)
            left_out = True
        return None if left_out else seen.size

    def _take_late(self, seen: PriceSeen, last: PriceSeen, now_ms: int) -> None:
        """Count a trade, which came after newer ones, where it was missing."""
        missing = self._missing.get(seen.symbol)
        if missing is None or seen.number is None or not missing.came(seen.number):
            return
        told = seen.time_ms is not None and seen.time_ms >= FEED_CLOCK_EARLIEST_MS
        if told and self._near(seen, last):
            received_ms = self._received[seen.symbol]
            late = self._quote(seen, now_ms, seen.size)
            self._conflated[seen.symbol].add_late(late, self._quote(last, received_ms))
            self._news[seen.symbol] = None

    def _renew(self, last: PriceSeen, received_ms: int) -> None:
        """Hand the last price out again, without a trade."""
        self._conflated[last.symbol].renew(self._quote(last, received_ms))
        self._note_news(last.symbol, received_ms)

    def _note_news(self, symbol: str, received_ms: int) -> None:
        self._received[symbol] = received_ms
        self._news[symbol] = None

    def _quote(self, seen: PriceSeen, received_ms: int, traded: Decimal | None = None) -> Quote:
        return Quote(
            self._names[seen.symbol][0],
            seen.price,
            received_ms if seen.time_ms is None else seen.time_ms,
            received_ms,
            self._source,
            details=self._details.get(seen.symbol),
            traded=traded,
        )


def _same_trade(seen: PriceSeen, last: PriceSeen | None) -> bool:
    """Tell whether a trade is the last one, as the connection before may have told it, too."""
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
