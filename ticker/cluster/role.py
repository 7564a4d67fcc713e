"""The role of a worker: it leads the workers of its machine, or it follows the one that does.

Theory of operation. The worker that holds the lock in the data directory (`feeder_lock`) leads: it
listens for its siblings (`relay`) and does what its `Upstream` says. All others follow: they
publish what they hear (`mirror`). When the leader ends, the kernel frees the lock and closes its
connections; each follower has by then read all that was sent to it, and the first to take the lock
leads. It goes on from its own market with the next sequence number, in an epoch of its own. One
that has no market yet leaves the lock to a sibling that has one (`market_lock`), unless none of
those takes it.

A leader that is asked to end (`resign`) does not leave it to that: it leads on until a sibling that
it chose listens in its place and all others are there, and then hands the lock over, by
descriptor, with its last tick (see `relay`). No timer decides when; one bounds how long it may
take, after which the lock is free as when a process is killed.

How a bus between machines plugs in. An `Upstream` decides where a leading worker has its market
from. `Alone` knows one answer: this process feeds. One for a bus loops: elected on the bus, it
calls `leader.feed(term, after=head, outlet=publish)`, where `publish` is awaited with the messages
of each tick before any subscriber sees it, and what it raises ends the feeding; not elected, it
calls `leader.mirror(messages)` with what it hears, and brings a keyframe after `GapError`. It may
cancel `feed` at any moment. Siblings follow the leader's relay in either case and never see the
bus. Terms are then the bus's, here and in `leader.feed`. While nothing comes, `mirror.idle` is to
be called every tick, so that silence is noticed and subscribers of changes hear that there are
none.

Rules for this module: it decides who leads; what leading means is in `leader`.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import structlog
import trio

from ticker import limits
from ticker.cluster.feeder_lock import FeederLock
from ticker.cluster.following import Following, RelayLostError, SleptError
from ticker.cluster.leader import Leader
from ticker.cluster.market_lock import MarketLock
from ticker.cluster.market_messages import Hello, Message, RelayMessageError, decode, encode
from ticker.cluster.mirror import GapError, Mirror
from ticker.market.market import Market

log = structlog.get_logger()

#: Where the leader listens for its siblings, in the data directory.
RELAY_SOCKET: Final = "relay.sock"


class Upstream(Protocol):
    """Where the market of a leading worker comes from."""

    async def run(self, leader: Leader, mirror: Mirror, term: int) -> None:
        """Feed, or mirror another machine's feeder, until cancelled.

        Args:
            leader: what can be done.
            mirror: what was heard so far, and is to be told of silence.
            term: of the election on this machine.
        """


class Alone:
    """The upstream of a machine by itself: its leader feeds."""

    async def run(self, leader: Leader, mirror: Mirror, term: int) -> None:
        """Feed until cancelled."""
        await leader.feed(max(term, mirror.term + 1))


class Role:
    """Runs the market of one worker.

    Attributes:
        ready: set once there is a market here, of this process or another one.
        leader: what this worker does while it leads.
        leading: whether it does.
        mirror: what it has heard.
    """

    def __init__(
        self,
        market: Market,
        data_dir: Path,
        upstream: Upstream,
        epoch_changed: Callable[[], Awaitable[None]],
        *,
        price_seconds: float,
    ) -> None:
        """Prepare; `run` begins.

        Args:
            market: of this process.
            data_dir: the directory that all workers of the machine share.
            upstream: where a leader's market comes from.
            epoch_changed: tells every subscriber of another epoch, before its first frame.
            price_seconds: for how long a price is good that is not proved again.
        """
        self.mirror = Mirror(market, epoch_changed)
        self.ready = self.mirror.ready
        self.leader = Leader(market, self.mirror, epoch_changed, price_seconds=price_seconds)
        self._market = market
        self._upstream = upstream
        self._lock = FeederLock(data_dir)
        self._market_lock = MarketLock(data_dir)
        self._left_to_siblings = 0
        self._path = data_dir / RELAY_SOCKET
        self._scope = trio.CancelScope()
        self._upstream_scope = trio.CancelScope()
        self._successor: socket.socket | None = None
        self._handed_over = trio.Event()
        self._lost: str | None = None

    @property
    def leading(self) -> bool:
        """Whether this worker leads its siblings."""
        return self._lock.held

    async def run(self) -> None:
        """Lead or follow, as it comes, until `stop` is called.

        Raises:
            OSError, UnsafeFileError: the lock or the relay's socket cannot be used.
        """
        try:
            with self._scope:
                while True:
                    if self._lock.take(self._may_lead):
                        await self._lead()
                    else:
                        await self._follow()
        finally:
            self._market_lock.release()

    async def wait_ready(self) -> None:
        """Wait until there is a market here, or nothing has been heard of one for a while.

        A long past takes its time, the more so on a machine with much to do.
        """
        began = trio.current_time()
        with trio.move_on_at(began + limits.FOLLOWING_MOST_SECONDS):
            while not self.ready.is_set():
                heard_at = max(began, self.mirror.heard_at)
                with trio.move_on_at(heard_at + limits.FOLLOWING_SECONDS):
                    await self.ready.wait()
                if self.mirror.heard_at <= heard_at:
                    return

    def stop(self) -> None:
        """Let a sibling lead, and follow none: this worker is about to end."""
        self._scope.cancel()

    async def resign(self, seconds: float) -> None:
        """Hand over to a sibling if this worker leads, and stop in any case.

        Args:
            seconds: how long siblings may take to be ready.
        """
        if self.leading:
            relay = self.leader.relay
            with trio.move_on_after(seconds):
                self._successor = await relay.find_successor()
                if self._successor is not None:
                    await relay.send_away(self._successor)
                    if self.leader.feeding:
                        # Right after a tick: the successor has until the next one.
                        await self._market.broadcast.wait_ticked()
            if self._successor is not None:
                self._upstream_scope.cancel()
                with trio.move_on_after(limits.RELAY_SILENT_SECONDS):
                    await self._handed_over.wait()
        self.stop()

    def _may_lead(self) -> bool:
        """Whether this worker has the market, or no sibling does that would take the free lock."""
        if self.mirror.synced or not self._market_lock.shared():
            self._left_to_siblings = 0
            return True
        self._left_to_siblings += 1
        return self._left_to_siblings > limits.LEFT_TO_SIBLINGS

    async def _lead(self) -> None:
        """Lead with a lock that was free."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._release)
                await self._listen(nursery)
                await self._rule()
        finally:
            self._lock.release()

    async def _listen(self, nursery: trio.Nursery) -> None:
        """Have siblings follow this worker."""
        self.leader.term = self.mirror.term
        await nursery.start(self.leader.relay.serve, self._path)
        nursery.start_soon(self.leader.tell)

    async def _rule(self) -> None:
        """Do what the upstream says until this worker has handed over, or is to stop."""
        self._market_lock.release()  # the lock of the feeder says more
        with self._upstream_scope, self.leader.until_silent(self._hand_over):
            await self._upstream.run(self.leader, self.mirror, self._lock.term)
        await trio.sleep_forever()  # `resign` stops this worker

    def _hand_over(self) -> None:
        """Hand the lock to the successor, if there is one, after this worker's last tick."""
        if self._successor is not None:
            self._lock.share(partial(self.leader.relay.hand_over, self._successor))
            self._handed_over.set()

    async def _release(self) -> None:
        """Release the lock once this worker is to lead no more, however long its sources take."""
        try:
            await trio.sleep_forever()
        finally:
            self._lock.release()

    async def _follow(self) -> None:
        """Follow the leader until it is lost, or has handed over to this worker."""
        hello, heard_at, pause = self.mirror.hello(), self.mirror.heard_at, True
        try:
            while True:
                try:
                    await self._hear(hello)
                    hello = self.mirror.hello()
                except SleptError as error:
                    # Only what is newest is of use, and no subscriber is to be shown the rest.
                    log.warning("worker_slept", reason=str(error))
                    hello = Hello()
        except RelayLostError as error:
            # One that was heard has gone just now: the lock is free.
            pause = self.mirror.heard_at == heard_at
            self._report(str(error))
        except (RelayMessageError, GapError) as error:
            self._report(str(error))
        await self.mirror.idle()
        if pause:
            await trio.sleep(limits.ELECTION_PAUSE_SECONDS)

    async def _hear(self, hello: Hello) -> None:
        """Publish what the leader says until it sends this worker to another one."""
        self.mirror.begin_anew()
        with Following(self._path, trio.current_time, encode(hello)) as following:
            while not following.moved:
                await self._hear_once(following, self.mirror.apply)
                if following.asked:
                    await self._succeed(following)

    async def _hear_once(
        self, following: Following, publish: Callable[[Sequence[Message]], Awaitable[None]]
    ) -> None:
        # A tick that is a little late is no turn in which nothing came.
        seconds = self._market.interval.seconds + limits.RELAY_TICK_LATE_SECONDS
        heard = await following.receive(seconds)
        if not heard:
            await self.mirror.idle()
            return
        await publish([decode(message) for message in heard])
        if self.mirror.synced:
            self._market_lock.share()
        self._report("")

    async def _succeed(self, following: Following) -> None:
        """Listen in the leader's place, pass on what it says, and lead once it has handed over.

        Raises:
            RelayLostError, RelayMessageError, GapError: as when this worker only follows.
        """
        failed: Exception | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._release)
                await self._listen(nursery)
                try:
                    following.say_ready()
                    while (descriptor := following.take_lock()) is None:
                        await self._hear_once(following, self.leader.mirror)
                    self._lock.adopt(descriptor)
                except (RelayLostError, RelayMessageError, GapError) as error:
                    if not self._lock.take():
                        failed = error
                        nursery.cancel_scope.cancel()
                if self._lock.held:
                    await self._rule()
        finally:
            self._lock.release()
        if failed is not None:
            raise failed

    def _report(self, lost: str) -> None:
        """Log what keeps this worker from following, where it is another reason than before."""
        if lost != self._lost:
            self._lost = lost
            if lost:
                log.info("feeder_lost", reason=lost)
            else:
                log.info("following", seq=self._market.hub.published.seq)
