"""How often a source connects and asks: its budget of connections, turns, and pauses that grow.

Rules: pure; times are arguments, in seconds of any one clock.
"""

from __future__ import annotations

from collections import deque

import attrs

from ticker.limits import (
    FEED_CONNECT_SPACING_SECONDS,
    FEED_REPLACE_RESET_SECONDS,
    FEED_REPLACE_RETRY_SECONDS,
    REFUSED_SYMBOL_MAX_SECONDS,
    REFUSED_SYMBOL_SECONDS,
)

__all__ = ["ConnectBudget", "RestTurns", "growing_pause", "replacement_pause"]


@attrs.define
class ConnectBudget:
    """When the next connection may be opened, over all lives of a source.

    Attributes:
        most: how many in `seconds`.
        seconds: the window.
    """

    most: int
    seconds: float
    _opened: deque[float] = attrs.field(factory=deque)

    def claim(self, now: float) -> float:
        """Take the next place and return how long to wait for it."""
        at = now
        if self._opened:
            at = max(at, self._opened[-1] + FEED_CONNECT_SPACING_SECONDS)
        if len(self._opened) >= self.most:
            at = max(at, self._opened[0] + self.seconds)
            self._opened.popleft()
        self._opened.append(at)
        return at - now


@attrs.define
class RestTurns:
    """When REST may be asked the next question, whichever task asks and in whichever life.

    Attributes:
        seconds: the least time between two questions.
        not_before: until then the exchange wants none at all.
    """

    seconds: float
    not_before: float = 0.0
    _free: float = 0.0

    def claim(self, now: float) -> float:
        """Take the next turn and return how long to wait for it."""
        at = max(now, self._free)
        self._free = at + self.seconds
        return at - now

    def put_off(self, until: float) -> None:
        """Learn that the exchange wants no question before a time."""
        self.not_before = max(self.not_before, until)


def replacement_pause(short_lives: int) -> float:
    """Return the pause before a replacement, after so many connections in a row that were short.

    A connection is short that wants to be replaced within `FEED_REPLACE_RESET_SECONDS`.
    """
    return growing_pause(short_lives, 1.0, FEED_REPLACE_RETRY_SECONDS) if short_lives else 0.0


def is_short(lived: float) -> bool:
    """Tell whether a connection that lived for so many seconds wants replacing too soon."""
    return lived < FEED_REPLACE_RESET_SECONDS


def refusal_pause(refusals: int) -> float:
    """Return how long not to ask for a symbol that was refused so many times."""
    return growing_pause(refusals, REFUSED_SYMBOL_SECONDS, REFUSED_SYMBOL_MAX_SECONDS)


def growing_pause(times: int, first: float, longest: float) -> float:
    """Return `first`, doubled with each further time, up to `longest`."""
    pause = first
    for _ in range(times - 1):
        pause *= 2
        if pause >= longest:
            return longest
    return min(pause, longest)
