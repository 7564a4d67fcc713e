"""The hub: each tick is encoded once per topic and offered to every subscriber of it.

Theory of operation. A topic is what several subscribers want alike (`ticker.market.topic`). At a
tick the hub encodes one frame for each topic that is due and offers the same bytes to each of
its subscribers with `send_nowait`. A subscriber that is full (`trio.WouldBlock`) is behind: it
leaves the ready set, costs nothing while it is away, and comes back through
`Subscription.resume`, which sends a snapshot of the last tick. So nothing is ever queued here,
and what is newest always goes out next.

Fan-out runs in slices with a checkpoint between them, so that handshakes, pongs and HTTP stay
prompt however large the audience is.

Rules for this module: it knows bytes and symbols, not sockets or clients. How an entry and a
frame look is the business of a topic's encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import trio

from ticker import limits
from ticker.encodings.encoding import Encoding, Format
from ticker.market.book import Book
from ticker.market.entries import Entries
from ticker.market.published import Published
from ticker.market.subscriber import ONE_BY_ONE, Fanout, Subscriber
from ticker.market.topic import Slice, Subscription, Topic, TopicKey


@attrs.frozen
class HubStatistics:
    """What the hub holds and has done since it was made."""

    topics: int
    subscriptions: int
    behind: int
    frames_sent: int
    frames_skipped: int
    frames_encoded: int


class Hub:
    """Topics and their subscribers.

    Attributes:
        published: what subscribers are shown until the next tick.
    """

    def __init__(self, book: Book, *, time_ms: int, fanout: Fanout = ONE_BY_ONE) -> None:
        """Begin with nothing published.

        Args:
            book: what a tick publishes.
            time_ms: now, in milliseconds since the epoch.
            fanout: how a frame gets to several subscribers.
        """
        self.published = Published(book, time_ms=time_ms)
        self._book = book
        self._fanout = fanout
        self._topics: dict[TopicKey, Topic] = {}
        self._entries: dict[Format, Entries] = {}
        self._subscriptions = 0
        self._frames_sent = 0
        self._frames_skipped = 0
        self._frames_encoded = 0

    def subscribe(
        self,
        symbols: Sequence[str],
        every: int,
        encoding: Encoding,
        subscriber: Subscriber,
        fell_behind: Callable[[Exception | None], None],
    ) -> Subscription:
        """Subscribe until the subscription's block is left, or its `end` is called.

        Args:
            symbols: what to send, in this order; all must be in the book.
            every: the interval in ticks.
            encoding: how frames are made.
            subscriber: gets the frames.
            fell_behind: called once when the subscriber was full (with None) or raised
                something else (with that). It must see to it that `resume` is called when
                there is room again, or that the subscription ends.

        The subscription starts behind, so that `resume` sends its snapshot first.
        """
        key = TopicKey(tuple(map(self._book.place, symbols)), every, encoding)
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = Topic(key, self._entries_in(encoding.format))
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
            del self._topics[topic.key]

    async def publish(self, seq: int, time_ms: int) -> None:
        """Publish what the book holds as the next tick, and offer it to every topic that is due.

        A checkpoint is passed after `limits.FANOUT_SLICE_FRAMES` frames or somewhat more, so
        with a small audience none at all.

        Args:
            seq: the tick's number, greater than the last one's.
            time_ms: now, in milliseconds since the epoch.
        """
        self.published.tick(seq, time_ms)
        # Who is ready is settled before the first frame goes out: a subscriber that comes or
        # resumes during the fan-out has a snapshot of this very tick already.
        plan = [
            (topic, topic.slices(self._fanout))
            for topic in self._topics.values()
            if seq % topic.key.every == 0
        ]
        room = limits.FANOUT_SLICE_FRAMES
        for topic, slices in plan:
            self._frames_skipped += topic.behind
            if not slices:
                continue
            frame = self._frame(topic, snapshot=False)
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
        frame = self._frame(topic, snapshot=True)
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

    def _entries_in(self, format_: Format) -> Entries:
        entries = self._entries.get(format_)
        if entries is None:
            entries = self._entries[format_] = Entries(self.published, format_)
        return entries

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

    def _frame(self, topic: Topic, *, snapshot: bool) -> bytes:
        """Encode a topic's frame, or return it where the last one asked for was the same."""
        published = self.published
        key = (published.seq, snapshot)
        if topic.frame_key != key:
            encoding = topic.key.encoding
            message = encoding.format.ticker(
                topic.all_entries(),
                seq=published.seq,
                time_ms=published.time_ms,
                snapshot=snapshot,
            )
            topic.frame = encoding.frame(message)
            topic.frame_key = key
            self._frames_encoded += 1
        return topic.frame
