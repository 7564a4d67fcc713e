"""Peer: a Starlette WebSocket route on uvicorn with uvloop.

The way its documentation shows: a list of sockets, and a task that sends to each.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import uvicorn  # type: ignore[import-not-found]  # the peers' own environment has it
from starlette.applications import Starlette  # type: ignore[import-not-found]
from starlette.routing import WebSocketRoute  # type: ignore[import-not-found]
from starlette.websockets import WebSocket, WebSocketDisconnect  # type: ignore[import-not-found]

from benchmarks.peers import common

subscribers: dict[WebSocket, None] = {}


async def stream(websocket: WebSocket) -> None:
    """Keep a subscriber until it goes."""
    if not common.good(websocket.headers.get("authorization")):
        await websocket.close()
        return
    await websocket.accept()
    subscribers[websocket] = None
    try:
        while True:
            await websocket.receive()
    except (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        subscribers.pop(websocket, None)


async def tick() -> None:
    """Send a tick to every client, for ever."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    for seq in itertools.count(1):
        due, wait = common.pause(due, loop.time())
        await asyncio.sleep(wait)
        text = common.payload(seq).decode()
        for websocket in tuple(subscribers):
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await websocket.send_text(text)


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Tick for as long as the application runs."""
    task = asyncio.create_task(tick())
    yield
    task.cancel()


app = Starlette(routes=[WebSocketRoute("/ws/ticker", stream)], lifespan=lifespan)
uvicorn.run(
    app,
    host="127.0.0.1",
    port=common.PORT,
    loop="uvloop",
    ws="websockets-sansio",
    ws_per_message_deflate=False,
    log_level="warning",
    backlog=common.BACKLOG,
)
