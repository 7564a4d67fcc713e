"""The stream's endpoint for Autobahn, as it is and with an echo for a session.

`python -m tests.autobahn.endpoints DATA_DIR [--echo]` serves until it is terminated, and prints
its WebSocket address, token included. Everything below the session is the same for both: the seam
with Hypercorn, the handshake, `FrameStream`, trio-websocket.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from tests.chaos.inprocess import serving
from ticker.close_codes import CloseCode

#: Autobahn's largest message.
ECHO_BYTES = 16 * 1024 * 1024


class EchoSession:
    """Sends back what it hears: what Autobahn's cases need, and no price ever does."""

    def __init__(
        self, _engine: Any, websocket: WebSocketConnection, stream: Any, *_rest: Any
    ) -> None:
        self._websocket = websocket
        self._stream = stream

    async def run(self) -> int:
        try:
            while True:
                await self._websocket.send_message(await self._websocket.get_message())
        except ConnectionClosed as closed:
            await self._stream.aclose()
            return closed.reason.code if closed.reason else CloseCode.FAULT


async def main(data_dir: Path, *, echo: bool) -> None:
    """Serve until terminated."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with ExitStack() as stack:
        if echo:
            stack.enter_context(patch("ticker.gateway.streams.Session", EchoSession))
            stack.enter_context(patch("ticker.limits.MESSAGE_BYTES", ECHO_BYTES))
        chosen = {"token_from": ("query",), "allowed_origins": ("*",), "token_ttl": 36_000.0}
        async with serving(data_dir, **chosen) as running:
            query = f"?x-auth-token={running.token}"
            print(f"ws://127.0.0.1:{running.port}/ws/ticker{query}", flush=True)  # noqa: T201 - read by the test
            await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(lambda: main(Path(sys.argv[1]), echo="--echo" in sys.argv))
