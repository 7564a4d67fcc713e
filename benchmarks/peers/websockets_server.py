"""Peer: `websockets` with its `broadcast`, on asyncio."""

from __future__ import annotations

import asyncio
import itertools
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.http11 import Request, Response

from benchmarks.peers import common


def check(connection: ServerConnection, request: Request) -> Response | None:
    """Refuse a handshake without a good token."""
    if common.good(request.headers.get("Authorization")):
        return None
    return connection.respond(HTTPStatus.UNAUTHORIZED, "invalid token\n")


async def hold(connection: ServerConnection) -> None:
    """Keep a subscriber until it goes."""
    await connection.wait_closed()


async def main() -> None:
    """Serve, and tick."""
    async with serve(
        hold,
        "127.0.0.1",
        common.PORT,
        process_request=check,
        compression=None,
        backlog=common.BACKLOG,
    ) as server:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for seq in itertools.count(1):
            due, wait = common.pause(due, loop.time())
            await asyncio.sleep(wait)
            broadcast(server.connections, common.payload(seq).decode())


asyncio.run(main())
