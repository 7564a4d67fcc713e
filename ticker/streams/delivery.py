"""What reaches one subscriber without being asked for: ticks, status, pings.

Nothing here awaits but one task, which runs while the subscriber is behind, or a frame of its is
written in part: it waits until the stream has room again, says what was missed and sends what the
hub has for it then. In all other times a subscriber of `latest` or `changes` costs no task but the
one that reads. One of `every` has a bounded channel and a writer task besides (`tick_queue`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, Self

import trio

from ticker.encodings.encoding import Encoding
from ticker.encodings.websocket_frames import PING_FRAME
from ticker.market.condition import SourceState
from ticker.market.missed_ticks import TicksLostError
from ticker.market.subscriber import Subscriber
from ticker.market.subscription import Subscription
from ticker.protocol.messages import Epoch, Status
from ticker.streams.context import StreamContext
from ticker.streams.subscribing import Wanted
from ticker.streams.tick_queue import TickQueue


class DeliveryStream(Protocol):
    """What is needed of the stream under a subscriber.

    Attributes:
        on_partial_write: called when `send_nowait` wrote a frame in part, for `wait_ready` to
            finish.
    """

    on_partial_write: Callable[[], None]

    def send_nowait(self, frame: bytes, /) -> None:
        """Write one frame whole, or raise `trio.WouldBlock`."""

    async def wait_ready(self) -> None:
        """Wait until `send_nowait` has room again."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write whole frames."""


class TooSlowError(Exception):
    """A subscriber of `every` has fallen behind by more than what is kept for it."""


class Delivery:
    """One subscriber's subscription and everything else the server sends by itself."""

    __slots__ = (
        "_behind",
        "_catching_up",
        "_charged",
        "_context",
        "_encoding",
        "_ended",
        "_epoch_told",
        "_nursery",
        "_pinged",
        "_queue",
        "_role",
        "_status_told",
        "_stream",
        "_subscription",
    )

    def __init__(
        self,
        context: StreamContext,
        stream: DeliveryStream,
        encoding: Encoding,
        role: str,
        nursery: trio.Nursery,
        ended: Callable[[Exception], None],
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            context: the hub, the book and the sources' states.
            stream: where frames go.
            encoding: how they are made.
            role: the subscriber's.
            nursery: where the task runs that catches up; it ends with this object's block.
            ended: called with what made sending impossible: trio's BrokenResourceError or
                ClosedResourceError where the peer has gone, TooSlowError where a subscriber of
                `every` cannot get every tick, anything else is a fault of the server.
        """
        self._context = context
        self._stream = stream
        self._encoding = encoding
        self._role = role
        stream.on_partial_write = self._catch_up_soon
        self._nursery = nursery
        self._ended = ended
        self._subscription: Subscription | None = None
        self._charged: tuple[str, int] | None = None
        self._queue: TickQueue | None = None
        self._behind = False
        self._catching_up: trio.CancelScope | None = None
        self._pinged = False
        self._status_told: tuple[SourceState, ...] = ()
        self._epoch_told = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        """End the subscription, and the task that catches up; never awaits."""
        self.unsubscribe()
        if self._catching_up is not None:
            self._catching_up.cancel()
        self._ended = _ignore
        self._stream.on_partial_write = _nothing

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols subscribed to; empty without a subscription."""
        if self._subscription is None:
            return ()
        symbols = self._context.market.book.symbols
        return tuple(symbols[place] for place in self._subscription.topic.key.places)

    def begin(self, greeting: bytes, wanted: Wanted) -> None:
        """Send the first bytes of the stream, and subscribe, if there are any symbols."""
        self._epoch_told = self._context.market.hub.published.epoch  # the greeting says it
        self._status_told = self._context.status_for(self._role)
        # A subscriber takes a source for live; only what is stale is worth a word at the start.
        stale = [self._status(state) for state in self._status_told if state.state != "live"]
        first = b"".join([greeting, *stale])
        if wanted.symbols:
            self.subscribe(wanted, first=first)
        else:
            self._offer_first(first)

    def subscribe(self, wanted: Wanted, *, first: bytes = b"") -> None:
        """Replace the subscription; next comes a snapshot, or the frame to resume with.

        Args:
            wanted: what to send.
            first: what is to go out before it, in the same write; there must be room.
        """
        self.unsubscribe()
        if wanted.mode == "every":
            if first:
                self._offer_first(first)
            self._queue = queue = TickQueue()
            self._subscription = subscription = self._subscribe(wanted, queue, self._queue_full)
            self._nursery.start_soon(self._write_every, subscription, queue)
            return
        self._subscription = subscription = self._subscribe(wanted, self._stream, self._fell_behind)
        try:
            resumed = subscription.resume(first)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as gone:
            self._ended(gone)
            return
        if first and not resumed:
            self._ended(trio.BrokenResourceError("no room for the first bytes of a stream"))
        elif not resumed:
            self._catch_up_soon()

    def unsubscribe(self) -> None:
        """End the subscription: no tick follows, not even one that is under way."""
        if self._charged is not None:
            self._context.own_sets.leave(*self._charged)
            self._charged = None
        if self._subscription is not None:
            self._subscription.end()
            self._subscription = None
        if self._queue is not None:
            self._queue.close()
            self._queue = None

    def tell_status(self) -> None:
        """Tell which sources went stale or live, where the subscriber does not know yet."""
        states = self._context.status_for(self._role)
        news = [state for state in states if state not in self._status_told]
        if not news or self.offer(b"".join(map(self._status, news))):
            self._status_told = states

    def tell_epoch(self) -> None:
        """Tell of another epoch, where the subscriber does not know yet, before its next frame."""
        message = self._epoch()
        if not message:
            return
        if self._queue is None:
            told = self.offer(message)
        else:
            # After the ticks that wait, which are of the epoch before.
            with suppress(trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
                self._queue.send_nowait(message)
            told = True  # where there is no room, the next tick ends it
        if told:
            self._epoch_told = self._context.market.hub.published.epoch

    def watch_silence(self, *, silent: bool) -> None:
        """Send one ping each time the peer has become silent."""
        if not silent:
            self._pinged = False
        elif not self._pinged:
            self._pinged = self.offer(PING_FRAME)

    def _epoch(self) -> bytes:
        """Return the message that tells of another epoch; empty where it is known."""
        epoch = self._context.market.hub.published.epoch
        return b"" if epoch == self._epoch_told else self._encoding.message(Epoch(epoch=epoch))

    def _status(self, state: SourceState) -> bytes:
        return self._encoding.message(
            Status(
                state=state.state,
                source=state.source,
                since=state.since,
                reason=state.reason,
                symbols=state.symbols,
                reasons=state.reasons,
            )
        )

    def _subscribe(
        self,
        wanted: Wanted,
        subscriber: Subscriber,
        fell_behind: Callable[[Exception | None], None],
    ) -> Subscription:
        if wanted.account:
            self._charged = (wanted.account, len(wanted.symbols))
            self._context.own_sets.enter(*self._charged)
        return self._context.market.hub.subscribe(
            wanted.symbols,
            wanted.every,
            self._encoding,
            subscriber,
            fell_behind,
            mode=wanted.mode,
            detail=wanted.detail,
            seq=wanted.seq,
        )

    async def _write_every(self, subscription: Subscription, queue: TickQueue) -> None:
        """Write what a subscriber of `every` missed, and then each tick, until that is over."""
        try:
            with queue:
                while missed := subscription.replay():
                    await self._stream.send_all(missed)
                await queue.write_to(self._stream)
        except TicksLostError:
            self._ended(TooSlowError())
        except Exception as error:  # noqa: BLE001 - goes to the session, which contains it
            self._ended(error)

    def _queue_full(self, error: Exception | None) -> None:
        self._ended(error or TooSlowError())

    def _offer_first(self, first: bytes) -> None:
        if not self.offer(first):
            self._ended(trio.BrokenResourceError("no room for the first bytes of a stream"))

    def offer(self, frame: bytes) -> bool:
        """Send a frame past the hub; False where there is no room for it now."""
        try:
            self._stream.send_nowait(frame)
        except trio.WouldBlock:
            self._catch_up_soon()
            return False
        except (trio.BrokenResourceError, trio.ClosedResourceError) as gone:
            self._ended(gone)
            return False
        return True

    def _fell_behind(self, error: Exception | None) -> None:
        if error is None:
            self._catch_up_soon()
        else:
            self._ended(error)

    def _catch_up_soon(self) -> None:
        self._behind = True
        if self._catching_up is None:
            self._catching_up = trio.CancelScope()
            self._nursery.start_soon(self._catch_up, self._catching_up)

    async def _catch_up(self, scope: trio.CancelScope) -> None:
        """Wait until there is room; then say what was missed, the newest prices last."""
        try:
            with scope:
                while self._behind:
                    await self._stream.wait_ready()
                    await self._context.market.followed.current()
                    # What finds no room from here on sets this again, and the loop goes on.
                    self._behind = False
                    if self._resumed():
                        self.tell_status()
                    else:
                        self._behind = True
        except Exception as error:  # noqa: BLE001 - goes to the session, which contains it
            self._ended(error)
        finally:
            self._catching_up = None

    def _resumed(self) -> bool:
        """Whether there is nothing, or nothing more, that the hub has for a stream with room."""
        # A subscriber of `every` has a task of its own for that.
        if self._subscription is None or self._queue is not None:
            self.tell_epoch()
            return True
        epoch = self._context.market.hub.published.epoch
        if not self._subscription.resume(self._epoch()):
            return False
        self._epoch_told = epoch
        return True


def _ignore(_error: Exception) -> None:
    """Do nothing: the session is over, and is not to be kept alive by what it held."""


def _nothing() -> None:
    """Do nothing: the closing handshake finishes what was written in part before it."""
