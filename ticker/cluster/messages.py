"""What a feeder tells its followers, as MessagePack: changes, keyframes, states, heartbeats.

Quotes travel, not frames: topics and policies differ between workers. Each row carries the
sequence number of its symbol's last change, so that a follower that came late can answer a
client's `resume` as the feeder would. A keyframe is split into parts that fit one packet.

Rules for this module: pure; values in, bytes out, and back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec

from ticker import limits
from ticker.market.quote import Quote


class Row(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One symbol's newest quote, and the sequence number of the tick that it changed in."""

    seq: int
    quote: Quote


class State(msgspec.Struct, frozen=True, array_like=True):
    """The state of one source; see `market.ingest.SourceState`."""

    source: str
    state: Literal["live", "stale"]
    since: int
    reason: str
    symbols: tuple[str, ...]


class Span(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An epoch, and the first sequence number that it is proved for."""

    epoch: str
    first: int


class Changes(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """One tick: what changed in it, with the term of the feeder that published it."""

    term: int
    epoch: str
    seq: int
    time_ms: int
    rows: Sequence[Row]


class Keyframe(msgspec.Struct, frozen=True, array_like=True, tag="k"):
    """A part of the whole book as it was at one tick.

    Attributes:
        part: which part it is, from 0.
        parts: how many there are.
        spans: the epochs within which sequence numbers go on without a loss, the newest last.
        states: of the sources.
    """

    term: int
    epoch: str
    seq: int
    time_ms: int
    part: int
    parts: int
    spans: Sequence[Span]
    states: Sequence[State]
    rows: Sequence[Row]


class States(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """The states of all sources, after one of them changed."""

    term: int
    states: Sequence[State]


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, tag="h"):
    """A feeder lives, and its newest tick."""

    term: int
    epoch: str
    seq: int


Message = Changes | Keyframe | States | Heartbeat

_encoder: Final = msgspec.msgpack.Encoder(decimal_format="string")
_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)


class RelayMessageError(Exception):
    """Bytes that are no message: another version of the program wrote them."""


def encode(message: Message) -> bytes:
    """Write one message."""
    return _encoder.encode(message)


def decode(data: bytes) -> Message:
    """Read one message.

    Raises:
        RelayMessageError: it is none.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise RelayMessageError(str(error)) from None


def keyframe(
    *,
    term: int,
    epoch: str,
    seq: int,
    time_ms: int,
    spans: Sequence[Span],
    states: Sequence[State],
    rows: Sequence[Row],
) -> Iterator[Keyframe]:
    """Split a whole book into parts of `limits.RELAY_PART_ROWS` rows; there is always one."""
    size = limits.RELAY_PART_ROWS
    parts = max(1, -(-len(rows) // size))
    for part in range(parts):
        yield Keyframe(
            term,
            epoch,
            seq,
            time_ms,
            part,
            parts,
            spans if part == 0 else (),
            states if part == 0 else (),
            rows[part * size : (part + 1) * size],
        )
