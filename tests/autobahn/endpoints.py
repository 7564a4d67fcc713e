"""The stream's endpoint for Autobahn, as it is and with an echo for a session.

`python -m tests.autobahn.endpoints DATA_DIR [--echo]` serves until it is terminated, and prints
its WebSocket address, token included. Everything below the session is the same for both: the seam
with Hypercorn, the handshake, `SocketStream`, `WebSocket`.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import structlog
import trio

from tests.chaos.inprocess import serving
from ticker.encodings.encoding import Encoding
from ticker.encodings.websocket_frames import (
    binary_frame,
    compressed_binary_frame,
    compressed_text_frame,
    text_frame,
)
from ticker.rate_limit import Rate
from ticker.streams.websocket import EndedError, WebSocket

#: Autobahn's largest message.
ECHO_BYTES = 16 * 1024 * 1024


class EchoSession:
    """Sends back what it hears: what Autobahn's cases need, and no price ever does."""

    def __init__(
        self,
        _context: Any,
        websocket: WebSocket,
        stream: Any,
        _grant: Any,
        _nursery: Any,
        encoding: Encoding,
        _asked: Any,
    ) -> None:
        self._websocket = websocket
        self._stream = stream
        compressed = encoding.frame is compressed_text_frame
        self._text = compressed_text_frame if compressed else text_frame
        self._binary = compressed_binary_frame if compressed else binary_frame

    async def run(self, response: bytes) -> int:
        try:
            await self._stream.send_all(response)
            while True:
                message = await self._websocket.receive()
                if isinstance(message, bytes):
                    frame = self._binary(message)
                else:
                    frame = self._text(message.encode())
                await self._stream.send_all(frame)
        except EndedError as ended:
            await self._stream.aclose()
            return ended.code


async def main(data_dir: Path, *, echo: bool) -> None:
    """Serve until terminated."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with ExitStack() as stack:
        if echo:
            stack.enter_context(patch("ticker.streams.admit.Session", EchoSession))
            stack.enter_context(patch("ticker.limits.MESSAGE_BYTES", ECHO_BYTES))
            stack.enter_context(patch("ticker.streams.inbound._FRAMES", Rate(0, 1.0)))
        chosen = {"token_from": ("query",), "allowed_origins": ("*",), "token_ttl": 36_000.0}
        async with serving(data_dir, **chosen) as running:
            query = f"?x-auth-token={running.token}"
            print(f"ws://127.0.0.1:{running.port}/ws/ticker{query}", flush=True)  # noqa: T201 - read by the test
            await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(lambda: main(Path(sys.argv[1]), echo="--echo" in sys.argv))
