"""The upstream of a machine among others: its leader feeds, or mirrors another machine's feeder.

Theory of operation. The leader of each machine asks for the lease on the bus. The one that gets it
reads the log to its end, so that it goes on from all that was ever published, and feeds: each tick
is in the log before any subscriber is shown it, or it is not shown at all. The others follow the
log, and ask for the lease again whenever they hear nothing.

No number is given twice. A node that was stopped, or cut off, and comes back has a term that has
passed; what it would still publish is refused. A node that knows more than Redis does, which has
lost data or was restored from an old copy, tells it so (`Bus.meet`), and the feeder goes on
beyond. Whether an entry follows from what is here is not judged by its place in the log, but by the
epochs and numbers in it (`Mirror`). Who cannot go on from there begins with the snapshot that the
feeder keeps beside the log.

Where Redis is away no machine feeds: the market stands still, and is soon called stale.

Rules for this module: it decides when to ask what; the bus says what is asked, and the leader does
what follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NoReturn

import structlog
import trio

from ticker import limits
from ticker.cluster.bus import (
    BEGINNING,
    Bus,
    BusUnavailableError,
    Elected,
    Entry,
    Held,
    SupersededError,
)
from ticker.cluster.bus_feeder import Feeder
from ticker.cluster.leader import Leader
from ticker.cluster.market_messages import Keyframe, Message, RelayMessageError, unpack
from ticker.cluster.mirror import GapError, Mirror
from ticker.exception_groups import first
from ticker.market.market import Market

log = structlog.get_logger()

#: Connects to the bus, until the block is left.
Connect = Callable[[], AbstractAsyncContextManager[Bus]]


class Machines:
    """Takes part in the elections of a market."""

    def __init__(
        self,
        market: Market,
        connect: Connect,
        describe: Callable[[], bytes],
    ) -> None:
        """Prepare; `run` begins.

        Args:
            market: of this process.
            connect: connects to the bus.
            describe: what to tell of this node to those who ask the bus.
        """
        self._market = market
        self._connect = connect
        self._describe = describe
        self._keep = math.ceil(limits.BUS_LOG_SECONDS / market.interval.seconds)
        # One at a time moves the market here: what is heard, silence, or this process's own ticks.
        self._turn = trio.Lock()
        self._leader: Leader
        self._mirror: Mirror
        #: The last entry of the log that is in the market here; None where that is not known.
        self._place: str | None = None
        self._why = ""

    async def run(self, leader: Leader, mirror: Mirror, _term: int) -> None:
        """Feed, or mirror another machine's feeder, until cancelled.

        Args:
            leader: what can be done.
            mirror: what was heard so far, and is to be told of silence.
        """
        self._leader, self._mirror = leader, mirror
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._let_turns_pass)
            while True:
                why = "superseded"
                try:
                    async with self._connect() as bus:
                        await self._take_part(bus)
                except* BusUnavailableError as group:
                    why = f"unavailable: {first(group)}"
                except* RelayMessageError:
                    why = "another version of Ticker feeds"
                except* SupersededError:
                    pass
                self._report(why)
                await trio.sleep(limits.BUS_RETRY_SECONDS)

    async def _let_turns_pass(self) -> NoReturn:
        """Tell subscribers that there is nothing new while nothing is heard."""
        seconds = self._market.interval.seconds
        while True:
            async with self._turn:
                if trio.current_time() - self._mirror.heard_at >= seconds:
                    await self._mirror.idle()
            await trio.sleep(seconds)

    async def _take_part(self, bus: Bus) -> NoReturn:
        await self._meet(bus)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_of_this_node, bus)
            while True:
                answer = await bus.elect(self._mirror.term)
                if isinstance(answer, Elected):
                    await self._feed(bus, answer)
                try:
                    await self._follow(bus, answer)
                except GapError as error:
                    # What is here is ahead of what is kept there: the feeder is to go on beyond.
                    self._report(f"waiting for a snapshot: {error}")
                    await self._meet(bus)
                    await trio.sleep(limits.BUS_RETRY_SECONDS)

    async def _meet(self, bus: Bus) -> None:
        """Tell the bus of what was heard here, so that it is not given twice."""
        mirror = self._mirror
        await bus.meet(mirror.term, self._market.hub.published.seq if mirror.synced else 0)

    async def _tell_of_this_node(self, bus: Bus) -> NoReturn:
        while True:
            await bus.register(self._describe())
            await trio.sleep(limits.NODE_STATUS_SECONDS)

    async def _follow(self, bus: Bus, held: Held) -> None:
        """Mirror the feeder until nothing is heard of it.

        Raises:
            GapError: its market cannot be gone over to yet.
        """
        await self._catch_up(bus)
        self._report("")
        wait = held.seconds
        looked = trio.current_time()
        while True:
            place = self._place or BEGINNING
            entries = await bus.read(place, min(limits.BUS_READ_SECONDS, wait))
            before, looked = looked, trio.current_time()
            if looked - before > limits.BUS_READ_SECONDS + limits.RELAY_LATE_SECONDS:
                # This process has slept: what waits for it is old, and is not shown.
                self._place = None
                await self._catch_up(bus)
            elif not entries or not await self._hear(entries):
                return
            wait = limits.BUS_READ_SECONDS

    async def _hear(self, entries: Sequence[Entry]) -> bool:
        """Publish what entries of the log say; False where the feeder has resigned.

        Raises:
            GapError: it does not follow from what is here.
        """
        messages = [unpack(entry.payload) for entry in entries]
        try:
            await self._publish([each for some in messages for each in some])
        except GapError:
            self._place = None
            raise
        self._place = entries[-1].place
        return bool(messages[-1])

    async def _publish(self, messages: Sequence[Message]) -> None:
        """Publish what a feeder says.

        Raises:
            GapError: it does not follow from what is here.
        """
        if messages and messages[-1].term < self._mirror.term:
            # Redis has lost the term that was heard here, and counts from below it.
            raise GapError(f"term {messages[-1].term} is behind {self._mirror.term}")
        async with self._turn:
            await self._leader.mirror(messages)

    async def _catch_up(self, bus: Bus) -> str:
        """Publish all that the log holds and this process lacks; returns the place of its end.

        Raises:
            GapError: what is there cannot be gone over to.
        """
        if self._place is not None and await bus.holds(self._place):
            entries = await bus.log(self._place)
            try:
                if entries:
                    await self._hear(entries)
            except GapError:
                pass
            else:
                return self._place
        self._place = None
        self._mirror.begin_anew()
        kept = await bus.snapshot()
        place, messages = (BEGINNING, []) if kept is None else (kept.place, unpack(kept.payload))
        entries = await bus.log(place)
        heard = [each for each in messages if not self._has(each)]
        heard += [each for entry in entries for each in unpack(entry.payload)]
        await self._publish(heard)
        self._place = entries[-1].place if entries else place
        return self._place

    def _has(self, message: Message) -> bool:
        """Whether a keyframe is of a tick that the market here has gone on from."""
        if not isinstance(message, Keyframe):
            return False
        return self._market.hub.published.proves(message.spans[-1].epoch, message.seq)

    async def _feed(self, bus: Bus, elected: Elected) -> NoReturn:
        """Feed until another node is elected or the bus is away.

        Raises:
            SupersededError, BusUnavailableError: in an exception group.
        """
        try:
            place = await self._catch_up(bus)
        except GapError as error:
            # What is kept there is not what was shown here last: others may follow from it here.
            log.warning("bus_behind", reason=str(error))
            place = await bus.newest()
        self._report("")
        feeder = Feeder(bus, self._market, self._mirror, elected.term, self._keep, place)
        try:
            async with self._turn, trio.open_nursery() as nursery:
                nursery.start_soon(feeder.tell)
                await self._leader.feed(elected.term, after=elected.head, outlet=feeder.publish)
        finally:
            self._place = feeder.place
            await feeder.resign()
        raise SupersededError  # not reached: it feeds until something is raised

    def _report(self, why: str) -> None:
        """Log what keeps this node from taking part, where it is another reason than before."""
        if why != self._why:
            self._why = why
            if why:
                log.warning("bus_lost", reason=why)
            else:
                log.info("bus_joined")
