"""Which topics are sent a tick, and what of it: everything, or what has changed since their last.

Rules for this module: it decides; what is sent, and to whom, is the hub's business.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ticker import limits
from ticker.market.published import Published
from ticker.market.subscriber import Fanout
from ticker.market.topic import Slice, Topic

#: Topics with those who are ready, and the tick since which to show changes; None for everything.
Plan = Sequence[tuple[Topic, Sequence[Slice], int | None]]


class Schedule:
    """Decides for one hub.

    Attributes:
        sent: the last tick that topics of every interval had their turn at.
    """

    def __init__(self, published: Published, fanout: Fanout, tick_seconds: float) -> None:
        self.sent = 0
        self._published = published
        self._fanout = fanout
        self._tick_seconds = tick_seconds

    def due(self, topics: Collection[Topic], seq: int, *, overtaken: bool) -> list[Topic]:
        """Return the topics whose turn it is at a tick.

        Args:
            topics: all there are.
            seq: the tick; what came after the last one and was not sent counts as well.
            overtaken: whether the next tick follows at once.
        """
        if overtaken:
            return [topic for topic in topics if topic.key.mode == "every"]
        sent, self.sent = self.sent, seq
        if seq == sent + 1:
            return [topic for topic in topics if seq % topic.key.every == 0]
        return [each for each in topics if seq // each.key.every > sent // each.key.every]

    def plan(self, topics: Iterable[Topic], now: float) -> Plan:
        """Settle who gets a frame, and since when it shows changes; None for everything."""
        plan: list[tuple[Topic, Sequence[Slice], int | None]] = []
        for topic in topics:
            slices = topic.slices(self._fanout)
            if not slices:
                continue
            if not topic.holds_changes or topic.last is None:
                plan.append((topic, slices, None))
                continue
            changed = self._published.changed_since(topic.last, topic.key.detail)
            if topic.shows(changed) or self._silent(topic, now, topic.key.every):
                plan.append((topic, slices, topic.last))
        return plan

    def plan_quiet(self, topics: Iterable[Topic], now: float) -> Plan:
        """Settle who is to be told that nothing has changed, before that takes too long."""
        return [entry for entry in self.plan(topics, now) if self._silent(entry[0], now, 1)]

    def _silent(self, topic: Topic, now: float, ticks: int) -> bool:
        """Say whether a topic would be silent for too long, had it to wait so many ticks more."""
        longest = max(limits.KEEP_ALIVE_SECONDS, topic.key.every * self._tick_seconds)
        # A tick may be late by a little.
        return now + (ticks + 0.5) * self._tick_seconds > topic.sent_at + longest
