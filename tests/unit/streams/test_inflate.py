"""What a client compressed is inflated up to the bound of a message, and no further."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.events import CloseConnection, Ping

from tests.support.frames import BINARY, CONTINUATION, PING, TEXT, client_frame
from ticker import limits
from ticker.streams.inbound import Inbound

RSV1 = 0x40


def deflated(payload: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def heard(*frames: bytes) -> list[object]:
    inbound = Inbound(compressed=True)
    events: list[object] = []
    for frame in frames:
        inbound.feed(frame, 0.0)
        events += inbound.events()
    return events


@given(text=st.text(max_size=limits.MESSAGE_BYTES // 4), binary=st.booleans())
def test_a_compressed_message_is_read(text: str, *, binary: bool) -> None:
    opcode = BINARY if binary else TEXT
    frame = client_frame(opcode, deflated(text.encode()), rsv=RSV1)
    assert heard(frame, frame) == [text.encode() if binary else text] * 2


def test_a_message_in_fragments_with_a_ping_between_is_read_and_a_plain_one_after_it() -> None:
    data = deflated(b'{"type":"ping"}' * 20)
    events = heard(
        client_frame(TEXT, data[:7], fin=False, rsv=RSV1),
        client_frame(PING, b"x"),
        client_frame(CONTINUATION, data[7:], fin=True),
        client_frame(TEXT, "plain"),
    )
    assert [type(event) for event in events] == [Ping, str, str]
    assert events[1:] == ['{"type":"ping"}' * 20, "plain"]


@pytest.mark.parametrize("size", [limits.MESSAGE_BYTES + 1, 50_000_000])
def test_a_bomb_is_refused_with_1009_and_takes_no_memory(size: int) -> None:
    bomb = deflated(b" " * size)
    pieces = [bomb[at : at + 4000] for at in range(0, len(bomb), 4000)]
    frames = [
        client_frame(
            CONTINUATION if number else TEXT,
            piece,
            fin=number == len(pieces) - 1,
            rsv=0 if number else RSV1,
        )
        for number, piece in enumerate(pieces)
    ]
    tracemalloc.start()
    event = heard(frames[0])[-1] if len(frames) > 1 else heard(*frames)[-1]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(event, CloseConnection)
    assert event.code == 1009
    assert peak < 300_000


@pytest.mark.parametrize(
    ("begin", "more"),
    [(b"\x03\x00", b"x"), (b"", b"\0\0\0\xff\xff")],
    ids=["after the last block", "empty blocks"],
)
def test_what_inflates_to_nothing_is_bounded_too(begin: bytes, more: bytes) -> None:
    """zlib would keep what comes after the last block, and copy it all at each further piece."""
    inbound = Inbound(compressed=True)
    endless = b"\xc1\xff\0\0\1\0\0\0\0\0" + bytes(4)  # 2^40 bytes, and a mask of nothing
    inbound.feed(endless + begin + more * 50, 0.0)
    assert list(inbound.events()) == []
    inbound.feed(more * limits.COMPRESSED_MESSAGE_BYTES, 0.0)
    event = list(inbound.events())[-1]
    assert isinstance(event, CloseConnection)
    assert event.code == 1009


@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_message_of_the_full_size_is_taken_however_badly_it_is_compressed(level: int) -> None:
    text = random.Random(1).randbytes(limits.MESSAGE_BYTES).hex()[: limits.MESSAGE_BYTES]
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15)
    cut = [text[at : at + 64].encode() for at in range(0, len(text), 64)]
    payload = b"".join(
        compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH) for piece in cut
    )
    assert heard(client_frame(TEXT, payload[:-4], rsv=RSV1)) == [text]


def test_a_message_may_end_with_a_last_block() -> None:
    """RFC 7692 §7.2.3.4's own example."""
    payload = bytes.fromhex("f348cdc9c9070000")
    assert heard(*[client_frame(TEXT, payload, rsv=RSV1)] * 2) == ["Hello", "Hello"]


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([client_frame(TEXT, b"\xff\xff\xff\xff", rsv=RSV1)], 1007),
        ([client_frame(PING, b"", rsv=RSV1)], 1002),
        (
            [
                client_frame(TEXT, deflated(b"abc"), fin=False, rsv=RSV1),
                client_frame(CONTINUATION, b"", rsv=RSV1),
            ],
            1002,
        ),
        ([client_frame(TEXT, deflated(b"\xff\xfe"), rsv=RSV1)], 1007),
        ([client_frame(TEXT, b"x", rsv=0x20)], 1002),
    ],
    ids=range(5),
)
def test_what_breaks_the_extension_ends_the_stream(frames: list[bytes], code: int) -> None:
    event = heard(*frames)[-1]
    assert isinstance(event, CloseConnection)
    assert event.code == code


def test_without_the_extension_a_compressed_frame_breaks_the_protocol() -> None:
    inbound = Inbound()
    inbound.feed(client_frame(TEXT, deflated(b"x"), rsv=RSV1), 0.0)
    (event,) = inbound.events()
    assert isinstance(event, CloseConnection)
    assert event.code == 1002
