"""Topics: what several subscribers want alike, and so share the bytes of.

Those who are ready for a topic's next frame are kept in slices, each made once and used at every
tick until a subscriber comes or goes, so that a `Fanout` can prepare what it needs to reach a
whole slice at once.

Rules for this module: it knows bytes and symbols, not sockets or clients. When a frame is made
and offered is the hub's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter

import attrs

from ticker import limits
from ticker.encodings.encoding import Encoding
from ticker.market.entries import Entries
from ticker.market.published import Published
from ticker.market.subscriber import Fanout
from ticker.market.subscription import Subscription
from ticker.protocol.details import Detail, Mode


@attrs.frozen(cache_hash=True)
class TopicKey:
    """What makes two subscriptions alike.

    Attributes:
        places: the book's places of the symbols, in the order to show them.
        every: the interval in ticks.
        mode: what of the market a frame holds.
        detail: what of a quote is shown.
        encoding: how frames are made.
    """

    places: tuple[int, ...]
    every: int
    mode: Mode
    detail: Detail
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
        behind: how many subscriptions are waiting to be resumed.
        last: the `seq` of the last frame for those who are ready; of interest where frames hold
            changes, and never beyond what any of them has. None where they are to be sent
            everything next.
        sent_at: when that was, in trio's time.
    """

    __slots__ = (
        "_entries",
        "_frame",
        "_frame_key",
        "_order",
        "_pick",
        "_places",
        "_ready",
        "_slices",
        "behind",
        "key",
        "last",
        "sent_at",
    )

    def __init__(self, key: TopicKey, entries: Entries) -> None:
        self.key = key
        self.behind = 0
        self.last: int | None = 0
        self.sent_at = float("-inf")
        self._entries = entries
        self._frame = b""
        self._frame_key: tuple[str, int, int | None, int, bool] | None = None
        self._ready: dict[Subscription, None] = {}
        self._slices: Sequence[Slice] | None = None
        self._places = frozenset(key.places)
        self._order: Mapping[int, int] = {place: order for order, place in enumerate(key.places)}
        self._pick: Callable[[Sequence[bytes]], Iterable[bytes]] = _picker(key.places)

    @property
    def empty(self) -> bool:
        """Whether it has no subscription."""
        return not self._ready and not self.behind

    @property
    def holds_changes(self) -> bool:
        """Whether a frame holds changes only, where it is no snapshot."""
        return self.key.mode != "latest"

    def begin_anew(self) -> None:
        """Send everything next, to those who are ready and to those who are behind."""
        self.last = None
        self._frame_key = None

    def enter(self, subscription: Subscription, seq: int, now: float) -> None:
        """Let a subscription, which has everything up to `seq`, take part in the coming ticks."""
        if not self._ready:
            self.last, self.sent_at = seq, now
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

    def in_order(self, places: Iterable[int]) -> list[int]:
        """Return those places that are this topic's, in the order to show them."""
        return sorted(self._places.intersection(places), key=self._order.__getitem__)

    def shows(self, places: Iterable[int]) -> bool:
        """Say whether any of some places is this topic's."""
        return not self._places.isdisjoint(places)

    def frame(
        self, published: Published, *, prev: int | None, time_ms: int, snapshot: bool
    ) -> tuple[bytes, bool]:
        """Return a frame of the last tick.

        Args:
            published: the market as of that tick.
            prev: the tick since which to show what has changed; None for all symbols.
            time_ms: what to give as its time.
            snapshot: whether to call it one.

        Returns:
            The frame, and whether it was encoded now: it is kept for who asks next.
        """
        key = (published.epoch, published.seq, prev, time_ms, snapshot)
        if self._frame_key == key:
            return self._frame, False
        encoded = self._entries.fresh(self._places)
        if prev is None:
            entries: Iterable[bytes] = filter(None, self._pick(encoded))
        else:
            changed = self._places.intersection(published.changed_since(prev, self.key.detail))
            if len(changed) == len(self._places):
                entries = self._pick(encoded)
            else:
                entries = map(encoded.__getitem__, self.in_order(changed))
        self._frame = self.key.encoding.ticker(
            entries,
            epoch=published.epoch,
            seq=published.seq,
            time_ms=time_ms,
            prev=prev,
            snapshot=snapshot,
        )
        self._frame_key = key
        return self._frame, True


def _picker(places: tuple[int, ...]) -> Callable[[Sequence[bytes]], Iterable[bytes]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda entries: [entries[place] for place in places]
