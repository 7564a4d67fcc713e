"""The second naive way: trio-websocket's `send_message`, one task per subscriber.

No Hypercorn and no Quart between; each subscriber still has the tick framed for itself.
"""

from __future__ import annotations

import itertools

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

from benchmarks.peers import common

channels: dict[trio.MemorySendChannel[str], None] = {}


async def stream(request: WebSocketRequest) -> None:
    """Send a subscriber whatever its channel brings."""
    headers = {name.lower(): value.decode() for name, value in request.headers}
    if not common.good(headers.get(b"authorization")):
        await request.reject(401)
        return
    connection = await request.accept()
    sender, receiver = trio.open_memory_channel[str](1)
    channels[sender] = None
    try:
        async for text in receiver:
            await connection.send_message(text)
    except ConnectionClosed:
        pass
    finally:
        del channels[sender]


async def tick() -> None:
    """Offer a tick to every channel, for ever; who is full is skipped."""
    due = trio.current_time()
    for seq in itertools.count(1):
        due, wait = common.pause(due, trio.current_time())
        await trio.sleep(wait)
        text = common.payload(seq).decode()
        for channel in channels:
            try:
                channel.send_nowait(text)
            except trio.WouldBlock:
                continue


async def main() -> None:
    """Serve, and tick."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        await serve_websocket(stream, "127.0.0.1", common.PORT, ssl_context=None)


trio.run(main)
