"""Peer: picows (Cython) on uvloop."""

from __future__ import annotations

import asyncio
import itertools

import uvloop  # type: ignore[import-not-found]  # the peers' own environment has it
from picows import (  # type: ignore[import-not-found]  # the same
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from benchmarks.peers import common

subscribers: dict[WSTransport, None] = {}


class Subscriber(WSListener):  # type: ignore[misc]  # for the same reason
    """Notes who is there."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Enter a subscriber."""
        subscribers[transport] = None

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Let a subscriber leave."""
        subscribers.pop(transport, None)


def admit(request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
    """Refuse a handshake without a good token."""
    if common.good(request.headers.get("Authorization")):
        return Subscriber()
    refusal = WSUpgradeResponse.create_error_response(401, b"invalid token")
    return WSUpgradeResponseWithListener(refusal, None)


async def main() -> None:
    """Serve, and tick."""
    server = await ws_create_server(
        admit, "127.0.0.1", common.PORT, websocket_handshake_timeout=30, backlog=common.BACKLOG
    )
    async with server:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for seq in itertools.count(1):
            due, wait = common.pause(due, loop.time())
            await asyncio.sleep(wait)
            payload = common.payload(seq)
            for transport in subscribers:
                transport.send(WSMsgType.TEXT, payload)


uvloop.run(main())
