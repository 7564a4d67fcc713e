"""Random histories of three machines and a Redis that forgets, in virtual time.

Every machine's prices differ from those of all others, so that whatever is taken from the wrong
one shows. What must hold: no epoch and number ever has two values; numbers never go back; a client
that is resumed holds exactly what the machine holds that resumed it.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from decimal import Decimal
from typing import cast

import attrs
import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from tests.support.figures import tell
from tests.support.made_up import SYMBOLS, WALL, FakeAuthority
from tests.support.memory_bus import Kept, MemoryLink, MemoryRedis
from ticker.cluster.leader import Leader
from ticker.cluster.machines import Machines
from ticker.cluster.mirror import Mirror
from ticker.market.published import Published
from ticker.market.quote import Quote
from ticker.market.sources import SourceContext
from ticker.market.sources.spec import SourceSpec
from ticker.security.authority import Authority
from ticker.service import make_service
from ticker.settings.model import Settings

TICK = 0.2
#: For how long faults happen, and for how long there are none afterwards.
FAULTS, REST = 12.0, 8.0
SETTINGS = Settings(source=(SourceSpec("counting"),), tick=TICK, stale_after=1e6)

Book = tuple[str | None, ...]


@attrs.define
class History:
    """What happened, on all machines.

    Attributes:
        values: of every epoch and number that was ever shown.
        wrong: what should not have happened.
        resumed: how many clients were resumed, and how many were not.
    """

    values: dict[tuple[str, int], Book] = attrs.field(factory=dict)
    wrong: list[str] = attrs.field(factory=list)
    resumed: int = 0
    refused: int = 0
    price: int = 0


class Counting:
    """A source with a price that no other machine has, and some symbols that pause."""

    name = "counting"
    symbols = SYMBOLS

    def __init__(self, history: History, dice: random.Random) -> None:
        self._history = history
        self._dice = dice

    def load(self, _spec: object, context: SourceContext) -> Counting:
        """Be the source that a service loads."""
        self._context = context
        return self

    async def batches(self) -> AsyncGenerator[Sequence[Quote], None]:
        """Count."""
        while True:
            now = self._context.wall_ms()
            batch = []
            for symbol in SYMBOLS:
                if self._dice.random() < 0.6:
                    self._history.price += 1
                    price = Decimal(self._history.price)
                    batch.append(Quote(symbol, price, now, now, self.name))
            yield batch
            await self._context.next_tick()


class Machine:
    """One machine, from its start until it is killed."""

    def __init__(
        self, name: str, redis: MemoryRedis, history: History, dice: random.Random
    ) -> None:
        self.name = name
        self.link = MemoryLink(redis, name, dice)
        self.scope = trio.CancelScope()
        self._history = history
        source = Counting(history, dice)
        began = trio.current_time()
        service = make_service(
            SETTINGS,
            cast("Authority", FakeAuthority(trio.current_time)),
            load=source.load,
            wall=lambda: WALL + trio.current_time() - began,
        )
        self.market = service.market
        self.seq = -1
        hub = self.market.hub
        for method in ("publish", "load"):
            setattr(hub, method, self._noted(getattr(hub, method)))

    def _noted(self, publish: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def publish_and_note(*args: object, **kwargs: object) -> None:
            await publish(*args, **kwargs)
            self._note()

        return publish_and_note

    @property
    def book(self) -> Book:
        """The prices that are published here."""
        return tuple(None if each is None else str(each.price) for each in self.published.quotes)

    @property
    def published(self) -> Published:
        """What is published here."""
        return self.market.hub.published

    def _note(self) -> None:
        at = (self.published.epoch, self.published.seq)
        if self._history.values.setdefault(at, self.book) != self.book:
            self._history.wrong.append(f"{self.name}: two values of {at}")
        if at[1] < self.seq:
            self._history.wrong.append(f"{self.name}: {at[1]} came after {self.seq}")
        self.seq = at[1]

    async def run(self) -> None:
        """Take part until it is killed."""

        async def epoch_changed() -> None:
            await trio.lowlevel.checkpoint()

        mirror = Mirror(self.market, epoch_changed)
        leader = Leader(self.market, mirror, epoch_changed, price_seconds=1e6)
        machines = Machines(self.market, self.link.connected, lambda: b"")
        with self.scope:
            await machines.run(leader, mirror, 1)

    def resume(self, dice: random.Random) -> None:
        """Be asked to resume a client of any machine, at any tick that ever was."""
        history = self._history
        if not history.values:
            return
        epoch, seq = dice.choice(list(history.values))
        if not self.market.hub.resumable("changes", epoch, seq):
            history.refused += 1
            return
        history.resumed += 1
        held = list(history.values[epoch, seq])
        for place in self.published.changed_since(seq, "price"):
            held[place] = self.book[place]
        if tuple(held) != self.book:
            history.wrong.append(f"{self.name}: a client of {epoch, seq} was spliced")


class World:
    """Three machines and a Redis, and what may happen to them."""

    def __init__(self, seed: int, nursery: trio.Nursery) -> None:
        self.dice = random.Random(seed)
        self.history = History()
        self.redis = MemoryRedis(nursery)
        self.machines = [self._machine(f"node{number}") for number in range(3)]
        self._nursery = nursery
        self._saved = self.redis.save()
        for machine in self.machines:
            nursery.start_soon(machine.run)

    def _machine(self, name: str) -> Machine:
        return Machine(name, self.redis, self.history, self.dice)

    def fault(self) -> None:
        """Let something happen."""
        machine = self.dice.choice(self.machines)
        match self.dice.randrange(10):
            case 0:
                self.redis.away = not self.redis.away
            case 1:
                self.redis.kept = Kept()
            case 2:
                self._saved = self.redis.save()
            case 3:
                self.redis.kept, self._saved = self._saved, self.redis.save()
            case 4:
                self.redis.skew = self.dice.uniform(-3, 3)
            case 5 | 6:
                machine.link.cut = not machine.link.cut
            case 7:
                machine.link.delays = self.dice.choice([0.0, 0.05, 0.5])
            case _:
                self.restart(machine)

    def restart(self, machine: Machine) -> None:
        """Kill a machine and start it again."""
        machine.scope.cancel()
        number = self.machines.index(machine)
        self.machines[number] = self._machine(machine.name)
        self._nursery.start_soon(self.machines[number].run)

    def mend(self) -> None:
        """Let nothing be wrong any more."""
        self.redis.away = False
        for each in self.machines:
            each.link.cut, each.link.delays = False, 0.0
        self.redis.changed.unpark_all()

    def resume(self) -> None:
        """Let a client come to each machine."""
        for each in self.machines:
            each.resume(self.dice)

    def agree(self) -> bool:
        """Whether all machines show one market."""
        seqs = {each.published.seq for each in self.machines}
        return len({each.published.epoch for each in self.machines}) == 1 and (
            max(seqs) - min(seqs) <= 1
        )


async def run_history(seed: int) -> History:
    """Let three machines live through random faults, and then through none."""
    async with trio.open_nursery() as nursery:
        world = World(seed, nursery)
        ends = trio.current_time() + FAULTS
        while trio.current_time() < ends:
            await trio.sleep(world.dice.expovariate(3.0))
            world.fault()
            world.redis.changed.unpark_all()
            world.resume()
        world.mend()
        await trio.sleep(REST)
        if not world.agree():
            world.history.wrong.append("they do not agree afterwards")
        world.resume()
        nursery.cancel_scope.cancel()
    return world.history


async def check(seeds: range) -> None:
    resumed = refused = 0
    for seed in seeds:
        with capture_logs():
            history = await run_history(seed)
        assert history.wrong == [], f"seed {seed}"
        resumed, refused = resumed + history.resumed, refused + history.refused
    tell(f"{len(seeds)} histories: {resumed} resumed, {refused} not, 0 spliced")
    assert resumed > len(seeds)
    assert refused > len(seeds)


async def test_no_history_splices_anything(autojump_clock: MockClock) -> None:
    del autojump_clock
    await check(range(30))


@pytest.mark.slow
async def test_none_of_1000_histories_splices_anything(autojump_clock: MockClock) -> None:
    del autojump_clock
    await check(range(1000, 2000))
