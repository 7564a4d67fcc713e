"""permessage-deflate (RFC 7692): one compression for all who have a frame, and no bombs.

With `server_no_context_takeover` each message is compressed by itself, so its bytes are the same
for every subscriber; with `client_no_context_takeover` nothing is kept of what a client sent.
A message below `limits.DEFLATE_BYTES` is sent as it is, which the extension allows (§6).

Rules for this module: pure; offers and payloads in, answers and payloads out.
"""

from __future__ import annotations

import re
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
#: The list of RFC 6455 §9.1: an extension with its parameters, or nothing, and a comma. White space
#: is looked for only before what it separates, so that a header of any kind takes linear time.
_NAME_RE: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED_RE: Final = r'"(?:[^"\\]|\\.)*"'
_PARAMETER: Final = re.compile(
    rf"[ \t]*;[ \t]*({_NAME_RE})(?:[ \t]*=[ \t]*(?:({_NAME_RE})|({_QUOTED_RE})))?"
)
_ELEMENT: Final = re.compile(
    rf"[ \t]*(?:(?P<name>{_NAME_RE})(?P<parameters>(?:{_PARAMETER.pattern})*))?[ \t]*(?:,|$)"
)
_ESCAPED: Final = re.compile(r"\\(.)")
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
        The answer's value; None where nothing offered can be had. What follows a break of the
        grammar is not read.
    """
    text = ",".join(headers)
    place, parsed = 0, _ELEMENT.match(text)
    while parsed is not None:
        name, parameters = parsed["name"], _PARAMETER.findall(parsed["parameters"] or "")
        if name is not None and name.lower() == _NAME:
            answer = _accept(parameters)
            if answer is not None:
                return answer
        place = parsed.end()
        parsed = _ELEMENT.match(text, place) if place < len(text) else None
    return None


def _accept(parameters: Iterable[tuple[str, str, str]]) -> str | None:
    """Answer one offer, its parameters each with a plain or a quoted value or none.

    Returns:
        The answer's value; None where the offer has to be declined.
    """
    given: dict[str, str | None] = {}
    for key, plain, quoted in parameters:
        if key in given:
            return None
        given[key] = _ESCAPED.sub(r"\1", quoted[1:-1]) if quoted else plain or None
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
