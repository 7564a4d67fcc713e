"""What the feeder of several machines puts on the bus: ticks, conditions, signs of life, snapshots.

Rules for this module: it publishes what it is given or asked for; `machines` decides when.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import trio

from ticker import limits
from ticker.cluster.bus import Bus, BusUnavailableError, Snapshot, SupersededError
from ticker.cluster.market_messages import Changes, Conditions, Heartbeat, Message, keyframe, pack
from ticker.cluster.mirror import Mirror
from ticker.market.condition import Condition
from ticker.market.market import Market


class Feeder:
    """Publishes what this node feeds.

    Attributes:
        place: of the last tick in the log.
    """

    def __init__(
        self, bus: Bus, market: Market, mirror: Mirror, term: int, keep: int, place: str
    ) -> None:
        """Prepare.

        Args:
            bus: connected.
            market: of this process.
            mirror: is told that the market lives.
            term: that this node was elected for.
            keep: how many entries the log is to hold.
            place: of the last entry that is in the market here.
        """
        self.place = place
        self._bus = bus
        self._market = market
        self._mirror = mirror
        self._term = term
        self._keep = keep
        self._kept_at = -math.inf
        self._said_at = -math.inf
        self._told: Condition | None = None
        self._lost = False

    async def publish(self, changes: Sequence[Changes]) -> None:
        """Put one tick into the log.

        Raises:
            SupersededError: another node was elected; it is not there.
            BusUnavailableError: it may be there.
        """
        snapshot, now = None, trio.current_time()
        if now - self._kept_at >= limits.SNAPSHOT_SECONDS and self._market.hub.published.seq:
            snapshot, self._kept_at = self._snapshot(), now
        said: list[Message] = [*changes]
        if self._told is None:
            self._told = self._market.condition()
            said.append(Conditions(self._term, self._told))
        self.place = await self._say(changes[-1].seq, said, snapshot)
        self._mirror.note()

    async def tell(self) -> NoReturn:
        """Tell followers of the sources' condition, and that this node lives, until cancelled."""
        while True:
            # Not before the first tick could be told, which says it all.
            await trio.sleep(limits.RELAY_HEARTBEAT_SECONDS)
            condition = self._market.condition()
            published = self._market.hub.published
            if condition != self._told:
                self._told = condition
                await self._say(published.seq, [Conditions(self._term, condition)])
            elif trio.current_time() - self._said_at >= limits.RELAY_HEARTBEAT_SECONDS / 2:
                beat = Heartbeat(self._term, published.epoch, published.seq)
                await self._say(published.seq, [beat])

    async def resign(self) -> None:
        """Let another node be elected at once, if this one still holds the lease."""
        if self._lost:
            return
        with (
            trio.move_on_after(limits.BUS_RESIGN_SECONDS, shield=True),
            suppress(BusUnavailableError),
        ):
            await self._bus.resign(self._term, pack([]))

    def _snapshot(self) -> Snapshot:
        """Return what is published as of the last tick in the log."""
        published = self._market.hub.published
        made: list[Message] = list(keyframe(published.snapshot(), term=self._term))
        return Snapshot(self.place, pack([*made, Conditions(self._term, self._market.condition())]))

    async def _say(
        self, seq: int, messages: Sequence[Message], snapshot: Snapshot | None = None
    ) -> str:
        self._said_at = trio.current_time()
        try:
            told = await self._bus.publish(
                self._term, seq, pack(messages), keep=self._keep, snapshot=snapshot
            )
        except (BusUnavailableError, SupersededError):
            self._lost = True
            raise
        if told.head > seq:
            # A follower has more than this node ever heard: no number is given twice.
            broadcast = self._market.broadcast
            broadcast.after = max(broadcast.after, told.head)
        return told.place
