"""Spread the work of a crowd over turns of the loop, so that ticks keep their time.

Theory of operation. A turn of trio's loop runs every task that something happened for. When
thousands of clients connect, ask or hang up at the same moment, that is one long turn, in which no
tick goes out: the end of 2,000 connections took a quarter of a second. So what costs much for each
connection asks here for its turn first. In a turn of the loop as many pass at once as there is time
for until the next tick, and a few while a tick goes out. The others wait, and are let through in
the order in which they came, as many as there is time for, and none while a tick goes out; but
always some in every `limits.PACE_SECONDS`, also where ticks take all the time there is.

Rules for this module: it knows when ticks are due, and nothing of what waits.
"""

from __future__ import annotations

from typing import NoReturn, Protocol

import trio

from ticker import limits


class Offering(Protocol):
    """What is known of the ticks.

    Attributes:
        offering: whether one is on its way to the subscribers.
        offered_at: when the last one set out, in trio's time.
    """

    offering: bool
    offered_at: float


class Pacer:
    """Lets tasks through at a pace; `run` must be running where they are to get through.

    Attributes:
        waiting: the tasks that wait for their turn.
    """

    def __init__(self, ticks: Offering, tick_seconds: float) -> None:
        """Begin with no task waiting.

        Args:
            ticks: when the last one was.
            tick_seconds: from one to the next.
        """
        self.waiting = trio.lowlevel.ParkingLot()
        self._ticks = ticks
        self._tick_seconds = tick_seconds
        # How many may still pass at once in this turn of the loop, once that was counted.
        self._left = 0
        self._counted = False
        self._asked = trio.lowlevel.ParkingLot()
        self._passed_at = trio.current_time()

    async def wait_room(self) -> None:
        """Wait while so many wait already that no more should be let in."""
        while len(self.waiting) >= limits.ACCEPT_BATCH:  # noqa: ASYNC110 - a look is cheaper
            await trio.sleep(limits.PACE_LOOK_SECONDS)

    async def turn(self) -> None:
        """Wait until it is this task's turn; without a checkpoint where nothing is in its way."""
        if not self._counted:
            self._counted = True
            self._left = max(limits.PACE_FEW, self._room(trio.current_time()))
            self._asked.unpark()
        if self._left and not self.waiting:
            self._left -= 1
        else:
            await self.waiting.park()

    async def run(self) -> NoReturn:
        """Let those who wait through, some in each turn of the loop."""
        while True:
            while self.waiting:
                room = self._room(trio.current_time())
                if room:
                    self.waiting.unpark(count=room)
                    self._passed_at = trio.current_time()
                    # They run in the next turn, and what they took is known in the one after it.
                    await trio.lowlevel.checkpoint()
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.sleep(limits.PACE_LOOK_SECONDS)
            self._counted = False
            await self._asked.park()

    def _room(self, now: float) -> int:
        """Return how many may pass now."""
        since = now - self._ticks.offered_at
        if not self._ticks.offering:
            # Where a tick is long overdue there are none to make room for.
            left = self._tick_seconds - since if since < 2 * self._tick_seconds else 1.0
            room = int(left / limits.PACE_EACH_SECONDS)
            if room >= limits.PACE_FEW:
                return min(room, limits.ACCEPT_BATCH)
        return limits.PACE_FEW if now - self._passed_at >= limits.PACE_SECONDS else 0
