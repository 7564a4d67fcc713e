"""The role of a worker: it leads the workers of its machine, or it follows the one that does.

Theory of operation. The worker that holds the lock in the data directory (`feeder_lock`) leads: it
listens for its siblings (`relay`) and does what its `Upstream` says. All others follow: they
publish what they hear (`mirror`). When the leader ends, the kernel frees the lock and closes its
connections; each follower has by then read all that was sent to it, and the first to take the lock
leads. It goes on from its own market with the next sequence number, in an epoch of its own.

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

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

import structlog
import trio

from ticker import limits
from ticker.cluster.feeder_lock import FeederLock
from ticker.cluster.leader import Leader
from ticker.cluster.market_messages import Hello, RelayMessageError, decode, encode
from ticker.cluster.mirror import GapError, Mirror
from ticker.cluster.relay import Following, RelayLostError, SleptError
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
        self._path = data_dir / RELAY_SOCKET
        self._scope = trio.CancelScope()
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
        with self._scope:
            while True:
                if self._lock.take():
                    try:
                        await self._lead()
                    finally:
                        self._lock.release()
                else:
                    await self._follow()

    def stop(self) -> None:
        """Let a sibling lead, and follow none: this worker is about to end."""
        self._scope.cancel()

    async def _lead(self) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.leader.relay.serve, self._path)
            nursery.start_soon(self.leader.tell)
            nursery.start_soon(self._release)
            await self._upstream.run(self.leader, self.mirror, self._lock.term)

    async def _release(self) -> None:
        """Release the lock once this worker is to lead no more, however long its sources take."""
        try:
            await trio.sleep_forever()
        finally:
            self._lock.release()

    async def _follow(self) -> None:
        """Follow the leader until it is lost."""
        hello = self.mirror.hello()
        try:
            while True:
                try:
                    await self._hear(hello)
                except SleptError as error:
                    # Only what is newest is of use, and no subscriber is to be shown the rest.
                    log.warning("worker_slept", reason=str(error))
                    hello = Hello()
        except (RelayLostError, RelayMessageError, GapError) as error:
            self._report(str(error))
        await self.mirror.idle()
        await trio.sleep(limits.ELECTION_PAUSE_SECONDS)

    async def _hear(self, hello: Hello) -> None:
        mirror = self.mirror
        # A tick that is a little late is no turn in which nothing came.
        seconds = self._market.interval.seconds + limits.RELAY_TICK_LATE_SECONDS
        mirror.begin_anew()
        with Following(self._path, trio.current_time, encode(hello)) as following:
            while True:
                heard = await following.receive(seconds)
                if not heard:
                    await mirror.idle()
                    continue
                await mirror.apply([decode(message) for message in heard])
                self._report("")

    def _report(self, lost: str) -> None:
        """Log what keeps this worker from following, where it is another reason than before."""
        if lost != self._lost:
            self._lost = lost
            if lost:
                log.info("feeder_lost", reason=lost)
            else:
                log.info("following", seq=self._market.hub.published.seq)
