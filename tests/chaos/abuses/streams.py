"""Streams that make as much work as their limits allow."""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from tests.chaos.abuse import Abuse, Target
from tests.support.frames import TEXT, client_frame
from tests.support.waiting import eventually

RESUBSCRIBERS: Final = 50
#: Below the 20 messages a second beyond which a stream is ended.
_PAUSE_SECONDS: Final = 1 / 19
OWN_SETS: Final = 100
_SET_SIZE: Final = 250
_OWN: Final = {"TICKER_MAX_STREAMS_PER_TOKEN": "0"}


async def _opened(target: Target) -> trio.SocketStream:
    key = base64.b64encode(os.urandom(16)).decode()
    stream = await trio.open_tcp_stream("127.0.0.1", target.port)
    await stream.send_all(
        f"GET /ws/ticker HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        f"Authorization: Bearer {target.token}\r\n\r\n".encode()
    )
    first = await stream.receive_some(4096)
    assert first.startswith(b"HTTP/1.1 101"), first
    return stream


async def _read(stream: trio.SocketStream, target: Target) -> None:
    while data := await stream.receive_some(1_048_576):
        target.done["KiB read"] += len(data) // 1024
    target.done["ended"] += 1


async def _resubscribe(target: Target) -> None:
    message = client_frame(TEXT, json.dumps({"type": "subscribe"}).encode())
    async with await _opened(target) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(_read, stream, target)
        while True:
            await stream.send_all(message)
            target.done["subscribed"] += 1
            await trio.sleep(_PAUSE_SECONDS)


async def _own_set(target: Target, number: int) -> None:
    symbols = random.Random(number).sample(list(target.symbols), _SET_SIZE)
    message = json.dumps({"type": "subscribe", "symbols": symbols}, separators=(",", ":"))
    async with await _opened(target) as stream:
        await stream.send_all(client_frame(TEXT, message.encode()))
        target.done["subscribed"] += 1
        await _read(stream, target)


async def resubscribing(
    target: Target, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Ask for everything anew, on fifty streams, as often as a stream may."""
    async with trio.open_nursery() as nursery:
        for _ in range(RESUBSCRIBERS):
            nursery.start_soon(_resubscribe, target)
        await eventually(lambda: target.done["subscribed"] >= RESUBSCRIBERS, "all to subscribe")
        task_status.started()


async def own_sets(
    target: Target, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Have a hundred streams, each with symbols that no other stream has together."""
    async with trio.open_nursery() as nursery:
        for number in range(OWN_SETS):
            nursery.start_soon(partial(_own_set, target, number))
        await eventually(lambda: target.done["subscribed"] >= OWN_SETS, "all to subscribe")
        task_status.started()


ABUSES: Sequence[Abuse] = [
    Abuse("streams-resubscribing", resubscribing, symbols=500),
    Abuse("streams-own-sets", own_sets, _OWN, symbols=500),
]
