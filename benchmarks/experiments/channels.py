"""The general subscriber: one ready frame per tick, a memory channel and a writer task each."""

from __future__ import annotations

import itertools

import trio

from benchmarks.peers import common

channels: dict[trio.MemorySendChannel[bytes], None] = {}


async def stream(accepted: trio.SocketStream) -> None:
    """Keep a subscriber until it goes."""
    if not common.upgrade(await accepted.receive_some(4096)):
        return
    await accepted.send_all(common.UPGRADED)
    sender, receiver = trio.open_memory_channel[bytes](1)
    channels[sender] = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, receiver, accepted)
            while await accepted.receive_some(4096):
                pass
            nursery.cancel_scope.cancel()
    except* trio.BrokenResourceError:
        pass
    finally:
        del channels[sender]


async def write(receiver: trio.MemoryReceiveChannel[bytes], accepted: trio.SocketStream) -> None:
    """Send what a channel brings."""
    async for frame in receiver:
        await accepted.send_all(frame)


async def tick() -> None:
    """Offer a tick to every channel, for ever; one that is full is skipped."""
    due = trio.current_time()
    for seq in itertools.count(1):
        due, wait = common.pause(due, trio.current_time())
        await trio.sleep(wait)
        frame = common.text_frame(common.payload(seq))
        for channel in channels:
            try:
                channel.send_nowait(frame)
            except trio.WouldBlock:
                continue


async def main() -> None:
    """Serve, and tick."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        await trio.serve_tcp(stream, common.PORT, host="127.0.0.1", backlog=common.BACKLOG)


trio.run(main)
