"""The first naive way: a memory channel per subscriber, and `websocket.send` in a Quart route.

What is written first, under Hypercorn on trio.
"""

from __future__ import annotations

import itertools

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import abort, websocket
from quart_trio import QuartTrio

from benchmarks.peers import common

app = QuartTrio(__name__)
channels: dict[trio.MemorySendChannel[str], None] = {}


@app.websocket("/ws/ticker")
async def stream() -> None:
    """Send a subscriber whatever its channel brings."""
    if not common.good(websocket.headers.get("Authorization")):
        abort(401)
    sender, receiver = trio.open_memory_channel[str](1)
    channels[sender] = None
    try:
        async for text in receiver:
            await websocket.send(text)
    finally:
        del channels[sender]


@app.before_serving
async def begin() -> None:
    """Start the market."""
    app.add_background_task(tick)


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


def config() -> Config:
    """Listen where the benchmark asks."""
    made = Config()
    made.bind = [f"127.0.0.1:{common.PORT}"]
    made.backlog = common.BACKLOG
    return made


trio.run(serve, app, config())
