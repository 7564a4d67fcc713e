"""permessage-deflate (RFC 7692): one compression for all who have a frame, and no bombs.

With `server_no_context_takeover` each message is compressed by itself, so its bytes are the same
for every subscriber; with `client_no_context_takeover` nothing is kept of what a client sent.
A message below `limits.DEFLATE_BYTES` is sent as it is, which the extension allows (§6).

Rules for this module: pure; offers and payloads in, answers and payloads out.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

from ticker import limits

_NAME: Final = "permessage-deflate"
_ACCEPTED: Final = f"{_NAME}; server_no_context_takeover; client_no_context_takeover"
#: What a flush ends with, which is not sent (§7.2.1).
TAIL: Final = b"\x00\x00\xff\xff"
#: The only window that the server compresses with: the largest. A frame is made once for all.
_WINDOW_BITS: Final = 15
_WINDOWS: Final = frozenset(map(str, range(8, _WINDOW_BITS + 1)))


def deflate(payload: bytes) -> bytes:
    """Compress one message (§7.2.1)."""
    compressor = zlib.compressobj(limits.DEFLATE_LEVEL, zlib.DEFLATED, -_WINDOW_BITS)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[: -len(TAIL)]


def accept_offer(headers: Iterable[str]) -> str | None:
    """Choose among what a client offers (§5, §7.1).

    Args:
        headers: the values of `Sec-WebSocket-Extensions`.

    Returns:
        The answer's value; None where nothing offered can be had.
    """
    for offer in ",".join(headers).split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name.lower() == _NAME:
            answer = _accept(parameters)
            if answer is not None:
                return answer
    return None


def _accept(parameters: list[str]) -> str | None:
    """Answer one offer; None where it has to be declined."""
    given: dict[str, str | None] = {}
    for parameter in parameters:
        key, equals, value = (part.strip() for part in parameter.partition("="))
        if key in given:
            return None
        given[key] = value.strip('"') if equals else None
    answer = _ACCEPTED
    for key, setting in given.items():
        match key:
            case "server_no_context_takeover" | "client_no_context_takeover" if setting is None:
                pass
            case "client_max_window_bits" if setting is None or setting in _WINDOWS:
                pass  # what a client compresses with a smaller window is read with the largest
            case "server_max_window_bits" if setting == str(_WINDOW_BITS):
                answer += f"; {key}={setting}"
            case _:
                return None
    return answer
