"""What Hypercorn is shown of a connection, and in what pieces."""

from __future__ import annotations

import socket

import trio

from ticker import limits
from ticker.http.head import Head, HeadParser
from ticker.http.http_stream import HttpStream
from ticker.transport.socket_stream import SocketStream

HEAD = b"POST /auth/token HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"


async def _admit(_: Head) -> None:
    """Let every request in."""


async def test_of_tiny_chunks_few_are_looked_at_in_one_pass_of_the_loop() -> None:
    head = HeadParser().feed(HEAD)
    assert head is not None
    raw, peer = socket.socketpair()
    raw.settimeout(0)
    body = b"1\r\n \r\n" * 5000 + b"0\r\n\r\n"
    shown = b""
    with peer:
        peer.sendall(body + b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        stream = HttpStream(SocketStream(raw), head, _admit, lambda later: later)
        assert (await stream.receive_some(65_536)).endswith(b"connection: close\r\n\r\n")
        with trio.fail_after(10):
            while len(shown) < len(body):
                piece = await stream.receive_some(65_536)
                assert 0 < len(piece) <= limits.CHUNKED_READ_BYTES
                shown += piece
        await stream.aclose()
    assert shown == body
