"""Frames of the server's side, as another implementation writes and reads them."""

from __future__ import annotations

import pytest
from wsproto.frame_protocol import FrameProtocol, Opcode

from tests.support.frames import FrameParser
from ticker.encodings.websocket_frames import CLOSE_OPCODE, PING_FRAME, close_frame, text_frame
from ticker.protocol.close_codes import CloseCode


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_text_frame_is_what_another_implementation_writes_and_reads(size: int) -> None:
    payload = b"x" * size
    frame = text_frame(payload)
    theirs = FrameProtocol(client=False, extensions=[])
    assert frame == theirs.send_data(payload.decode(), fin=True)
    (parsed,) = FrameParser().feed(frame)
    assert (parsed.opcode, parsed.payload) == (Opcode.TEXT, payload)


@pytest.mark.parametrize("code", list(CloseCode))
def test_a_close_frame_holds_its_code_and_reason(code: CloseCode) -> None:
    frame = close_frame(code)
    (parsed,) = FrameParser().feed(frame)
    assert parsed.code == code
    assert parsed.payload[2:].decode() == code.reason
    assert len(parsed.payload) <= 125
    assert frame[0] == CLOSE_OPCODE


def test_the_ping_is_an_empty_control_frame() -> None:
    theirs = FrameProtocol(client=False, extensions=[])
    assert theirs.ping() == PING_FRAME
