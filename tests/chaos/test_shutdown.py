"""A shutdown is prompt whatever is connected, and tells every client that can hear it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import trio

from tests.support.raw import RawStream, connect, handshake, opened
from tests.support.server import LAUNCHES, Launch, Server, started
from tests.support.waiting import eventually
from ticker import limits

STALLED = 200
HALF_OPEN = 50
HEALTHY = 20
WINDOW = 2048
GRACEFUL_SECONDS = 3


@pytest.mark.parametrize("launch", LAUNCHES)
async def test_shutdown_is_prompt_with_stalled_readers_and_half_open_handshakes(
    tmp_path: Path, launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    env = {"TICKER_MAX_STREAMS_PER_TOKEN": "0", "TICKER_GRACEFUL_TIMEOUT": f"{GRACEFUL_SECONDS}s"}
    args = ["--graceful-timeout", str(GRACEFUL_SECONDS)] if launch == "hypercorn" else []
    with started(launch, tmp_path / "data", env=env, args=args) as server:
        stalled = [await _stalled(server) for _ in range(STALLED)]
        halves = [await connect(server) for _ in range(HALF_OPEN)]
        for half in halves:
            await half.send_all(b"GET /ws/ticker HTTP/1.1\r\nHost: a\r\nUpg")
        await eventually(
            lambda: server.metrics()["ticker_streams_behind"] >= STALLED * 0.9,
            "all to fall behind",
            seconds=30,
        )
        waits: list[int] = []
        ready = 0

        async def healthy() -> None:
            nonlocal ready
            async with opened(server) as stream:
                await stream.until("ticker")
                ready += 1
                waits.append(await _closing(stream))

        async with trio.open_nursery() as nursery:
            for _ in range(HEALTHY):
                nursery.start_soon(healthy)
            await eventually(lambda: ready == HEALTHY, "the healthy ones")
            began = time.monotonic()
            server.send_signal(signal.SIGTERM)
            await server.wait_async()
            took = time.monotonic() - began
        for stream in [*stalled, *halves]:
            await trio.aclose_forcefully(stream)
    with capsys.disabled():
        print(f"\n{launch}: gone {took:.2f} s after SIGTERM")  # noqa: T201 - the result
    assert took <= GRACEFUL_SECONDS + 1
    assert len(waits) == HEALTHY
    assert len(set(waits)) > HEALTHY // 2, "reconnects are not spread"
    assert all(0 <= wait <= limits.RECONNECT_SPREAD_MS for wait in waits)


async def _stalled(server: Server) -> trio.SocketStream:
    stream = await connect(server, receive_buffer=WINDOW)
    await stream.send_all(handshake(server, server.token()))
    await stream.receive_some(200)
    return stream


async def _closing(stream: RawStream) -> int:
    """Wait for the server's `closing`; return after how long to come back, in milliseconds."""
    closing = await stream.until("closing", seconds=20)
    assert closing["code"] == 1012
    assert await stream.closed() == 1012
    wait: int = closing["retry_after_ms"]
    return wait
