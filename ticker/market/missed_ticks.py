"""From the tick log to frames: what a subscriber of `every` missed, tick by tick.

Those who were cut off together lack the same ticks, so what was made for one is kept for the
next. To make them meet, a piece ends where the `seq` is a multiple of `limits.MISSED_PIECE_TICKS`.

Rules for this module: pure; a tick in, bytes out.
"""

from __future__ import annotations

from ticker import limits
from ticker.market.published import Published
from ticker.market.tick_log import LoggedTick, TickLog
from ticker.market.topic import Topic


class TicksLostError(Exception):
    """The tick log does not reach back to what a subscriber has."""


class MissedTicks:
    """The missed ticks of all topics, in frames."""

    __slots__ = ("_kept", "_log", "_published")

    def __init__(self, published: Published, log: TickLog) -> None:
        self._published = published
        self._log = log
        self._kept: dict[Topic, dict[int, tuple[bytes, int]]] = {}

    def forget(self, topic: Topic) -> None:
        """Let go of what was made for a topic, which is no more."""
        self._kept.pop(topic, None)

    def forget_all(self) -> None:
        """Let go of what was made for every topic."""
        self._kept.clear()

    def after(self, topic: Topic, seq: int) -> tuple[bytes, int]:
        """Return the frames that follow a tick.

        Args:
            topic: what to show.
            seq: the tick that a subscriber has.

        Returns:
            The frames, and the tick that it has with them. There are none where that is the
            last one.

        Raises:
            TicksLostError: the log does not reach back so far.
        """
        if seq < self._log.reaches:
            raise TicksLostError
        kept = self._kept.setdefault(topic, {})
        piece = kept.get(seq)
        if piece is None:
            piece = self._piece(topic, seq)
            # What ends with the last tick may grow; the rest is past.
            if piece[1] < self._published.seq:
                if len(kept) >= limits.MISSED_PIECES_KEPT:
                    del kept[next(iter(kept))]
                kept[seq] = piece
        return piece

    def _piece(self, topic: Topic, seq: int) -> tuple[bytes, int]:
        frames: list[bytes] = []
        size = 0
        end: int | None = None
        for tick in self._log.since(seq):
            if end is not None and (tick.seq > end or size > limits.MISSED_PIECE_BYTES):
                return b"".join(frames), seq
            frame = self._frame(topic, tick, seq)
            if frame:
                frames.append(frame)
                size += len(frame)
                seq = tick.seq
                if end is None:
                    end = -(-seq // limits.MISSED_PIECE_TICKS) * limits.MISSED_PIECE_TICKS
        if seq < self._published.seq:
            # Later frames are for those who have the last one.
            published = self._published
            seq, prev = published.seq, seq
            frames.append(
                topic.key.encoding.ticker(
                    (), epoch=published.epoch, seq=seq, time_ms=published.time_ms, prev=prev
                )
            )
        return b"".join(frames), seq

    def _frame(self, topic: Topic, tick: LoggedTick, prev: int) -> bytes:
        """Make the frame of one tick; empty where it changed nothing that the topic shows."""
        detail, encoding = topic.key.detail, topic.key.encoding
        quotes = dict(tick.shown(detail))
        places = topic.in_order(quotes)
        if not places:
            return b""
        return encoding.ticker(
            [encoding.format.entry(quotes[place], detail) for place in places],
            epoch=self._published.epochs.span(tick.seq).epoch,
            seq=tick.seq,
            time_ms=tick.time_ms,
            prev=prev,
        )
