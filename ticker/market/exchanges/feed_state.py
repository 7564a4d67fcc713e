"""What one life of a feed knows: prices, what is proved of them, and why some have none.

Rules: no I/O. Several connections, and the one that asks over REST, tell it what they learn;
`batches` of the feed waits for news and hands it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import trio

from ticker.limits import (
    AFFIRM_SECONDS,
    FEED_NAMED_SYMBOLS,
)
from ticker.market.exchanges.dialect import Dialect, Listing, RestPrice
from ticker.market.exchanges.events import Alive, DetailsSeen, PriceSeen, price_or_none
from ticker.market.exchanges.feed_memory import FeedMemory
from ticker.market.exchanges.price_filter import PriceFilter
from ticker.market.exchanges.proofs import Doubt, Proofs
from ticker.market.quote import Details, Quote
from ticker.market.sources import SourceConfigError, SourceContext
from ticker.market.sources.options import nearest

__all__ = ["FeedState"]


class FeedState:
    """The prices and proofs of one life.

    Attributes:
        names: for each symbol, by the exchange's name, what we call it.
        record: what the feed has done.
        proofs: what is proved of each price.
        listings: what the catalogue says of our symbols, by the exchange's name.
        halted: why nothing is traded at the whole exchange, if so.
    """

    def __init__(
        self,
        dialect: Dialect,
        names: Mapping[str, Sequence[str]],
        memory: FeedMemory,
        context: SourceContext,
    ) -> None:
        self._dialect: Final = dialect
        self.names: Final = names
        self._refused: Final = memory.refused
        self._unlisted: Final = memory.unlisted
        self._context: Final = context
        self._filter: Final = PriceFilter(
            dialect.name,
            names,
            context.report,
            every_trade=dialect.every_trade,
            consecutive=dialect.consecutive,
        )
        self._told: dict[str, str] = {}
        self._statuses: dict[str, str] = {}
        self._subscribed: set[str] = set()
        self._affirmed = -AFFIRM_SECONDS
        self._news = trio.Event()
        self.record: Final = memory.record
        self.proofs: Final = Proofs(names)
        self.listings: dict[str, Listing] = {}
        self.halted: str | None = None
        self.tell_reasons()

    # --- what `batches` takes

    async def news(self) -> list[Quote]:
        """Wait for news and return what there is of each symbol that has some, its newest last."""
        while not self._filter:
            self._news = trio.Event()
            await self._news.wait()
        return self._filter.batch()

    def _tell(self) -> None:
        if self._filter:
            self._news.set()

    # --- what connections learn

    def price(self, seen: PriceSeen) -> None:
        """Take in a price of the stream."""
        if seen.symbol not in self.names:
            self._context.report("unexpected_symbol", seen.symbol)
            return
        self._unlisted.hasten(seen.symbol)  # the catalogue has the last word, but soon
        self.proofs.streamed(seen.symbol, trio.current_time())
        self._filter.take(seen, self._context.wall_ms())
        if seen.symbol in self._told:
            self._tell_reason(seen.symbol)
            if seen.symbol in self._told:  # the last price of what is not traded
                self._filter.withhold(seen.symbol)
        self._tell()

    def details(self, seen: DetailsSeen) -> None:
        """Take in what the stream tells besides a price."""
        if seen.symbol not in self.names:
            self._context.report("unexpected_symbol", seen.symbol)
            return
        self._note(seen.symbol, seen.details)
        self._tell()

    def _note(self, name: str, details: Details) -> None:
        self._filter.note(name, details)
        if name in self._told:
            self._filter.withhold(name)

    def heartbeat(self, alive: Alive) -> None:
        """Take in a sign of life, of one symbol or of the whole connection."""
        now, now_ms = trio.current_time(), self._context.wall_ms()
        if alive.symbol is None:
            if now - self._affirmed < AFFIRM_SECONDS:
                return
            self._affirmed = now
            for name in self._subscribed:
                if self._good(name) and self.proofs.stands(name, now):
                    self._filter.affirm(name, None, now_ms)
        elif (
            alive.symbol in self.names
            and self._good(alive.symbol)
            and self._filter.affirm(alive.symbol, alive.number, now_ms, alive.price)
        ):
            self.proofs.proved(alive.symbol, now)
        self._tell()

    def subscribed(self, names: Iterable[str]) -> None:
        """Learn that the exchange confirmed these symbols."""
        for name in set(names) - self._subscribed:
            self._subscribed.add(name)
            self.proofs.begin(name, trio.current_time(), snapshot=self._dialect.snapshots)
        self.tell_reasons()

    def halt(self, reason: str | None) -> None:
        """Learn that nothing is traded at the exchange, or that it is again."""
        self.halted = reason
        if reason is None:
            self.proofs.expire()
        self.tell_reasons()

    # --- what REST tells

    def listed(self, listings: Sequence[Listing], *, whole: bool) -> None:
        """Take in an answer of the catalogue: all of it, or of some symbols.

        One of our symbols that a whole catalogue does not have, under the currencies that we
        mean by it, is refused; an empty one tells nothing.
        """
        self.record.checked = True
        if whole:
            self.record.listed = len(listings)
        wanted = {name: self.meant(name) for name in self.names}
        known = {listing.name: listing for listing in listings}
        for name, meant in wanted.items():
            listing = known.get(name)
            if listing is not None and listing.symbol == meant:
                self.listings[name] = listing
                self._unlisted.forget(name)
                tick = price_or_none(listing.tick)
                if tick is not None:
                    self._filter.set_tick(name, tick)
                self._statuses[name] = "" if listing.trading else (listing.status or "halted")
            elif whole and listings:
                near = nearest(meant, (each.symbol for each in listings))
                self._unlisted.add(name, f"not listed{near}", trio.current_time())
                self.listings.pop(name, None)
        self.tell_reasons()

    def covers(self, listings: Sequence[Listing]) -> bool:
        """Tell whether a part of the catalogue has all of our symbols, as we mean them."""
        found = {listing.name: listing.symbol for listing in listings}
        return all(found.get(name) == self.meant(name) for name in self.names)

    def meant(self, name: str) -> str:
        """Return our `BASE-QUOTE` that a name of the exchange stands for."""
        return self._dialect.substitute(self.names[name][0])

    def some(self, names: Iterable[str]) -> str:
        """Return a few of our symbols for names of the exchange, and how many more there are."""
        symbols = sorted(symbol for name in names for symbol in self.names[name])
        shown = symbols[:FEED_NAMED_SYMBOLS]
        more = len(symbols) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")

    def check_any_served(self) -> None:
        """See whether the exchange serves any of our symbols.

        Raises:
            SourceConfigError: it serves none; the text names each, with the nearest.
        """
        reasons = [self._absence(name) for name in self.names]
        if None in reasons:
            return
        missing = [
            f"{symbol}{'' if reason is None else reason.removeprefix('not listed')}"
            for name, reason in zip(self.names, reasons, strict=True)
            for symbol in self.names[name]
        ]
        now = trio.current_time()
        wait = max(min(self._refused.next_try(), self._unlisted.next_try()) - now, 0.0)
        raise SourceConfigError(
            f"{self._dialect.name} does not have {', nor '.join(missing)}", retry_after=wait
        )

    def _absence(self, name: str) -> str | None:
        unlisted, refused = self._unlisted.reason(name), self._refused.reason(name)
        return unlisted or (refused and f" ({refused})")

    def asked(self, answers: Mapping[str, RestPrice], asked_at: float) -> Doubt | None:
        """Take in prices of REST, asked for at a time; return a doubt, if there is one.

        Where the stream has brought none yet, it is the price; otherwise it proves, or not,
        that the stream's is the last one.
        """
        found: Doubt | None = None
        since = trio.current_time() - asked_at
        now_ms = self._context.wall_ms() - round(since * 1000)
        for name, answer in answers.items():
            if name not in self.names or not self._good(name):
                continue
            last = self._filter.last(name)
            self.record.compared += last is not None
            if last is None:
                price = PriceSeen(name, answer.price, answer.time_ms, details=answer.details)
                self._filter.take(price, now_ms)
                self.proofs.proved(name, asked_at)
                continue
            if answer.details is not None:
                self._note(name, answer.details)
            self.record.differed += last != answer.price
            found = self.proofs.compare(name, last, answer.price, asked_at) or found
            if last == answer.price:
                self._filter.affirm(name, None, now_ms)
        self.tell_reasons()
        self._tell()
        return found

    def held(self, names: Iterable[str], now: float) -> Sequence[str]:
        """Take in what the connection is subscribed to; return what it should be and is not."""
        held = set(names)
        for name in self._subscribed & held:
            if self._good(name) and self.proofs.awaits(name):
                self.proofs.proved(name, now)
                self._filter.affirm(name, None, self._context.wall_ms())
        self._tell()
        return sorted(self._subscribed - held)

    # --- what is to be asked

    def to_prove(self, now: float) -> Sequence[str]:
        """Return the symbols whose price REST is to be asked for."""
        return self.proofs.to_prove(filter(self._good, self._subscribed), now)

    def served(self) -> Sequence[str]:
        """Return the symbols that the exchange serves now."""
        return [name for name in self._subscribed if self._good(name)]

    def to_check(self, now: float) -> Sequence[str]:
        """Return the symbols of which the catalogue is to be asked: quiet ones, halted ones."""
        halted = {name for name, status in self._statuses.items() if status}
        return self.proofs.to_check(self._subscribed, halted, now)

    # --- why a symbol has no price

    def _good(self, name: str) -> bool:
        return not self.reason(name, proved=False)

    def reason(self, name: str, *, proved: bool = True) -> str | None:
        """Return why a symbol has no good price; `proved` asks for that, too."""
        if self.halted is not None:
            return self.halted
        if absence := self._unlisted.reason(name) or self._refused.reason(name):
            return absence
        if self._statuses.get(name):
            return self._statuses[name]
        if proved and self.proofs.unproved(name, trio.current_time()):
            return "not confirmed by the exchange"
        return None

    def tell_reasons(self) -> None:
        """Report for each symbol why it has no good price, where that has changed."""
        for name in self.names:
            self._tell_reason(name)

    def _tell_reason(self, name: str) -> None:
        reason = self.reason(name)
        if reason == self._told.get(name):
            return
        if reason is None:
            self._told.pop(name, None)
        else:
            self._told[name] = reason
            self._filter.withhold(name)
        for symbol in self.names[name]:
            self._context.report_symbol(symbol, reason)

    def reasons(self) -> Mapping[str, str]:
        """Return why each of our symbols that has no good price has none."""
        found = {name: self.reason(name) for name in self.names}
        return {
            symbol: reason
            for name, reason in found.items()
            if reason is not None
            for symbol in self.names[name]
        }
