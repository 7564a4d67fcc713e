"""Redis as far as the bus asks it, in memory and virtual time, with all that may go wrong.

What the scripts of `ticker.cluster.redis_bus` do in one step is done here in one step. What they do
on a real server is looked at in `tests/cluster`; here it is what machines make of it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from ticker import limits
from ticker.cluster.bus import (
    BEGINNING,
    Bus,
    BusUnavailableError,
    Elected,
    Entry,
    Held,
    Published,
    Snapshot,
    SupersededError,
)


def _place(text: str) -> tuple[int, int]:
    milliseconds, _, number = text.partition("-")
    return int(milliseconds), int(number or 0)


@attrs.define
class Kept:
    """What the server holds."""

    lease: tuple[str, int, float] | None = None
    term: int = 0
    head: int = 0
    last: tuple[int, int] = (0, 0)
    log: list[Entry] = attrs.field(factory=list)
    snapshot: Snapshot | None = None


class MemoryRedis:
    """A server, which may be away, lose its data, or have a clock of its own.

    Attributes:
        background: owns the commands that are on their way.
        away: whether it answers no one.
        skew: by how many seconds its clock is wrong.
        changed: to be unparked where it, or a link to it, is back.
    """

    def __init__(self, background: trio.Nursery) -> None:
        self.background = background
        self.kept = Kept()
        self.away = False
        self.skew = 0.0
        self.added = trio.lowlevel.ParkingLot()
        self.changed = trio.lowlevel.ParkingLot()

    def save(self) -> Kept:
        """Return a copy of all it holds."""
        return copy.deepcopy(self.kept)

    def now_ms(self) -> int:
        """Return its clock."""
        return int((1e9 + trio.current_time() + self.skew) * 1000)

    def holder(self) -> tuple[str, int, float] | None:
        """Return the lease, while it lasts."""
        lease = self.kept.lease
        return lease if lease is not None and lease[2] > trio.current_time() else None

    def elect(self, node: str, known: int) -> Elected | Held:
        """Do as ELECT."""
        kept, lease = self.kept, self.holder()
        if lease is not None and lease[0] != node:
            return Held(lease[2] - trio.current_time())
        kept.term = max(self.now_ms(), kept.term + 1, known + 1)
        kept.lease = (node, kept.term, trio.current_time() + limits.LEASE_MS / 1000)
        return Elected(kept.term, kept.head)

    def publish(
        self, node: str, term: int, seq: int, payload: bytes, keep: int, snapshot: Snapshot | None
    ) -> Published:
        """Do as PUBLISH."""
        kept = self.kept
        lease = self.holder()
        if kept.term != term or (lease is not None and lease[:2] != (node, term)):
            raise SupersededError
        kept.lease = (node, term, trio.current_time() + limits.LEASE_MS / 1000)
        head, kept.head = kept.head, max(kept.head, seq)
        entry = self._add(payload)
        del kept.log[:-keep]
        if snapshot is not None:
            kept.snapshot = snapshot
        return Published(entry.place, head)

    def _add(self, payload: bytes) -> Entry:
        kept = self.kept
        kept.last = max((self.now_ms(), 0), (kept.last[0], kept.last[1] + 1))
        entry = Entry(f"{kept.last[0]}-{kept.last[1]}", payload)
        kept.log.append(entry)
        self.added.unpark_all()
        return entry

    def meet(self, term: int, seq: int) -> None:
        """Do as MEET."""
        self.kept.term, self.kept.head = max(self.kept.term, term), max(self.kept.head, seq)

    def resign(self, node: str, term: int, payload: bytes) -> None:
        """Do as RESIGN."""
        lease = self.holder()
        if lease is not None and lease[:2] == (node, term):
            self._add(payload)
            self.kept.lease = None

    def after(self, place: str) -> list[Entry]:
        """Return the entries after a place."""
        return [each for each in self.kept.log if _place(each.place) > _place(place)]


class MemoryLink:
    """One node's way to the server.

    Attributes:
        cut: whether nothing gets through.
        delays: how often a command is late: before it is done, or after it.
    """

    def __init__(self, redis: MemoryRedis, node: str, dice: random.Random) -> None:
        self.redis = redis
        self.node = node
        self.cut = False
        self.delays = 0.0
        self._dice = dice

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Bus]:
        """Connect, until the block is left; what was sent may arrive after that."""
        await self.ask(lambda: None)
        yield MemoryBus(self)

    async def ask(self, command: Callable[[], Any], seconds: float = limits.BUS_SECONDS) -> Any:
        """Do a command at the server, within a time, maybe late."""
        await trio.lowlevel.checkpoint()
        if self.cut or self.redis.away or self._dice.random() < self.delays:
            background = self.redis.background
            if background.cancel_scope.cancel_called:
                raise BusUnavailableError("the test is over")
            answered = trio.Event()
            box: list[Any] = []
            background.start_soon(self._late, command, box, answered)
            with trio.move_on_after(seconds):
                await answered.wait()
                if box:
                    return self._opened(box[0])
            raise BusUnavailableError("late")
        return command()

    async def _late(self, command: Callable[[], Any], box: list[Any], answered: trio.Event) -> None:
        """Do a command at some time; the answer may come too late, or never."""
        await trio.sleep(self._dice.expovariate(2.0))
        while self.cut or self.redis.away:
            await self.redis.changed.park()
        try:
            box.append(command())
        except SupersededError as error:
            box.append(error)
        if self._dice.random() < 0.5:
            await trio.sleep(self._dice.expovariate(1.0))
        answered.set()

    @staticmethod
    def _opened(answer: Any) -> Any:
        if isinstance(answer, SupersededError):
            raise SupersededError
        return answer


class MemoryBus:
    """The bus in memory."""

    def __init__(self, link: MemoryLink) -> None:
        self._link = link
        self._redis = link.redis
        self._node = link.node

    async def elect(self, known: int = 0) -> Elected | Held:
        """See `Bus`."""
        answer: Elected | Held = await self._link.ask(lambda: self._redis.elect(self._node, known))
        return answer

    async def publish(
        self, term: int, seq: int, payload: bytes, *, keep: int, snapshot: Snapshot | None = None
    ) -> Published:
        """See `Bus`."""
        answer: Published = await self._link.ask(
            lambda: self._redis.publish(self._node, term, seq, payload, keep, snapshot),
            limits.BUS_PUBLISH_SECONDS,
        )
        return answer

    async def meet(self, term: int, seq: int) -> None:
        """See `Bus`."""
        await self._link.ask(lambda: self._redis.meet(term, seq))

    async def resign(self, term: int, payload: bytes = b"") -> None:
        """See `Bus`."""
        await self._link.ask(lambda: self._redis.resign(self._node, term, payload))

    async def snapshot(self) -> Snapshot | None:
        """See `Bus`."""
        kept: Snapshot | None = await self._link.ask(lambda: self._redis.kept.snapshot)
        return kept

    async def holds(self, place: str) -> bool:
        """See `Bus`."""
        held: bool = await self._link.ask(
            lambda: any(each.place == place for each in self._redis.kept.log)
        )
        return held

    async def newest(self) -> str:
        """See `Bus`."""
        log: list[Entry] = await self._link.ask(lambda: self._redis.kept.log)
        return log[-1].place if log else BEGINNING

    async def log(self, after: str = BEGINNING) -> Sequence[Entry]:
        """See `Bus`."""
        entries: list[Entry] = await self._link.ask(lambda: self._redis.after(after))
        return entries

    async def read(self, after: str, seconds: float) -> Sequence[Entry]:
        """See `Bus`."""
        with trio.move_on_after(seconds):
            while True:
                found: list[Entry] = await self._link.ask(lambda: self._redis.after(after))
                if found:
                    return found[: limits.BUS_ENTRIES_AT_ONCE]
                await self._redis.added.park()
        return []

    async def register(self, _status: bytes, /) -> None:
        """See `Bus`."""
        await trio.lowlevel.checkpoint()
