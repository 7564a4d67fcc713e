"""Which encoding a stream has, by what its handshake agreed on.

Rules for this module: pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ticker.encodings.encoding import Encoding
from ticker.encodings.json import JSON, JSON_FORMAT
from ticker.encodings.msgpack import MessagePackFormat
from ticker.encodings.websocket_frames import (
    binary_frame,
    compressed_binary_frame,
    compressed_text_frame,
)
from ticker.protocol.paths import MESSAGEPACK_SUBPROTOCOL, SUBPROTOCOL

_MESSAGEPACK_FORMAT: Final = MessagePackFormat()
MESSAGEPACK: Final = Encoding("messagepack", _MESSAGEPACK_FORMAT, binary_frame)
#: By subprotocol, and whether permessage-deflate was agreed on.
_ENCODINGS: Final[Mapping[tuple[str, bool], Encoding]] = {
    (SUBPROTOCOL, False): JSON,
    (SUBPROTOCOL, True): Encoding("json, deflated", JSON_FORMAT, compressed_text_frame),
    (MESSAGEPACK_SUBPROTOCOL, False): MESSAGEPACK,
    (MESSAGEPACK_SUBPROTOCOL, True): Encoding(
        "messagepack, deflated", _MESSAGEPACK_FORMAT, compressed_binary_frame
    ),
}
_SUBPROTOCOLS: Final = frozenset({SUBPROTOCOL, MESSAGEPACK_SUBPROTOCOL})


def choose_subprotocol(offered: Sequence[str]) -> str | None:
    """Return the first that there is of those a client offers; None where there is none."""
    return next((name for name in offered if name in _SUBPROTOCOLS), None)


def encoding_for(subprotocol: str | None, *, compressed: bool) -> Encoding:
    """Return the encoding of a stream."""
    return _ENCODINGS[subprotocol or SUBPROTOCOL, compressed]
