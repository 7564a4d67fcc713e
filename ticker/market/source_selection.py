"""Which of several sources a symbol's price comes from.

Rules: pure; the time is an argument, in milliseconds of any one clock. For each symbol the
most preferred source that is fresh holds it. A holder that has been silent for longer than
the age limit loses the symbol to the source that offers the next quote. A more preferred
source gets it back only after it has been fresh without a break for the recovery time: a
source that comes and goes makes one change, not many.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ticker.market.quote import Quote

__all__ = ["SelectionStatistics", "SourceSelection", "StaleSymbol"]


@attrs.frozen
class StaleSymbol:
    """A symbol whose price is too old, and the source that it is from."""

    symbol: str
    source: str


@attrs.frozen
class SelectionStatistics:
    """What has been decided.

    Attributes:
        holders: the source that each symbol comes from.
        changes: how often a symbol went from one source to another.
        turned_away: by source, the quotes that did not go to the book.
    """

    holders: dict[str, str]
    changes: int
    turned_away: dict[str, int]


@attrs.define
class _Presence:
    """When a source last offered a symbol, and since when without a break."""

    last_ms: int
    since_ms: int


@attrs.define
class _Symbol:
    holder: int
    presences: dict[int, _Presence]


class SourceSelection:
    """Decides, quote by quote, whether it should go to the book."""

    def __init__(self, order: Sequence[str], age_limit_ms: int, recover_ms: int) -> None:
        """Begin with no symbol.

        Args:
            order: the names of the sources, the most preferred first.
            age_limit_ms: how long a source may be silent about a symbol.
            recover_ms: how long a source must be fresh to get a symbol back.
        """
        self._order = tuple(order)
        self._rank = {name: rank for rank, name in enumerate(self._order)}
        self._age_limit_ms = age_limit_ms
        self._recover_ms = recover_ms
        self._symbols: dict[str, _Symbol] = {}
        self._changes = 0
        self._turned_away = dict.fromkeys(self._order, 0)

    def offer(self, quote: Quote, now_ms: int) -> bool:
        """Return whether a quote that has just come should go to the book.

        Raises:
            KeyError: its source is not one of the order.
        """
        rank = self._rank[quote.source]
        symbol = self._symbols.get(quote.symbol)
        if symbol is None:
            self._symbols[quote.symbol] = _Symbol(rank, {rank: _Presence(now_ms, now_ms)})
            return True
        since_ms = self._note(symbol, rank, now_ms)
        if rank == symbol.holder:
            return True
        silent = not self._fresh(symbol, symbol.holder, now_ms)
        recovered = rank < symbol.holder and now_ms - since_ms >= self._recover_ms
        if silent or recovered:
            symbol.holder = rank
            self._changes += 1
            return True
        self._turned_away[quote.source] += 1
        return False

    def lose(self, source: str) -> None:
        """Learn that a source has stopped: what it held is free for the next to offer it."""
        rank = self._rank[source]
        for symbol in self._symbols.values():
            symbol.presences.pop(rank, None)

    def stale(self, now_ms: int) -> tuple[StaleSymbol, ...]:
        """Return the symbols whose price in the book is older than the age limit.

        A symbol that never had a price is not among them: no source has offered it.
        """
        return tuple(
            StaleSymbol(name, self._order[symbol.holder])
            for name, symbol in self._symbols.items()
            if not self._fresh(symbol, symbol.holder, now_ms)
        )

    def statistics(self) -> SelectionStatistics:
        """Return what has been decided so far."""
        holders = {name: self._order[symbol.holder] for name, symbol in self._symbols.items()}
        return SelectionStatistics(holders, self._changes, dict(self._turned_away))

    def _note(self, symbol: _Symbol, rank: int, now_ms: int) -> int:
        """Note that a source is there; return since when it is without a break."""
        presence = symbol.presences.get(rank)
        if presence is None:
            presence = symbol.presences[rank] = _Presence(now_ms, now_ms)
        elif now_ms - presence.last_ms > self._age_limit_ms:
            presence.since_ms = now_ms
        presence.last_ms = now_ms
        return presence.since_ms

    def _fresh(self, symbol: _Symbol, rank: int, now_ms: int) -> bool:
        presence = symbol.presences.get(rank)
        return presence is not None and now_ms - presence.last_ms <= self._age_limit_ms
