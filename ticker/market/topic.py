"""Topics: what several subscribers want alike, and so share the bytes of.

A topic is a set of symbols, an interval and an encoding. Those who are ready for its next frame
are kept in slices, each made once and used at every tick until a subscriber comes or goes, so
that a `Fanout` can prepare what it needs to reach a whole slice at once.

Rules for this module: it knows bytes and symbols, not sockets or clients. When a frame is made
and offered is the hub's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Protocol, Self

import attrs

from ticker import limits
from ticker.encodings.encoding import Encoding
from ticker.market.entries import Entries
from ticker.market.subscriber import Fanout, Subscriber


@attrs.frozen(cache_hash=True)
class TopicKey:
    """What makes two subscriptions alike.

    Attributes:
        places: the book's places of the symbols, in the order to show them.
        every: the interval in ticks.
        encoding: how frames are made.
    """

    places: tuple[int, ...]
    every: int
    encoding: Encoding


class Slice:
    """Some of a topic's subscriptions, which are offered a frame together."""

    __slots__ = ("offer", "subscriptions")

    def __init__(self, subscriptions: Sequence[Subscription], fanout: Fanout) -> None:
        self.subscriptions = subscriptions
        self.offer = fanout.gather([each.subscriber for each in subscriptions])


class Topic:
    """The subscriptions that are alike.

    Attributes:
        key: in what they are.
        entries: the quotes in its encoding.
        behind: how many subscriptions are waiting to be resumed.
        frame: the last frame that was made.
        frame_key: what that frame is: its seq, and whether it is a snapshot.
    """

    __slots__ = ("_pick", "_ready", "_slices", "behind", "entries", "frame", "frame_key", "key")

    def __init__(self, key: TopicKey, entries: Entries) -> None:
        self.key = key
        self.entries = entries
        self.behind = 0
        self.frame = b""
        self.frame_key: tuple[int, bool] | None = None
        self._ready: dict[Subscription, None] = {}
        self._slices: Sequence[Slice] | None = None
        self._pick: Callable[[Sequence[bytes]], Iterable[bytes]] = _picker(key.places)

    @property
    def empty(self) -> bool:
        """Whether it has no subscription."""
        return not self._ready and not self.behind

    def all_entries(self) -> Iterable[bytes]:
        """Return the entries of this topic's symbols, as of the last tick, where there are any."""
        return filter(None, self._pick(self.entries.fresh()))

    def enter(self, subscription: Subscription) -> None:
        """Let a subscription take part in the coming ticks."""
        self._ready[subscription] = None
        self._slices = None

    def leave(self, subscription: Subscription) -> None:
        """Offer no further tick to a subscription."""
        del self._ready[subscription]
        self._slices = None

    def unchanged(self, slices: Sequence[Slice]) -> bool:
        """Whether no subscription entered or left since these were asked for."""
        return self._slices is slices

    def slices(self, fanout: Fanout) -> Sequence[Slice]:
        """Return all who are ready, in slices of `limits.FANOUT_SLICE_FRAMES`.

        It is the same object for as long as no subscription enters or leaves.
        """
        if self._slices is None:
            ready, size = tuple(self._ready), limits.FANOUT_SLICE_FRAMES
            parts = (ready[start : start + size] for start in range(0, len(ready), size))
            self._slices = [Slice(part, fanout) for part in parts]
        return self._slices


class Owner(Protocol):
    """The hub, as a subscription knows it."""

    def end(self, subscription: Subscription) -> None:
        """End a subscription."""

    def resume(self, subscription: Subscription, first: bytes) -> bool:
        """Offer a frame to a subscription that is behind."""


class Subscription:
    """One subscriber's place in one topic, from `Hub.subscribe`."""

    __slots__ = ("_hub", "behind", "ended", "fell_behind", "subscriber", "topic")

    def __init__(
        self,
        hub: Owner,
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
        """Send a snapshot of the last tick and, if it fits, take part in the coming ones.

        Args:
            first: what goes out before it, in the same write.

        Returns:
            Whether it did. If not, nothing was sent, and the subscription is still behind.
        """
        return self._hub.resume(self, first)


def _picker(places: tuple[int, ...]) -> Callable[[Sequence[bytes]], Iterable[bytes]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda entries: [entries[place] for place in places]
