"""Which prices are proved to be the last ones, and which have to be asked about.

Rules: pure; times are arguments, in seconds. A price is proved by what names its symbol: its
own message, a heartbeat with the number of its last trade, an answer of REST. A sign of life
of the whole connection only extends that, for `FEED_QUIET_SECONDS`: an exchange that
answers pings while it sends no prices any more is not believed for longer.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from decimal import Decimal

import attrs

from ticker.limits import (
    FEED_DOUBT_SECONDS,
    FEED_HALTED_SECONDS,
    FEED_PROVE_SECONDS,
    FEED_QUIET_SECONDS,
    FEED_SNAPSHOT_SECONDS,
    FEED_STATUS_SECONDS,
)

__all__ = ["Doubt", "Proofs"]


@attrs.frozen
class Doubt:
    """REST tells another price than the stream, and the stream has had time to follow."""

    symbol: str
    streamed: Decimal
    asked: Decimal


@attrs.define
class _Symbol:
    """When a symbol's price was last streamed, proved and asked for; since when REST differs."""

    begun: float | None = None
    streamed: float = -math.inf
    proved: float = -math.inf
    asked: float = -math.inf
    status_asked: float = -math.inf
    doubted: float | None = None


class Proofs:
    """What is proved of each symbol of one life of a feed."""

    def __init__(self, names: Iterable[str]) -> None:
        self._symbols = {name: _Symbol() for name in names}

    def begin(self, name: str, now: float, *, snapshot: bool) -> None:
        """Learn that a symbol was subscribed to just now, which brings its price or not."""
        symbol = self._symbols[name]
        symbol.begun = symbol.status_asked = now
        symbol.asked = now - FEED_PROVE_SECONDS + (FEED_SNAPSHOT_SECONDS if snapshot else 0)

    def expire(self) -> None:
        """Learn that nothing proved before counts any more, as after a halt."""
        for symbol in self._symbols.values():
            symbol.streamed = symbol.proved = -math.inf

    def streamed(self, name: str, now: float) -> None:
        """Learn that the stream brought a price of a symbol."""
        symbol = self._symbols[name]
        symbol.streamed = symbol.proved = now
        symbol.doubted = None

    def proved(self, name: str, now: float) -> None:
        """Learn that a symbol's price was shown to be the last one."""
        symbol = self._symbols[name]
        symbol.proved = now
        symbol.doubted = None

    def stands(self, name: str, now: float) -> bool:
        """Tell whether a sign of life of the connection still says something of a symbol."""
        return now - self._symbols[name].streamed <= FEED_QUIET_SECONDS

    def awaits(self, name: str) -> bool:
        """Tell whether a symbol once had a price of the stream, which could be proved anew."""
        return self._symbols[name].streamed > -math.inf

    def unproved(self, name: str, now: float) -> bool:
        """Tell whether a subscribed symbol's price has not been proved for too long."""
        symbol = self._symbols[name]
        since = symbol.begun if symbol.proved == -math.inf else max(symbol.proved, symbol.streamed)
        return since is not None and now - since > FEED_QUIET_SECONDS + FEED_PROVE_SECONDS

    def to_prove(self, names: Iterable[str], now: float) -> Sequence[str]:
        """Return those of some symbols whose price is to be asked for now."""
        found = []
        for name in names:
            symbol = self._symbols[name]
            pause = FEED_PROVE_SECONDS if symbol.doubted is None else FEED_DOUBT_SECONDS
            quiet = now - symbol.proved >= FEED_PROVE_SECONDS and not self.stands(name, now)
            if quiet and now - symbol.asked >= pause:
                found.append(name)
        return found

    def to_check(self, names: Iterable[str], halted: Container[str], now: float) -> Sequence[str]:
        """Return those of some symbols, quiet or halted, of which the catalogue is to be asked."""
        return [
            name
            for name in names
            if (name in halted or not self.stands(name, now))
            and now - self._symbols[name].status_asked
            >= (FEED_HALTED_SECONDS if name in halted else FEED_STATUS_SECONDS)
        ]

    def asking(self, names: Iterable[str], now: float) -> None:
        """Note that prices are being asked for."""
        for name in names:
            self._symbols[name].asked = now

    def checking(self, names: Iterable[str], now: float) -> None:
        """Note that the catalogue is being asked."""
        for name in names:
            self._symbols[name].status_asked = now

    def compare(self, name: str, streamed: Decimal, asked: Decimal, now: float) -> Doubt | None:
        """Compare the last price of the stream with what REST told, asked at `now`.

        Returns:
            A doubt where they have differed for as long as a trade may be on its way.
        """
        symbol = self._symbols[name]
        if streamed == asked:
            self.proved(name, now)
        elif symbol.streamed >= now:
            pass  # the stream has brought a newer price while REST was answering
        elif symbol.doubted is None:
            symbol.doubted = now
        elif now - symbol.doubted >= FEED_DOUBT_SECONDS:
            return Doubt(name, streamed, asked)
        return None
