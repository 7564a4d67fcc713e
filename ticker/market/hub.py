"""The hub: each tick is encoded once per topic and offered to every subscriber of it.

Theory of operation. A topic is what several subscribers want alike (`ticker.market.topic`). At a
tick the hub encodes one frame for each topic that is due and offers the same bytes to each of
its subscribers with `send_nowait`. A subscriber that is full (`trio.WouldBlock`) is behind: it
leaves the ready set, costs nothing while it is away, and comes back through
`Subscription.resume`. So nothing is ever queued here.

What is sent then depends on the mode. In `latest` it is a snapshot of the last tick, so that what
is newest always goes out next. In `changes` it is what has changed since the subscriber's own last
frame, by the `seq` of each symbol's last change; those who are ready share one frame with the
changes since the topic's last one. A subscriber of `every` keeps what waits for it
(`ticker.streams.tick_queue`) and is full only where it is given up; one that comes back is first
given what it lacks out of the tick log.

Fan-out runs in slices with a checkpoint between them, so that handshakes, pongs and HTTP stay
prompt however large the audience is.

Rules for this module: it knows bytes and symbols, not sockets or clients. How an entry and a
frame look is the business of a topic's encoding.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import attrs
import trio

from ticker import limits
from ticker.encodings.encoding import Encoding, Format
from ticker.market.book import Book
from ticker.market.entries import Entries
from ticker.market.missed_ticks import MissedTicks
from ticker.market.published import Published, Snapshot
from ticker.market.quote import Details, Quote
from ticker.market.schedule import Plan, Schedule
from ticker.market.subscriber import ONE_BY_ONE, Fanout, Subscriber
from ticker.market.subscription import Subscription
from ticker.market.tick_log import LoggedTick, TickLog
from ticker.market.topic import Slice, Topic, TopicKey
from ticker.protocol.details import Detail, Mode


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
        log: what the last ticks changed.
        offering: whether a tick is on its way to the subscribers.
        offered_at: when the last one set out, in trio's time.
    """

    def __init__(
        self,
        book: Book,
        *,
        time_ms: int,
        tick_seconds: float,
        log_seconds: float,
        fanout: Fanout = ONE_BY_ONE,
    ) -> None:
        """Begin with nothing published.

        Args:
            book: what a tick publishes.
            time_ms: now, in milliseconds since the epoch.
            tick_seconds: from one tick to the next.
            log_seconds: how far back the tick log reaches.
            fanout: how a frame gets to several subscribers.
        """
        self.published = Published(book, time_ms=time_ms)
        self.log = TickLog(log_seconds)
        self.offering = False
        self.offered_at = -math.inf
        self._book = book
        self._fanout = fanout
        self._missed = MissedTicks(self.published, self.log)
        self._schedule = Schedule(self.published, fanout, tick_seconds)
        # Grows where what was published is replaced by what does not follow from it.
        self._line = 0
        self._topics: dict[TopicKey, Topic] = {}
        self._entries: dict[tuple[Format, Detail], Entries] = {}
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
        *,
        mode: Mode = "latest",
        detail: Detail = "price",
        seq: int | None = None,
    ) -> Subscription:
        """Subscribe until the subscription's block is left, or its `end` is called.

        Args:
            symbols: what to send, in this order; all must be in the book.
            every: the interval in ticks; 1 in the mode `every`.
            encoding: how frames are made.
            subscriber: gets the frames.
            fell_behind: called once when the subscriber was full (with None) or raised
                something else (with that). It must see to it that `resume` is called when
                there is room again, or that the subscription ends.
            mode: what of the market a frame holds.
            detail: what of a quote is shown.
            seq: the tick that the subscriber has, which `resumable` has found to be good; None
                where it is to begin with a snapshot.

        The subscription starts behind, so that `resume`, or in the mode `every` `replay`, gives
        what comes first.
        """
        places = tuple(map(self._book.place, symbols))
        key = TopicKey(places, every, mode, detail, encoding)
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = Topic(key, self._entries_in(encoding.format, detail))
        topic.behind += 1
        self._subscriptions += 1
        return Subscription(self, topic, subscriber, fell_behind, seq, self._line)

    def resumable(self, mode: Mode, epoch: str, seq: int) -> bool:
        """Say whether a subscriber that has the tick `seq` of `epoch` can be brought on from it."""
        published = self.published
        if mode == "latest" or not published.proves(epoch, seq):
            return False
        return mode == "changes" or seq >= self.log.reaches

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
            self._missed.forget(topic)

    async def publish(
        self,
        seq: int,
        time_ms: int,
        taken: Iterable[Quote] | None = None,
        days: Mapping[int, Details | None] | None = None,
        *,
        overtaken: bool = False,
    ) -> None:
        """Publish what the book holds as the next tick, and offer it to every topic that is due.

        A checkpoint is passed after `limits.FANOUT_SLICE_FRAMES` frames or somewhat more, so
        with a small audience none at all.

        Args:
            seq: the tick's number, greater than the last one's.
            time_ms: now, in milliseconds since the epoch.
            taken: see `Published.tick`.
            days: see there.
            overtaken: whether the next tick follows at once: then only those are offered this one
                who get every tick.
        """
        now = trio.current_time()
        published = self.published
        published.tick(seq, time_ms, taken, days)
        changed = published.changed
        if changed["full"]:
            shown, figures = published.changed_quotes(), published.changed_days()
            self.log.add(LoggedTick(seq, time_ms, changed, shown, figures), now)
        # Who is ready is settled before the first frame goes out: a subscriber that comes or
        # resumes during the fan-out has a frame of this very tick already.
        due = self._schedule.due(self._topics.values(), seq, overtaken=overtaken)
        for topic in due:
            self._frames_skipped += topic.behind
        await self._fan_out(self._schedule.plan(due, now), now, time_ms)

    async def load(self, snapshot: Snapshot, loaded: Callable[[], Awaitable[None]]) -> None:
        """Publish the market of another process, and offer it to every subscriber.

        Those who get changes, and whose last tick is proved to be on its line, get what has
        changed since; all others a snapshot.

        Args:
            snapshot: that market.
            loaded: is awaited once it is published, before the first frame of it goes out.
        """
        now = trio.current_time()
        before = self.published.seq
        proved, seq = self.published.load(snapshot), snapshot.seq
        self.log.restart(seq)
        self._missed.forget_all()
        if not proved:
            self._line += 1
            for entries in self._entries.values():
                entries.forget()
        for topic in self._topics.values():
            # Between the two ticks there may have been others, which were to be sent too.
            if not proved or (topic.key.mode == "every" and seq > before):
                topic.begin_anew()
        self._schedule.sent = seq
        await loaded()
        await self._fan_out(self._schedule.plan(self._topics.values(), now), now, snapshot.time_ms)

    async def keep_alive(self, time_ms: int) -> None:
        """Let a turn pass at which the market did not tick, as while it is stale.

        Those who get changes only are told at times that there are none.

        Args:
            time_ms: now, in milliseconds since the epoch.
        """
        now = trio.current_time()
        quiet = [topic for topic in self._topics.values() if topic.holds_changes]
        if quiet:
            await self._fan_out(self._schedule.plan_quiet(quiet, now), now, time_ms)

    def resume(self, subscription: Subscription, first: bytes = b"") -> bool:
        """Offer what it lacks to a subscription that is behind; see `Subscription.resume`."""
        if subscription.ended or not subscription.behind:
            return True
        seq, prev = self.published.seq, self._has(subscription)
        if prev != seq:
            first += self._frame(subscription.topic, prev, self.published.time_ms)
        try:
            if first:
                subscription.subscriber.send_nowait(first)
        except trio.WouldBlock:
            return False
        self._frames_sent += prev != seq
        self._enter(subscription)
        return True

    def replay(self, subscription: Subscription) -> bytes:
        """Return what a subscription of `every` lacks; see `Subscription.replay`."""
        if subscription.ended or not subscription.behind:
            return b""
        published, topic = self.published, subscription.topic
        if self._has(subscription) is None:
            frames = self._frame(topic, None, published.time_ms)
            subscription.seq = published.seq
        else:
            assert subscription.seq is not None  # noqa: S101 - as was just found
            frames, subscription.seq = self._missed.after(topic, subscription.seq)
        subscription.line = self._line
        if subscription.seq == published.seq:
            self._enter(subscription)
        return frames

    def _has(self, subscription: Subscription) -> int | None:
        """Return the tick that a subscription was last known to have, if that is of any use."""
        return subscription.seq if subscription.line == self._line else None

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

    def _entries_in(self, format_: Format, detail: Detail) -> Entries:
        entries = self._entries.get((format_, detail))
        if entries is None:
            entries = self._entries[format_, detail] = Entries(self.published, format_, detail)
        return entries

    async def _fan_out(self, plan: Plan, now: float, time_ms: int) -> None:
        room = limits.FANOUT_SLICE_FRAMES
        self.offering, self.offered_at = True, now
        try:
            for topic, slices, prev in plan:
                whole = prev is None and topic.holds_changes
                frame = self._frame(topic, prev, time_ms, snapshot=whole)
                topic.last, topic.sent_at = self.published.seq, now
                for each in slices:
                    self._offer(each if topic.unchanged(slices) else self._still(each), frame, prev)
                    room -= len(each.subscriptions)
                    if room <= 0:
                        await trio.lowlevel.checkpoint()
                        room = limits.FANOUT_SLICE_FRAMES
        finally:
            self.offering = False

    def _still(self, part: Slice) -> Slice:
        """Return a slice without those who ended their subscription during the fan-out."""
        there = [each for each in part.subscriptions if not each.ended]
        return part if len(there) == len(part.subscriptions) else Slice(there, self._fanout)

    def _offer(self, part: Slice, frame: bytes, prev: int | None) -> None:
        missed = 0
        for place, error in part.offer(frame):
            missed += 1
            self._set_aside(part.subscriptions[place], error, prev)
        self._frames_sent += len(part.subscriptions) - missed

    def _set_aside(
        self, subscription: Subscription, error: Exception | None, prev: int | None
    ) -> None:
        if subscription.ended:
            return
        topic = subscription.topic
        subscription.behind = True
        has = self._has(subscription)
        # It has all that came before, and maybe entered with more.
        subscription.seq = None if prev is None else max(prev, has or 0)
        subscription.line = self._line
        topic.leave(subscription)
        topic.behind += 1
        self._frames_skipped += 1
        subscription.fell_behind(error)

    def _enter(self, subscription: Subscription) -> None:
        """Let a subscription that has the last tick take part in the coming ones."""
        if subscription.ended:
            return
        topic, seq = subscription.topic, self.published.seq
        subscription.behind = False
        topic.behind -= 1
        subscription.seq = seq if topic.holds_changes else None
        subscription.line = self._line
        topic.enter(subscription, seq, trio.current_time())

    def _frame(
        self, topic: Topic, prev: int | None, time_ms: int, *, snapshot: bool | None = None
    ) -> bytes:
        """Return a frame of the last tick, by default a snapshot where it shows everything."""
        snapshot = prev is None if snapshot is None else snapshot
        frame, encoded = topic.frame(self.published, prev=prev, time_ms=time_ms, snapshot=snapshot)
        self._frames_encoded += encoded
        return frame
