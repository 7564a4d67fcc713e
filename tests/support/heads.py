"""Request heads, as a client's bytes are read."""

from __future__ import annotations

from typing import Final

from ticker.http.head import Head, HeadParser

KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD: Final = {
    "Host": "prices.example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
    "Authorization": "Bearer t0ken",
}


def head_of(
    changes: dict[str, str | None] | None = None,
    *more: str,
    first: str = "GET /ws/ticker HTTP/1.1",
    rest: bytes = b"",
) -> Head:
    """Read a good handshake with some headers changed, left out (None) or added."""
    fields = {**GOOD, **(changes or {})}
    lines = [first, *(f"{n}: {v}" for n, v in fields.items() if v is not None), *more, "", ""]
    head = HeadParser().feed("\r\n".join(lines).encode("latin-1") + rest)
    assert head is not None
    assert head.method, "h11 refuses it"
    return head
