"""What the Python peers share: settings, the token check, the tick.

Rules for this module: standard library only, and nothing that one peer would do faster by
itself: each peer gets a ready payload once per tick and does the rest its own way.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from typing import Final

PORT: Final = int(os.environ["BENCH_PORT"])
TICK: Final = 1 / float(os.environ["BENCH_RATE"])
_KEY: Final = os.environ["BENCH_TOKEN_KEY"].encode()
_SYMBOLS: Final = ("BTC-USD", "ETH-USD", "SOL-USD")
#: Tokens that were issued, by id, as a server that can revoke them must look up.
_ISSUED: Final = set(os.environ["BENCH_TOKEN_IDS"].split(","))
_PART_CHARS: Final = 43
#: All clients may connect at once, as with Ticker.
BACKLOG: Final = 4096
#: The answer that belongs to the key of RFC 6455 §1.3, which is the one that load.c sends.
UPGRADED: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def good(authorization: str | None) -> bool:
    """Whether an `Authorization` header holds a token of this benchmark; what Ticker checks, too.

    A token is 32 random bytes and the HMAC-SHA256 over them, both base64url; the hash of the
    random bytes is the id under which it was noted when it was issued.
    """
    scheme, _, token = (authorization or "").partition(" ")
    nonce, _, signature = token.partition(".")
    if scheme.lower() != "bearer" or not len(nonce) == len(signature) == _PART_CHARS:
        return False
    raw = base64.urlsafe_b64decode(nonce + "=")
    signed = hmac.digest(_KEY, raw, hashlib.sha256)
    if not hmac.compare_digest(signed, base64.urlsafe_b64decode(signature + "=")):
        return False
    return hashlib.sha256(raw).hexdigest()[:32] in _ISSUED


def payload(seq: int) -> bytes:
    """Write one tick, as long as Ticker's own."""
    now = time.time()
    entries = ",".join(
        f'{{"symbol":"{symbol}","price":{42000 // place}.{(seq + place) % 100:02d},'
        f'"timestamp":{int(now)}}}'
        for place, symbol in enumerate(_SYMBOLS, 1)
    )
    return (f'{{"type":"ticker","data":[{entries}],"seq":{seq},"time":{int(now * 1000)}}}').encode()


def pause(due: float, now: float) -> tuple[float, float]:
    """Return when the next tick is due and how long to wait; a missed one is skipped."""
    due += TICK
    if now - due >= TICK:
        due += (now - due) // TICK * TICK
    return due, max(0.0, due - now)


def upgrade(request: bytes) -> bool:
    """Whether a request head carries a good token, for servers without a library."""
    for line in request.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "authorization":
            return good(value.strip())
    return False


def text_frame(text: bytes) -> bytes:
    """Put a text of 126 to 65535 bytes into one unmasked frame."""
    return b"\x81\x7e" + len(text).to_bytes(2, "big") + text
