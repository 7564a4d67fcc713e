"""Frames of a server's WebSocket (RFC 6455 §5): unmasked, whole, ready to be written.

Rules for this module: pure; a payload in, a frame out.
"""

from __future__ import annotations

from typing import Final

from ticker import limits
from ticker.encodings.deflate import deflate
from ticker.protocol.close_codes import CloseCode

#: A ping without payload; any byte that comes back is a sign of life.
PING_FRAME: Final = b"\x89\x00"
#: The first byte of a close frame, after which nothing else may be sent (RFC 6455 §5.5.1).
CLOSE_OPCODE: Final = 0x88


#: The first byte of a frame that is a whole message: FIN and the opcode (§5.2), and RSV1 where it
#: is compressed (RFC 7692 §6).
_TEXT: Final = 0x81
_BINARY: Final = 0x82
_RSV1: Final = 0x40


def text_frame(payload: bytes) -> bytes:
    """Put a text message into one frame."""
    return _frame(_TEXT, payload)


def binary_frame(payload: bytes) -> bytes:
    """Put a binary message into one frame."""
    return _frame(_BINARY, payload)


def compressed_text_frame(payload: bytes) -> bytes:
    """Put a text message into one frame, compressed where that is worth it."""
    return _compressed(_TEXT, payload)


def compressed_binary_frame(payload: bytes) -> bytes:
    """Put a binary message into one frame, compressed where that is worth it."""
    return _compressed(_BINARY, payload)


def _compressed(first: int, payload: bytes) -> bytes:
    if len(payload) < limits.DEFLATE_BYTES:
        return _frame(first, payload)
    return _frame(first | _RSV1, deflate(payload))


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:  # noqa: PLR2004 - the RFC's own numbers
        return b"%c%c%b" % (first, size, payload)
    if size < 65536:  # noqa: PLR2004 - the same
        return b"%c\x7e%b%b" % (first, size.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (first, size.to_bytes(8, "big"), payload)


def close_frame(code: int) -> bytes:
    """Make a close frame with a code and, where it is a `CloseCode`, its reason (§5.5.1)."""
    reason = code.reason if isinstance(code, CloseCode) else ""
    payload = code.to_bytes(2, "big") + reason.encode()
    return b"%c%c%b" % (CLOSE_OPCODE, len(payload), payload)


def pong_frame(payload: bytes) -> bytes:
    """Answer a ping, whose payload is at most 125 bytes (§5.5.3)."""
    return b"\x8a%c%b" % (len(payload), payload)
