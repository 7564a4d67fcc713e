"""A client that breaks the WebSocket protocol is told how, though trio-websocket says nothing."""

from __future__ import annotations

import pytest

from tests.support.frames import CLOSE, CONTINUATION, PING, TEXT, client_frame
from tests.support.raw import opened
from tests.support.server import Server


@pytest.mark.parametrize(
    ("nonsense", "code"),
    [
        pytest.param(b"\x81\x02{}", 1002, id="not-masked"),
        pytest.param(b"\xf1\x80abcd", 1002, id="reserved-bits"),
        pytest.param(client_frame(CONTINUATION, b"x"), 1002, id="a-continuation-of-nothing"),
        pytest.param(client_frame(PING, b"x" * 126), 1002, id="a-long-ping"),
        pytest.param(client_frame(CLOSE, b"\x03"), 1002, id="half-a-close-code"),
        pytest.param(client_frame(TEXT, b"\xff\xfe"), 1007, id="not-UTF-8"),
    ],
)
async def test_the_close_frame_says_what_was_wrong(
    server: Server, nonsense: bytes, code: int
) -> None:
    async with opened(server) as stream:
        await stream.until("ticker")
        await stream.stream.send_all(nonsense)
        assert await stream.closed() == code
