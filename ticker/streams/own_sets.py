"""Sets of symbols that streams choose for themselves, on the account of their key.

A set that all of a role have is encoded once for all of them; one of a stream's own is encoded for
it alone. So a key's first streams are as fast as they ask, and the more it has the slower are its
further ones, which bounds what one key takes of each tick.
"""

from __future__ import annotations

import math
from collections import Counter

from ticker import limits


class OwnSets:
    """How many symbols the streams of each account have chosen."""

    def __init__(self) -> None:
        # Bounded by the streams: what is nothing is not kept.
        self._held: Counter[str] = Counter()

    def interval(self, account: str, symbols: int) -> int:
        """Return the fastest interval, in ticks, of an account's next set of so many symbols."""
        return math.ceil((self._held[account] + symbols) / limits.OWN_SYMBOLS)

    def enter(self, account: str, symbols: int) -> None:
        """Put a set on an account."""
        self._held[account] += symbols

    def leave(self, account: str, symbols: int) -> None:
        """Take it off again."""
        self._held[account] -= symbols
        if not self._held[account]:
            del self._held[account]
