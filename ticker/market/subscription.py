"""A subscription: one subscriber's place in one topic, from `Hub.subscribe`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, Self

from ticker.market.subscriber import Subscriber

if TYPE_CHECKING:
    from ticker.market.topic import Topic


class Owner(Protocol):
    """The hub, as a subscription knows it."""

    def end(self, subscription: Subscription) -> None:
        """End a subscription."""

    def resume(self, subscription: Subscription, first: bytes) -> bool:
        """Offer a frame to a subscription that is behind."""

    def replay(self, subscription: Subscription) -> bytes:
        """Return what a subscription of `every` lacks."""


class Subscription:
    """One subscriber's place in one topic.

    Attributes:
        topic: what it is subscribed to.
        subscriber: gets the frames.
        fell_behind: see `Hub.subscribe`.
        seq: the tick as of which its subscriber held everything when it was last behind; None
            where it begins with a snapshot.
        line: the hub's line of ticks that it is of.
        behind: whether it waits to be resumed.
        ended: whether it is over.
    """

    __slots__ = ("_hub", "behind", "ended", "fell_behind", "line", "seq", "subscriber", "topic")

    def __init__(
        self,
        hub: Owner,
        topic: Topic,
        subscriber: Subscriber,
        fell_behind: Callable[[Exception | None], None],
        seq: int | None,
        line: int,
    ) -> None:
        self._hub = hub
        self.topic = topic
        self.subscriber = subscriber
        self.fell_behind = fell_behind
        self.seq = seq
        self.line = line
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
        """Send what is missed and, if it fits, take part in the coming ticks.

        That is a snapshot of the last tick, or, in the mode `changes`, what has changed since the
        last frame.

        Args:
            first: what goes out before it, in the same write, also where nothing is missed.

        Returns:
            Whether it did. If not, nothing was sent, and the subscription is still behind.
        """
        return self._hub.resume(self, first)

    def replay(self) -> bytes:
        """Return the next frames that a subscriber of `every` lacks, from the tick log.

        They are the caller's to send, before anything that the subscriber is offered. With the
        last of them the subscription takes part in the coming ticks; then, and once it has
        ended, nothing is returned.

        Raises:
            TicksLostError: the log does not reach back any more.
        """
        return self._hub.replay(self)
