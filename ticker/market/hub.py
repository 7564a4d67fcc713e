"""The hub: each tick is encoded once per topic and offered to every subscriber of it.

Theory of operation. A topic is what several subscribers want alike: a set of symbols and an
interval. At a tick the hub encodes one frame for each topic that is due and offers the same
bytes to each of its subscribers with `send_nowait`. A subscriber that is full
(`trio.WouldBlock`) is behind: it leaves the ready set, costs nothing while it is away, and
comes back through `Subscription.resume`, which sends a snapshot made at that moment. So
nothing is ever queued here, and what is newest always goes out next.

Fan-out runs in slices with a checkpoint between them, so that handshakes, pongs and HTTP
stay prompt however large the audience is. A slice is made once and used at every tick until
somebody comes or goes, so that a `Fanout` can prepare what it needs to reach all of it at once.

Rules for this module: it knows bytes and symbols, not sockets or clients. What an entry and
a frame look like is the `Encoder`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Protocol, Self

import attrs
import structlog
import trio

from ticker import limits
from ticker.market.book import Book
from ticker.market.quote import Quote
from ticker.market.subscriber import ONE_BY_ONE, Fanout, Subscriber

log = structlog.get_logger()


class Encoder(Protocol):
    """How quotes become bytes."""

    def entry(self, quote: Quote) -> bytes:
        """Encode one quote as it stands in a list, with what separates it from the next."""

    def frame(self, entries: bytes, *, seq: int, time_ms: int, snapshot: bool) -> bytes:
        """Make one complete frame out of the joined entries."""


@attrs.frozen
class HubStatistics:
    """What the hub holds and has done since it was made."""

    topics: int
    subscriptions: int
    behind: int
    frames_sent: int
    frames_skipped: int
    frames_encoded: int


class Slice:
    """Some of a topic's subscriptions, which are offered a frame together."""

    __slots__ = ("offer", "subscriptions")

    def __init__(self, subscriptions: Sequence[Subscription], fanout: Fanout) -> None:
        self.subscriptions = subscriptions
        self.offer = fanout.gather([each.subscriber for each in subscriptions])


class Topic:
    """The symbols and the interval that some subscribers have in common.

    Attributes:
        behind: how many subscriptions are waiting to be resumed.
    """

    __slots__ = ("_pick", "_ready", "_slices", "behind", "every", "frame", "frame_key", "places")

    def __init__(self, places: tuple[int, ...], every: int) -> None:
        self.places = places
        self.every = every
        self.behind = 0
        self.frame = b""
        self.frame_key: tuple[int, int, bool] | None = None
        self._ready: dict[Subscription, None] = {}
        self._slices: Sequence[Slice] | None = None
        self._pick: Callable[[Sequence[bytes]], Sequence[bytes]] = (
            itemgetter(*places) if len(places) > 1 else lambda entries: [entries[i] for i in places]
        )

    @property
    def empty(self) -> bool:
        """Whether nobody wants it any more."""
        return not self._ready and not self.behind

    def join(self, entries: Sequence[bytes]) -> bytes:
        """Join the entries of this topic's symbols."""
        return b"".join(self._pick(entries))

    def enter(self, subscription: Subscription) -> None:
        """Let a subscription take part in the coming ticks."""
        self._ready[subscription] = None
        self._slices = None

    def leave(self, subscription: Subscription) -> None:
        """Offer no further tick to a subscription."""
        del self._ready[subscription]
        self._slices = None

    def unchanged(self, slices: Sequence[Slice]) -> bool:
        """Whether nobody entered or left since these were asked for."""
        return self._slices is slices

    def slices(self, fanout: Fanout) -> Sequence[Slice]:
        """Return everybody who is ready, in slices of `limits.FANOUT_SLICE_FRAMES`.

        It is the same object for as long as nobody enters or leaves.
        """
        if self._slices is None:
            ready, size = tuple(self._ready), limits.FANOUT_SLICE_FRAMES
            parts = (ready[start : start + size] for start in range(0, len(ready), size))
            self._slices = [Slice(part, fanout) for part in parts]
        return self._slices


class Subscription:
    """One subscriber's place in one topic, from `Hub.subscribe`."""

    __slots__ = ("_hub", "behind", "ended", "fell_behind", "subscriber", "topic")

    def __init__(
        self,
        hub: Hub,
        topic: Topic,
        subscriber: Subscriber,
        fell_behind: Callable[[Exception | None], None],
    ) -> None:
        self._hub = hub
        self.topic = topic
        self.subscriber = subscriber
        self.fell_behind = fell_behind
        self.behind = True
        self.ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.end()

    def end(self) -> None:
        """Unsubscribe: no frame follows, not even one that is under way. Never awaits."""
        self._hub.end(self)

    def resume(self, first: bytes = b"") -> bool:
        """Send a snapshot made now and, if it fits, take part in the coming ticks.

        Args:
            first: what goes out before it, in the same write.

        Returns:
            Whether it did. If not, nothing was sent, and the subscription is still behind.
        """
        return self._hub.resume(self, first)


class Hub:
    """Topics and their subscribers."""

    def __init__(
        self,
        book: Book,
        encoder: Encoder,
        *,
        wall_ms: Callable[[], int],
        fanout: Fanout = ONE_BY_ONE,
    ) -> None:
        self._book = book
        self._fanout = fanout
        self._encoder = encoder
        self._wall_ms = wall_ms
        self._topics: dict[tuple[tuple[int, ...], int], Topic] = {}
        self._entries: list[bytes] = [b""] * len(book.symbols)
        self._encoded: list[Quote | None] = [None] * len(book.symbols)
        self._changes = 0
        self._tick_time_ms = 0
        self._subscriptions = 0
        self._frames_sent = 0
        self._frames_skipped = 0
        self._frames_encoded = 0

    def subscribe(
        self,
        symbols: Sequence[str],
        every: int,
        subscriber: Subscriber,
        fell_behind: Callable[[Exception | None], None],
    ) -> Subscription:
        """Subscribe until the subscription's block is left, or its `end` is called.

        Args:
            symbols: what to send, in this order; all must be in the book.
            every: the interval in ticks.
            subscriber: who gets the frames.
            fell_behind: called once when the subscriber was full (with None) or raised
                something else (with that). It must see to it that `resume` is called when
                there is room again, or that the subscription ends.

        The subscription starts behind, so that `resume` sends its snapshot first.
        """
        key = (tuple(map(self._book.place, symbols)), every)
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = Topic(*key)
        topic.behind += 1
        self._subscriptions += 1
        return Subscription(self, topic, subscriber, fell_behind)

    def end(self, subscription: Subscription) -> None:
        """End a subscription; see `Subscription.end`."""
        if subscription.ended:
            return
        subscription.ended = True
        topic = subscription.topic
        self._subscriptions -= 1
        if subscription.behind:
            topic.behind -= 1
        else:
            topic.leave(subscription)
        if topic.empty:
            del self._topics[topic.places, topic.every]

    async def publish(self) -> None:
        """Let the market tick, and offer the tick to every topic that is due.

        A checkpoint is passed after `limits.FANOUT_SLICE_FRAMES` frames or somewhat more, so
        with a small audience none at all.
        """
        seq = self._book.tick()
        time_ms = self._tick_time_ms = self._wall_ms()
        # Who is ready is settled before the first frame goes out: whoever subscribes or
        # resumes during the fan-out has a snapshot of this very tick already.
        plan = [
            (topic, topic.slices(self._fanout))
            for topic in self._topics.values()
            if seq % topic.every == 0
        ]
        room = limits.FANOUT_SLICE_FRAMES
        for topic, slices in plan:
            self._frames_skipped += topic.behind
            if not slices:
                continue
            frame = self._frame(topic, seq, time_ms, snapshot=False)
            for each in slices:
                self._offer(each if topic.unchanged(slices) else self._still(each), frame)
                room -= len(each.subscriptions)
                if room <= 0:
                    await trio.lowlevel.checkpoint()
                    room = limits.FANOUT_SLICE_FRAMES

    def resume(self, subscription: Subscription, first: bytes = b"") -> bool:
        """Offer a snapshot to a subscription that is behind; see `Subscription.resume`."""
        if subscription.ended or not subscription.behind:
            return True
        topic = subscription.topic
        time_ms = self._tick_time_ms or self._wall_ms()
        frame = self._frame(topic, self._book.seq, time_ms, snapshot=True)
        try:
            subscription.subscriber.send_nowait(first + frame)
        except trio.WouldBlock:
            return False
        if not subscription.ended:
            subscription.behind = False
            topic.behind -= 1
            topic.enter(subscription)
            self._frames_sent += 1
        return True

    def statistics(self) -> HubStatistics:
        """Return what the hub holds now and has done so far."""
        return HubStatistics(
            topics=len(self._topics),
            subscriptions=self._subscriptions,
            behind=sum(topic.behind for topic in self._topics.values()),
            frames_sent=self._frames_sent,
            frames_skipped=self._frames_skipped,
            frames_encoded=self._frames_encoded,
        )

    def _still(self, part: Slice) -> Slice:
        """Return a slice without those who ended their subscription during the fan-out."""
        there = [each for each in part.subscriptions if not each.ended]
        return part if len(there) == len(part.subscriptions) else Slice(there, self._fanout)

    def _offer(self, part: Slice, frame: bytes) -> None:
        missed = 0
        for place, error in part.offer(frame):
            missed += 1
            self._set_aside(part.subscriptions[place], error)
        self._frames_sent += len(part.subscriptions) - missed

    def _set_aside(self, subscription: Subscription, error: Exception | None) -> None:
        if subscription.ended:
            return
        subscription.behind = True
        subscription.topic.leave(subscription)
        subscription.topic.behind += 1
        self._frames_skipped += 1
        subscription.fell_behind(error)

    def _frame(self, topic: Topic, seq: int, time_ms: int, *, snapshot: bool) -> bytes:
        """Encode a topic's frame, or return it where the last one asked for was the same."""
        key = (seq, self._book.changes, snapshot)
        if topic.frame_key != key:
            entries = topic.join(self._fresh_entries())
            topic.frame = self._encoder.frame(entries, seq=seq, time_ms=time_ms, snapshot=snapshot)
            topic.frame_key = key
            self._frames_encoded += 1
        return topic.frame

    def _fresh_entries(self) -> list[bytes]:
        """Encode the quotes that are new, each once however many topics hold it."""
        if self._changes != self._book.changes:
            self._changes = self._book.changes
            entries, encoded = self._entries, self._encoded
            for place, quote in enumerate(self._book.quotes):
                if quote is not None and quote is not encoded[place]:
                    encoded[place] = quote
                    entries[place] = self._encoder.entry(quote)
        return self._entries
