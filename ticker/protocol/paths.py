"""Where the stream is, and what its handshake is called: shared by server and clients."""

from __future__ import annotations

from typing import Final

#: The one path of the stream over WebSocket.
STREAM_PATH: Final = "/ws/ticker"
#: The path of the stream over plain HTTP.
HTTP_STREAM_PATH: Final = "/stream"
#: Where an API key is exchanged for a token.
TOKEN_PATH: Final = "/auth/token"  # noqa: S105 - a path
#: The subprotocols a client may offer, for JSON and for MessagePack, and the prefix of the one
#: that carries its token.
SUBPROTOCOL: Final = "ticker.v1"
MESSAGEPACK_SUBPROTOCOL: Final = "ticker.v1.msgpack"
BEARER_PREFIX: Final = "bearer."
