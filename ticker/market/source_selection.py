"""Which of several sources a symbol's price comes from.

Rules: pure; times are arguments. Ages are in milliseconds of a clock that never jumps; what is
told to users is in milliseconds since the epoch, as quotes carry it.

Theory of operation. For each symbol, each source that may price it has an offer: its last quote,
and when that was last proved to be the symbol's last price. An offer is fresh while the proof is
within the age limit and the source has nothing against the symbol; an offer of a source that
stopped stays fresh for the grace, so that a blip moves no price. Only fresh offers make prices:

- `first`: the most preferred fresh source holds the symbol. It loses it when its offer is no
  longer fresh, to the next one that is. A more preferred source gets it back only after it has
  been fresh without a break for the recovery time: a source that comes and goes makes one
  change, not many. A source that is there within the age limit of the start never was away.
- `median`: all fresh offers make the price (`median.py`).

Who may price a symbol at all is decided in `offers.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import attrs
import msgspec

from ticker.market.median import combine, combine_details
from ticker.market.offers import Offer, Offering, offers_of
from ticker.market.quote import Quote
from ticker.market.selection_values import SelectionRules, SelectionStatistics, StaleSymbol

__all__ = [
    "MEDIAN",
    "NEVER_PRICED",
    "SILENT",
    "Offering",
    "SelectionRules",
    "SelectionStatistics",
    "SourceSelection",
    "StaleSymbol",
]

#: What a price of several sources names as its source.
MEDIAN: Final = "median"
#: Why a symbol is stale at a source that has told no reason itself.
SILENT: Final = "silent"
NEVER_PRICED: Final = "no price yet"


@attrs.define(eq=False)
class _Symbol:
    """A symbol: the offers of those who may price it, the most preferred first."""

    name: str
    offers: list[Offer]
    holder: Offer | None = None  # with `first` only
    published: Quote | None = None


@attrs.define(eq=False)
class _Source:
    """A source, and since when it has been there without a break."""

    name: str
    came_ms: int | None = None
    turned_away: int = 0
    offers: dict[str, tuple[_Symbol, Offer]] = attrs.field(factory=dict)


class SourceSelection:
    """Decides, quote by quote, what should go to the book."""

    def __init__(self, offerings: Sequence[Offering], rules: SelectionRules) -> None:
        """Begin with no price.

        Args:
            offerings: the sources, the most preferred first.
            rules: how to choose.
        """
        self._rules = rules
        self._started_ms: int | None = None
        self._sources = {each.name: _Source(each.name) for each in offerings}
        self._symbols: dict[str, _Symbol] = {}
        self._changes = 0
        for name in dict.fromkeys(symbol for each in offerings for symbol in each.symbols):
            offers = offers_of(name, offerings, rules.fallback_quotes)
            symbol = _Symbol(name, [offer for offer in offers if offer.eligible])
            self._symbols[name] = symbol
            for offer in offers:
                self._sources[offer.source].offers[name] = symbol, offer

    def take(
        self, source: str, batch: Iterable[Quote], *, now_ms: int, wall_ms: int
    ) -> tuple[list[Quote], int]:
        """Take in what a source brought.

        Args:
            source: its name.
            batch: its quotes, the later the newer.
            now_ms: the time, of the clock that never jumps.
            wall_ms: the same moment since the epoch, to which quotes' times compare.

        Returns:
            The quotes that should go to the book, and how many there were of symbols that are
            not the source's.
        """
        chosen: list[Quote] = []
        unknown = 0
        origin = self._sources[source]
        limit_ms = self._rules.age_limit_ms
        for quote in batch:
            found = origin.offers.get(quote.symbol)
            if found is None:
                unknown += 1
                continue
            symbol, offer = found
            age_ms = wall_ms - quote.received_ms
            if (
                offer is symbol.holder
                and offer.lost_ms is None
                and offer.reason is None
                and now_ms - offer.proved_ms <= limit_ms
                and 0 <= age_ms <= limit_ms
                and quote.source == offer.label
            ):
                # Nearly always: who holds the symbol was fresh, and is. There is nothing to decide.
                offer.quote = symbol.published = quote
                offer.proved_ms = now_ms - age_ms
                chosen.append(quote)
                continue
            noted = self._note(offer, quote, now_ms, max(0, age_ms))
            if noted is not None and offer is symbol.holder:
                symbol.published = noted
                chosen.append(noted)
            elif offer.eligible and (news := self._decide(symbol, now_ms)) is not None:
                chosen.append(news)
            else:
                origin.turned_away += 1
        return chosen, unknown

    def unused(self) -> dict[str, list[str]]:
        """Return, by source, the symbols that it quotes in a currency that is not wanted."""
        found = {
            name: [symbol.name for symbol, offer in source.offers.values() if not offer.eligible]
            for name, source in self._sources.items()
        }
        return {name: symbols for name, symbols in found.items() if symbols}

    def priced(self, source: str) -> bool:
        """Tell whether a source has brought a fresh price of any symbol since it last began."""
        return self._sources[source].came_ms is not None

    def quoted(self, symbol: str) -> bool:
        """Tell whether there has been a price of a symbol."""
        return symbol in self._symbols and self._symbols[symbol].published is not None

    def lose(self, source: str, now_ms: int) -> None:
        """Learn that a source has stopped; what it had against symbols is forgotten."""
        self._sources[source].came_ms = None
        for _, offer in self._sources[source].offers.values():
            offer.reason = None
            if offer.lost_ms is None:
                offer.lost_ms = now_ms

    def report(self, source: str, symbol: str, reason: str | None) -> None:
        """Learn what a source has against a symbol, or that it has nothing against it any more."""
        found = self._sources[source].offers.get(symbol)
        if found is not None:
            found[1].reason = reason

    def look(self, now_ms: int) -> list[Quote]:
        """Return what should go to the book since time has passed, or a source was lost."""
        news = (self._decide(symbol, now_ms) for symbol in self._symbols.values())
        return [quote for quote in news if quote is not None]

    def stale(self, now_ms: int) -> tuple[StaleSymbol, ...]:
        """Return the symbols that have no good price, as each of their sources sees it.

        One that never had a price is among them once a source has been there for longer than
        the age limit, or has told why.
        """
        found: list[StaleSymbol] = []
        for symbol in self._symbols.values():
            if any(self._fresh(offer, now_ms) for offer in symbol.offers):
                continue
            for offer in symbol.offers:
                reason = self._why(offer, now_ms)
                if reason is not None:
                    since = None if offer.quote is None else offer.quote.received_ms
                    found.append(StaleSymbol(symbol.name, offer.source, reason, since))
        return tuple(found)

    def any_fresh(self, now_ms: int) -> bool:
        """Tell whether any symbol has a good price."""
        return any(
            self._fresh(offer, now_ms)
            for symbol in self._symbols.values()
            for offer in symbol.offers
        )

    def refused_everywhere(self) -> dict[str, dict[str, str]]:
        """Return the symbols that every source has something against: what, by source."""
        return {
            symbol.name: {
                offer.source: offer.reason for offer in symbol.offers if offer.reason is not None
            }
            for symbol in self._symbols.values()
            if all(offer.reason is not None for offer in symbol.offers)
        }

    def priced_until(self, source: str) -> int | None:
        """Return when a price of a source was last proved, since the epoch; None before any."""
        quotes = [offer.quote for _, offer in self._sources[source].offers.values()]
        return max((quote.received_ms for quote in quotes if quote is not None), default=None)

    def statistics(self) -> SelectionStatistics:
        """Return what has been decided so far."""
        return SelectionStatistics(
            {
                symbol.name: symbol.published.source
                for symbol in self._symbols.values()
                if symbol.published is not None
            },
            self._changes,
            {source.name: source.turned_away for source in self._sources.values()},
        )

    def _note(self, offer: Offer, quote: Quote, now_ms: int, age_ms: int) -> Quote | None:
        """Take in an offer and return it as it is to be shown; None where it is not fresh."""
        limit_ms = self._rules.age_limit_ms
        if age_ms > limit_ms:
            return None
        if self._started_ms is None:
            self._started_ms = now_ms
        source = self._sources[offer.source]
        if source.came_ms is None:
            source.came_ms = now_ms
        if not self._fresh(offer, now_ms):
            early = offer.quote is None and now_ms - self._started_ms <= limit_ms
            offer.fresh_since_ms = now_ms - self._rules.recover_ms if early else now_ms
        offer.lost_ms = None
        if quote.source != offer.label:
            quote = msgspec.structs.replace(quote, source=offer.label)
        offer.quote = quote
        offer.proved_ms = now_ms - age_ms
        return None if offer.reason is not None else quote

    def _fresh(self, offer: Offer, now_ms: int) -> bool:
        if offer.quote is None or offer.reason is not None:
            return False
        if offer.lost_ms is not None and now_ms - offer.lost_ms > self._rules.grace_ms:
            return False
        return now_ms - offer.proved_ms <= self._rules.age_limit_ms

    def _why(self, offer: Offer, now_ms: int) -> str | None:
        """Say why an offer is not fresh; None where it is too early to say."""
        if offer.reason is not None:
            return offer.reason
        if offer.quote is not None:
            return SILENT
        came_ms = self._sources[offer.source].came_ms
        early = came_ms is None or now_ms - came_ms <= self._rules.age_limit_ms
        return None if early else NEVER_PRICED

    def _decide(self, symbol: _Symbol, now_ms: int) -> Quote | None:
        """Return what should go to the book now, if it is not there already."""
        if self._rules.strategy == MEDIAN:
            quote = self._combined(symbol, now_ms)
        else:
            quote = self._preferred(symbol, now_ms)
        if quote is None or quote == symbol.published:
            return None
        symbol.published = quote
        return quote

    def _preferred(self, symbol: _Symbol, now_ms: int) -> Quote | None:
        """Return the last quote of the source that holds a symbol, once that is decided."""
        holder = symbol.holder
        held = holder is not None and self._fresh(holder, now_ms)
        for offer in symbol.offers:
            if offer is holder and held:
                break
            recovered = now_ms - offer.fresh_since_ms >= self._rules.recover_ms
            if self._fresh(offer, now_ms) and (recovered or not held):
                self._changes += holder is not None
                symbol.holder = offer
                return _again(offer.quote)
        return None

    def _combined(self, symbol: _Symbol, now_ms: int) -> Quote | None:
        """Return the price of all fresh sources; those of the symbol's own currency first."""
        fresh = [offer for offer in symbol.offers if self._fresh(offer, now_ms)]
        native = [offer for offer in fresh if offer.native] or fresh
        quotes = [offer.quote for offer in native if offer.quote is not None]
        if not quotes:
            return None
        if len(quotes) == 1:
            return msgspec.structs.replace(quotes[0], counted=(quotes[0].source,), traded=None)
        combined = combine([quote.price for quote in quotes])
        counted = [q for q, counts in zip(quotes, combined.counted, strict=True) if counts]
        left_out = [q for q, counts in zip(quotes, combined.counted, strict=True) if not counts]
        return Quote(
            symbol.name,
            combined.price,
            max(quote.time_ms for quote in counted),
            max(quote.received_ms for quote in counted),
            MEDIAN,
            counted=tuple(quote.source for quote in counted),
            left_out=tuple(quote.source for quote in left_out),
            details=combine_details([quote.details for quote in counted]),
        )


def _again(quote: Quote | None) -> Quote | None:
    """Return a quote that may have been shown before: what was traded has counted then."""
    if quote is None or quote.traded is None:
        return quote
    return msgspec.structs.replace(quote, traded=None)
