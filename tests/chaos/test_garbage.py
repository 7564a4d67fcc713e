"""What is over leaves nothing: no connection to the garbage collector, no service a descriptor.

The collector runs seldom (`limits.COLLECT_AFTER_OBJECTS`): what a rush would leave to it would be
megabytes, and a pause for all.
"""

from __future__ import annotations

import gc
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.chaos.inprocess import Running, serving
from tests.chaos.kills import Kill, Victim, subscriber
from tests.support.frames import CLOSE, PING, PONG, TEXT, client_frame
from tests.support.raw import RESET
from tests.support.waiting import eventually

CONNECTIONS = 100
#: Objects that may be left of each: Werkzeug's matcher of routes is a function that refers to
#: itself, and leaves eight of each request.
OF_A_STREAM = 1
OF_HTTP = 10

#: What the kernel makes the smallest receive buffer it has.
SMALLEST = 1

Life = Callable[[Running], Awaitable[None]]


async def _killed(how: Kill, running: Running) -> None:
    victim = await subscriber(running.port, running.token)
    await victim.kill(how)


async def _says(said: bytes, running: Running) -> None:
    victim = await subscriber(running.port, running.token)
    await victim.connection.send(said)
    await _until_the_end(victim)


async def _falls_behind(running: Running) -> None:
    victim = await subscriber(running.port, running.token, room=SMALLEST)
    await eventually(lambda: running.engine.statistics().hub.behind, "a full connection")
    await victim.kill(Kill.RST)


async def _alone(running: Running) -> None:
    await eventually(lambda: not running.engine.statistics().connections, "the last to go")


async def _until_the_end(victim: Victim) -> None:
    while await victim.connection.recv(65_536):
        pass
    victim.connection.close()


async def _asks(path: str, running: Running) -> None:
    connection = trio.socket.socket()
    await connection.connect(("127.0.0.1", running.port))
    await connection.send(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    await _until_the_end(Victim(connection))


async def _hangs_up(running: Running, *, answered: bool, reset: bool) -> None:
    connection = trio.socket.socket()
    await connection.connect(("127.0.0.1", running.port))
    await connection.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    if answered:
        await connection.recv(65_536)
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()
    # Not more at once than a few: that all are over is waited for at the end, in `_alone`.
    few = 10
    await eventually(lambda: running.engine.statistics().connections <= few, "a place")


@pytest.fixture
def _collector_off() -> Iterator[None]:
    yield
    gc.enable()


CLOSING = client_frame(CLOSE, (1000).to_bytes(2, "big"))
LIVES = {
    **{
        how.value: (partial(_killed, how), OF_A_STREAM)
        for how in Kill
        if how is not Kill.RST_UNREAD
    },
    "close": (partial(_says, client_frame(PONG) + CLOSING), OF_A_STREAM),
    "talk": (
        partial(_says, client_frame(TEXT, '{"type":"ping"}') + client_frame(PING) + CLOSING),
        1,
    ),
    "broken protocol": (partial(_says, b"\xff\x80\x00\x00\x00\x00"), OF_A_STREAM),
    "behind": (_falls_behind, OF_A_STREAM),
    "no such page": (partial(_asks, "/absent"), OF_HTTP),
    "health": (partial(_asks, "/healthz"), OF_HTTP),
    "page": (partial(_asks, "/"), OF_HTTP),
    "hangs up": (partial(_hangs_up, answered=True, reset=False), OF_HTTP),
    "cuts off": (partial(_hangs_up, answered=True, reset=True), OF_HTTP),
    "hangs up early": (partial(_hangs_up, answered=False, reset=False), OF_HTTP),
    "cuts off early": (partial(_hangs_up, answered=False, reset=True), OF_HTTP),
}


@pytest.mark.usefixtures("_collector_off")
@pytest.mark.parametrize(("life", "allowed"), LIVES.values(), ids=LIVES)
async def test_a_connection_that_ended_is_freed_at_once(
    life: Life, allowed: int, tmp_path: Path
) -> None:
    async with serving(tmp_path / "data") as running:
        for _ in range(5):
            await life(running)
        await _alone(running)
        gc.collect()
        gc.disable()
        for _ in range(CONNECTIONS):
            await life(running)
            running.logged.clear()
            running.ended.clear()
        await _alone(running)
        # What only the collector would have freed; the market's own log grows all the while.
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        left = Counter(type(each).__name__ for each in gc.garbage)
        gc.garbage.clear()
        assert left.total() < CONNECTIONS * allowed, left


async def test_a_service_that_ended_holds_no_descriptor(tmp_path: Path) -> None:
    def held() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough

    async def start_and_end(name: str) -> None:
        async with serving(tmp_path / name):
            pass

    # The first makes what is kept for reuse, and collects what a test before this one left.
    counts = []
    for number in range(5):
        await start_and_end(str(number))
        counts.append(held())
    assert counts[-1] <= counts[1], counts
