"""Which symbols have a past that is kept, but not read yet: their bars begin with this process.

Rules for this module: synchronous but for `wait`; where the past is and how it is read is not its
business.
"""

from __future__ import annotations

from collections.abc import Iterable

import trio

__all__ = ["Unread"]


class Unread:
    """Symbols whose past is still to be read; none where nothing is kept."""

    def __init__(self) -> None:
        self._symbols: set[str] = set()
        self._changed = trio.lowlevel.ParkingLot()

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._symbols

    def begin(self, symbols: Iterable[str]) -> None:
        """Learn that the past of these is to be read."""
        self._symbols.update(symbols)

    def end(self, symbol: str) -> None:
        """Learn that the past of a symbol is read."""
        self._symbols.discard(symbol)
        self._changed.unpark_all()

    def end_all(self) -> None:
        """Learn that there is nothing to wait for any more, read or not."""
        self._symbols.clear()
        self._changed.unpark_all()

    async def wait(self, symbols: Iterable[str]) -> None:
        """Wait until the past of some symbols is read, or cannot be read now."""
        asked = frozenset(symbols)
        while not asked.isdisjoint(self._symbols):
            await self._changed.park()
