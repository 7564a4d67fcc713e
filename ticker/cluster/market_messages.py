"""What a feeder tells its followers, as MessagePack: changes, keyframes, conditions, heartbeats.

Quotes travel, not frames: topics and policies differ between workers. What was taken in between
two ticks travels too, so that a follower counts the same bars. A tick, or a keyframe, that does not
fit into one packet comes in parts.

Rules for this module: pure; values in, bytes out, and back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ticker import limits
from ticker.market.condition import Condition
from ticker.market.epochs import Span
from ticker.market.published import Published, Row, Snapshot
from ticker.market.quote import Details, Quote
from ticker.market.tick_log import LoggedTick, TickLog


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="y"):
    """What a follower says first: the tick that it has; without an epoch where it has none."""

    epoch: str = ""
    seq: int = 0


class Day(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The figures of a symbol's last 24 hours, from the feeder's own bars."""

    symbol: str
    details: Details | None


class Changes(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """One tick, or a part of it.

    Attributes:
        term: of the feeder that published it.
        epoch: of the tick.
        first: the first sequence number of that epoch.
        prev_epoch: of the tick `prev`.
        prev: the tick as of which a follower must have everything.
        seq: the tick.
        time_ms: when it was, in milliseconds since the epoch of Unix.
        taken: the newest quotes of what was taken in since `prev`.
        passed: the quotes before them, in the order they came.
        more: whether another part of it follows.
        days: the figures of 24 hours that have moved since `prev`.
    """

    term: int
    epoch: str
    first: int
    prev_epoch: str
    prev: int
    seq: int
    time_ms: int
    taken: Sequence[Quote]
    passed: Sequence[Quote]
    more: bool = False
    days: Sequence[Day] = ()


class PastTick(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One tick of the log.

    Attributes:
        seq: its number.
        time_ms: when it was.
        priced: how many of the quotes, the first ones, changed in what the detail `price` shows.
        quotes: those that changed in what `full` shows, as it shows them.
    """

    seq: int
    time_ms: int
    priced: int
    quotes: Sequence[Quote]


class Past(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """A part of the log of ticks up to the keyframe that follows.

    Attributes:
        term: of the feeder.
        reaches: the tick after which the log has every change.
        ticks: some of them, in order.
    """

    term: int
    reaches: int
    ticks: Sequence[PastTick]


class Keyframe(msgspec.Struct, frozen=True, array_like=True, tag="k"):
    """Everything that is published, or a part of it.

    Attributes:
        term: of the feeder.
        seq: the tick as of which it is.
        time_ms: when that was.
        spans: the epochs.
        rows: the quotes.
        more: whether another part of it follows.
    """

    term: int
    seq: int
    time_ms: int
    spans: Sequence[Span]
    rows: Sequence[Row]
    more: bool = False


class Conditions(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """The condition of the sources, where it has changed."""

    term: int
    condition: Condition


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, tag="h"):
    """A feeder lives, and its newest tick."""

    term: int
    epoch: str
    seq: int


Message = Changes | Past | Keyframe | Conditions | Heartbeat

_encoder: Final = msgspec.msgpack.Encoder(decimal_format="string")
_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)
_list_encoder: Final = msgspec.msgpack.Encoder()
_list_decoder: Final = msgspec.msgpack.Decoder(list[bytes])
_hellos: Final = msgspec.msgpack.Decoder(Hello)


class RelayMessageError(Exception):
    """Bytes that are no message: another version of the program wrote them."""


def encode(message: Message | Hello) -> bytes:
    """Write one message."""
    return _encoder.encode(message)


def decode(data: bytes) -> Message:
    """Read one message of a feeder.

    Raises:
        RelayMessageError: it is none.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise RelayMessageError(str(error)) from None


def pack(messages: Sequence[Message]) -> bytes:
    """Write messages that belong together, for a log; none say that the feeder has resigned."""
    return _list_encoder.encode([encode(message) for message in messages])


def unpack(payload: bytes) -> list[Message]:
    """Read what `pack` wrote.

    Raises:
        RelayMessageError: another version of the program wrote it.
    """
    try:
        return [decode(message) for message in _list_decoder.decode(payload)]
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise RelayMessageError(str(error)) from None


def decode_hello(data: bytes) -> Hello:
    """Read what a follower says first.

    Raises:
        RelayMessageError: it is nothing of the kind.
    """
    try:
        return _hellos.decode(data)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise RelayMessageError(str(error)) from None


def changes(
    published: Published,
    *,
    term: int,
    prev: int,
    seq: int,
    time_ms: int,
    taken: Sequence[Quote],
    passed: Sequence[Quote] = (),
    days: Sequence[Day] = (),
) -> Iterator[Changes]:
    """Make the messages of one tick; one, unless it is very large.

    Args:
        published: knows the epochs.
        term: of the feeder.
        prev: the tick before.
        seq: the tick, which may be one that is to be published now.
        time_ms: when it is, or was.
        taken: see `Changes`.
        passed: see there.
        days: see there.
    """
    epochs, size = published.epochs, limits.RELAY_PART_ROWS
    span = epochs.span(seq)
    parts = max(1, *(-(-len(each) // size) for each in (taken, passed, days)))
    for part in range(parts):
        yield Changes(
            term,
            span.epoch,
            span.first,
            epochs.span(prev).epoch,
            prev,
            seq,
            time_ms,
            taken[part * size : (part + 1) * size],
            passed[part * size : (part + 1) * size],
            part + 1 < parts,
            days[part * size : (part + 1) * size],
        )


def keyframe(snapshot: Snapshot, *, term: int) -> Iterator[Keyframe]:
    """Make the messages of everything that is published; at least one."""
    rows, size = snapshot.rows, limits.RELAY_PART_ROWS
    parts = max(1, -(-len(rows) // size))
    for part in range(parts):
        yield Keyframe(
            term,
            snapshot.seq,
            snapshot.time_ms,
            snapshot.spans,
            rows[part * size : (part + 1) * size],
            part + 1 < parts,
        )


def past(log: TickLog, *, term: int) -> Iterator[Past]:
    """Make the messages of the log as it is now; they may be taken one by one, later."""
    reaches, ticks = log.reaches, tuple(log.since(log.reaches))
    return _past(term, reaches, ticks)


def _past(term: int, reaches: int, ticks: Sequence[LoggedTick]) -> Iterator[Past]:
    part: list[PastTick] = []
    rows = 0
    for tick in ticks:
        if rows + len(tick.quotes) >= limits.RELAY_PART_ROWS and part:
            yield Past(term, reaches, part)
            part, rows = [], 0
        quotes = tuple(quote for _, quote in tick.shown("full"))
        part.append(PastTick(tick.seq, tick.time_ms, len(tick.changed["price"]), quotes))
        rows += len(tick.quotes)
    if part:
        yield Past(term, reaches, part)
