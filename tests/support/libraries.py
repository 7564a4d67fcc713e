"""Subscribers that use a library, opened so that their sockets are closed in every case."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio_websocket

from tests.support.raw import connect
from tests.support.server import Server


@asynccontextmanager
async def trio_client(
    server: Server, token: str | None = None
) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """Open a stream with trio-websocket.

    The library leaves the socket to the garbage collector where the server closes first.
    """
    headers = [(b"Authorization", f"Bearer {token or server.token()}".encode())]
    async with await connect(server) as stream, trio.open_nursery() as nursery:
        yield await trio_websocket.wrap_client_stream(
            nursery, stream, f"127.0.0.1:{server.port}", "/ws/ticker", extra_headers=headers
        )
        nursery.cancel_scope.cancel()
