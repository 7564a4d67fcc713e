"""What is known of the sources while another process runs them and this one follows its market."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import trio

from ticker import limits
from ticker.market.condition import Condition

#: Why every source is stale where nothing is heard of the process that runs them.
NO_FEEDER = "no feeder"


class Followed:
    """The condition of the sources, as it was heard last.

    Attributes:
        condition: None while this process runs the sources by itself.
        lost: whether nothing is heard any more.
        level_at: when this process was last level with that one, in trio's time.
    """

    def __init__(self, symbols: Sequence[str], changed: Callable[[], None]) -> None:
        """Begin with nothing.

        Args:
            symbols: every symbol of the market.
            changed: called after the state of a source has changed.
        """
        self.condition: Condition | None = None
        self.lost = False
        self.level_at = -math.inf
        self._level = trio.lowlevel.ParkingLot()
        self._symbols = symbols
        self._changed = changed

    def hear(self, condition: Condition) -> None:
        """Take in what the process that runs the sources says of them."""
        before, self.condition = self.condition, condition
        self.lost = False
        if before is None or before.states != condition.states:
            self._changed()

    def lose(self, since: int) -> None:
        """Note that nothing has been heard of that process since a time, in milliseconds."""
        if self.condition is not None and not self.lost:
            self.lost = True
            self.condition = self.condition.lost(self._symbols, since, NO_FEEDER)
            self._changed()

    def note_level(self) -> None:
        """Note that all that the other process published is published here."""
        self.level_at = trio.current_time()
        self._level.unpark_all()

    async def current(self) -> None:
        """Wait, for a bounded time, until what is published here is not old.

        It is where this process has slept, and has not heard of what happened meanwhile.
        """
        if self.condition is None or self.lost:
            return
        if trio.current_time() - self.level_at > limits.RELAY_LATE_SECONDS:
            with trio.move_on_after(limits.FOLLOWING_SECONDS):
                await self._level.park()

    def end(self) -> None:
        """Follow no more: from here on this process runs the sources."""
        self.condition, self.lost = None, False
        self._level.unpark_all()
