"""The third way: one ready frame per tick, and `send_all` of the stream for each subscriber.

The frame is made once, but every subscriber still costs a coroutine, a checkpoint and trio's
own look after its socket.
"""

from __future__ import annotations

import itertools

import trio

from benchmarks.peers import common

streams: dict[trio.SocketStream, None] = {}


async def stream(accepted: trio.SocketStream) -> None:
    """Keep a subscriber until it goes."""
    if not common.upgrade(await accepted.receive_some(4096)):
        return
    await accepted.send_all(common.UPGRADED)
    streams[accepted] = None
    try:
        while await accepted.receive_some(4096):
            pass
    except trio.BrokenResourceError:
        pass
    finally:
        del streams[accepted]


async def tick() -> None:
    """Send a tick to every subscriber, for ever."""
    due = trio.current_time()
    for seq in itertools.count(1):
        due, wait = common.pause(due, trio.current_time())
        await trio.sleep(wait)
        frame = common.text_frame(common.payload(seq))
        for accepted in tuple(streams):
            try:
                await accepted.send_all(frame)
            except trio.BrokenResourceError:
                continue


async def main() -> None:
    """Serve, and tick."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        await trio.serve_tcp(stream, common.PORT, host="127.0.0.1", backlog=common.BACKLOG)


trio.run(main)
