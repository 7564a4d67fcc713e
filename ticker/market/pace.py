"""When ticks are due: at whole intervals from the begin, so that they never drift.

Rules for this module: it knows time and nothing of the market. `transport/kernel_timer.py` has a
pace that costs less where the system offers it; this one is for every system, and for a clock that
is not the system's.
"""

from __future__ import annotations

from typing import Protocol

import trio


class Pace(Protocol):
    """Turns at whole intervals from the moment it was made."""

    async def next_turn(self) -> int:
        """Wait for the next turn; one that has come meanwhile is taken at once. A checkpoint.

        Returns:
            How many turns before that had passed, and are lost.
        """

    def close(self) -> None:
        """Give back what it holds."""


class SleepingPace:
    """A pace by trio's own clock."""

    def __init__(self, seconds: float) -> None:
        """Begin with a turn after so many seconds."""
        self._seconds = seconds
        self._due = trio.current_time()

    async def next_turn(self) -> int:
        """Wait for the next turn."""
        self._due += self._seconds
        missed = max(0, int((trio.current_time() - self._due) / self._seconds))
        self._due += missed * self._seconds
        await trio.sleep_until(self._due)
        return missed

    def close(self) -> None:
        """Do nothing: a clock is not held."""
