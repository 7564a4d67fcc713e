"""Counting a client's frames as their bytes pass by."""

from __future__ import annotations

import gc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection
from wsproto.events import CloseConnection, Ping
from wsproto.frame_protocol import CloseReason

from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, client_frame
from ticker import limits
from ticker.protocol.close_codes import CloseCode
from ticker.streams.inbound import FrameMeter, Inbound, RefusedMessageError

FRAMES = st.builds(
    lambda opcode, size, fin: client_frame(opcode, b"x" * size, fin=fin),
    st.sampled_from([TEXT, BINARY, CONTINUATION, PING]),
    st.sampled_from([0, 1, 5, 125, 126, 300, 65535, 65536]),
    st.booleans(),
)


@given(st.lists(FRAMES, min_size=1, max_size=8), st.data())
def test_frames_are_counted_however_their_bytes_are_cut(
    frames: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    meter = FrameMeter()
    assert meter.within(client_frame(PING) * (limits.FRAMES_BURST - len(frames)), 1.0)
    edges = [0, *cuts, len(stream)]
    for start, end in pairwise(edges):
        assert meter.within(stream[start:end], 1.0)
    assert not meter.within(client_frame(TEXT), 1.0)


def test_frames_at_the_allowed_pace_go_on_for_ever() -> None:
    meter, frame = FrameMeter(), client_frame(TEXT, "{}")
    assert all(
        meter.within(frame, 1.0 + number / limits.FRAMES_PER_SECOND)
        for number in range(10 * limits.FRAMES_BURST)
    )


def test_a_flood_of_empty_fragments_is_noticed() -> None:
    meter = FrameMeter()
    flood = client_frame(TEXT, fin=False) + client_frame(CONTINUATION, fin=False) * 10_000
    assert not meter.within(flood, 1.0)


@given(st.binary(max_size=400))
def test_no_bytes_at_all_upset_it(data: bytes) -> None:
    assert FrameMeter().within(data, 1.0) in {True, False}


def test_unmasked_frames_are_counted_too() -> None:
    meter = FrameMeter()
    assert meter.within(b"\x81\x02{}" * limits.FRAMES_BURST, 1.0)
    assert not meter.within(b"\x81", 1.0)


def said(*frames: bytes, inbound: Inbound | None = None) -> list[object]:
    """Return what comes of some frames."""
    inbound = inbound or Inbound()
    inbound.feed(b"".join(frames), 1.0)
    return list(inbound.events())


def test_messages_come_whole_with_pings_between_their_parts() -> None:
    events = said(
        client_frame(TEXT, "{", fin=False),
        client_frame(PING, b"now"),
        client_frame(CONTINUATION, "}"),
        client_frame(BINARY, b"\xff"),
    )
    ping, *messages = events
    assert isinstance(ping, Ping)
    assert bytes(ping.payload) == b"now"
    assert messages == ["{}", b"\xff"]


@given(
    st.lists(st.tuples(st.lists(st.text(max_size=3), min_size=1, max_size=3), st.booleans())),
    st.data(),
)
def test_messages_are_whole_however_their_bytes_are_cut(
    messages: list[tuple[list[str], bool]], data: st.DataObject
) -> None:
    frames = []
    for parts, pinged in messages:
        for number, part in enumerate(parts):
            opcode = CONTINUATION if number else TEXT
            frames.append(client_frame(opcode, part, fin=number == len(parts) - 1))
            frames += [client_frame(PING), client_frame(PONG)] * pinged
    stream = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    inbound, heard = Inbound(), []
    for start, end in pairwise([0, *cuts, len(stream)]):
        if start < end:
            heard += said(stream[start:end], inbound=inbound)
    assert [each for each in heard if isinstance(each, str)] == ["".join(m) for m, _ in messages]


@pytest.mark.parametrize("payload", [b"", b"x", b"x" * 125])
def test_nothing_is_kept_for_one_who_only_answers_pings(payload: bytes) -> None:
    inbound = Inbound()
    assert said(client_frame(PONG, payload), inbound=inbound) == []
    assert not any(isinstance(each, Connection) for each in gc.get_referents(inbound))
    assert said(client_frame(TEXT, "{}"), inbound=inbound) == ["{}"]


def parser_of(inbound: Inbound) -> bool:
    """Say whether wsproto's parser is kept, which is as large as all the rest."""
    return any(isinstance(each, Connection) for each in gc.get_referents(inbound))


def test_nothing_is_kept_of_a_message_that_is_whole() -> None:
    inbound, frame = Inbound(), client_frame(TEXT, "{}")
    assert said(frame, client_frame(PING), frame, inbound=inbound)[::2] == ["{}", "{}"]
    assert not parser_of(inbound)
    assert said(frame, frame[:1], inbound=inbound) == ["{}"]
    assert parser_of(inbound)
    assert said(frame[1:7], inbound=inbound) == []
    assert parser_of(inbound)
    assert said(frame[7:], inbound=inbound) == ["{}"]
    assert not parser_of(inbound)
    assert said(client_frame(TEXT, "", fin=False), inbound=inbound) == []
    assert parser_of(inbound)
    assert said(client_frame(CONTINUATION, "{}"), inbound=inbound) == ["{}"]
    assert not parser_of(inbound)


def test_what_compression_may_refer_to_is_kept() -> None:
    inbound = Inbound(compressed=True)
    assert said(client_frame(TEXT, "{}"), inbound=inbound) == ["{}"]
    assert parser_of(inbound)


@pytest.mark.parametrize(
    "pong",
    [
        b"\x8a\x00",  # not masked
        b"\xca\x80\x00\x00\x00\x00",  # a reserved bit
        b"\x0a\x80\x00\x00\x00\x00",  # not final
        client_frame(PONG, b"x" * 126),
    ],
)
def test_a_malformed_pong_is_a_break_of_the_protocol(pong: bytes) -> None:
    (event,) = said(pong)
    assert isinstance(event, CloseConnection)
    assert event.code == CloseReason.PROTOCOL_ERROR


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_may_have_so_many_bytes_and_not_one_more(opcode: int) -> None:
    whole = "ä" * (limits.MESSAGE_BYTES // 2)
    (message,) = said(client_frame(opcode, whole.encode()))
    assert message == (whole if opcode == TEXT else whole.encode())
    with pytest.raises(RefusedMessageError) as refused:
        said(client_frame(opcode, whole.encode(), fin=False), client_frame(CONTINUATION, "x"))
    assert refused.value.code is CloseCode.TOO_BIG


def test_empty_parts_take_no_memory() -> None:
    inbound = Inbound()
    assert said(client_frame(TEXT, "{", fin=False), inbound=inbound) == []
    for number in range(1000):
        inbound.feed(client_frame(CONTINUATION, fin=False), 2.0 + number)
        assert list(inbound.events()) == []
    assert len(inbound._parts) == 1
    inbound.feed(client_frame(CONTINUATION, "}") + client_frame(TEXT), 2000.0)
    assert list(inbound.events()) == ["{}", ""]


def test_too_many_frames_are_refused() -> None:
    with pytest.raises(RefusedMessageError) as refused:
        said(client_frame(PING) * (limits.FRAMES_BURST + 1))
    assert refused.value.code is CloseCode.TOO_MANY_MESSAGES


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        (b"", b"\x88\x00"),
        (b"\x03\xe8", b"\x88\x02\x03\xe8"),
        (b"\x0f\xa1bye", b"\x88\x05\x0f\xa1bye"),
        (b"\x00", b"\x88\x02\x03\xea"),  # half a code: 1002
        (b"\x03\xe8\xff", b"\x88\x02\x03\xef"),  # no UTF-8: 1007
    ],
)
def test_a_closing_is_answered_as_it_deserves(payload: bytes, answer: bytes) -> None:
    inbound = Inbound()
    (closing,) = said(client_frame(CLOSE, payload), inbound=inbound)
    assert isinstance(closing, CloseConnection)
    assert inbound.answer(closing) == answer


def test_what_comes_between_our_closing_and_theirs_is_dropped() -> None:
    inbound = Inbound()
    assert inbound.close(CloseCode.RESTART).startswith(b"\x88")
    inbound.feed(client_frame(TEXT, "x" * (limits.MESSAGE_BYTES + 1)) + client_frame(PING), 1.0)
    assert not inbound.answered()
    inbound.feed(client_frame(CLOSE, b"\x03\xf4"), 1.0)
    assert inbound.answered()
