"""Plain HTTP, as fast as a hundred connections can ask."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from tests.chaos.abuse import Abuse, Run, Target
from tests.support.waiting import eventually

CONNECTIONS: Final = 100
#: After so long without an answer a connection is given up for another.
_PATIENCE_SECONDS: Final = 5.0


async def _ask(target: Target, path: str) -> None:
    """Ask on one connection, again and again; on another one where it is closed."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n"
        f"Authorization: Bearer {target.token}\r\n\r\n"
    ).encode()
    while True:
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", target.port)
        except OSError:
            target.done["not connected"] += 1
            continue
        async with stream:
            with trio.move_on_after(_PATIENCE_SECONDS):
                try:
                    while await _answered(stream, request, target):
                        pass
                except trio.BrokenResourceError:
                    target.done["cut off"] += 1


async def _answered(stream: trio.SocketStream, request: bytes, target: Target) -> bool:
    """Ask once and read the whole answer; whether the connection goes on."""
    await stream.send_all(request)
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        more = await stream.receive_some(65_536)
        if not more:
            return False
        data += more
    head = bytes(data[:end]).lower()
    target.done[head.split(b" ", 2)[1].decode()] += 1
    size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
    left = size - (len(data) - end - 4)
    while left > 0:
        more = await stream.receive_some(65_536)
        if not more:
            return False
        left -= len(more)
    return b"connection: close" not in head


def _flood(path: str) -> Run:
    async def run(
        target: Target, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(CONNECTIONS):
                nursery.start_soon(partial(_ask, target, path.format(symbol=target.symbols[0])))
            await eventually(lambda: target.done, "the first answer")
            task_status.started()

    return run


_PATHS: Final = {
    "metrics": "/metrics",
    "healthz": "/healthz",
    "prices": "/prices",
    "history": "/prices/{symbol}/history",
    "page": "/",
    "page-file": "/main.js",
    "unknown": "/no-such.file",
}
ABUSES: Sequence[Abuse] = [
    *(Abuse(f"http-{name}", _flood(path), symbols=500) for name, path in _PATHS.items()),
    Abuse("http-healthz-unlimited", _flood("/healthz"), {"TICKER_HTTP_RATE": "0"}, symbols=500),
]
