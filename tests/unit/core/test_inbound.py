"""Counting a client's frames as their bytes pass by."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.support.frames import BINARY, CONTINUATION, PING, TEXT, client_frame
from ticker import limits
from ticker.gateway.inbound import FrameMeter

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
